"""Every layer in one table: sizes, group, how much of it can be cut at all, and why not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunescope.core.graph import DependencyGraph, Layer
from prunescope.core.labels import Dim, Fixed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class _Cuttable:
    """How much of a cost some plan could take away."""

    total: int
    part: float  # of it, what lies in units of groups that can be cut

    @property
    def share(self) -> float:
        return self.part / self.total if self.total else 0.0


def layer_table(graph: DependencyGraph) -> pd.DataFrame:
    """A row for each layer, in the order of the run.

    Columns: kind, output (shape), group_in, group_out, units, prunable, why_not, parameters and macs (counts),
    prunable_parameters and prunable_macs (shares, 0 to 1, that lie in units of groups that can be cut), source.
    """
    # here and not above: only the table needs it
    import pandas as pd

    cuttable = _cuttable_labels(graph)
    macs = _macs(graph, cuttable)
    return pd.DataFrame([_row(graph, layer, cuttable, macs) for layer in graph.layers]).set_index("layer")


def _row(
    graph: DependencyGraph, layer: Layer, cuttable: NDArray[np.bool_], macs: dict[str, _Cuttable]
) -> dict[str, Any]:
    into, out = graph.group_of(layer.name, "in"), graph.group_of(layer.name, "out")
    parameters = _parameters(graph, layer, cuttable)
    prunable = out is not None and out.lock is None
    return {
        "layer": layer.name,
        "kind": layer.kind,
        "output": "x".join(map(str, layer.output_shape)),
        "group_in": into.name if into else "",
        "group_out": out.name if out else "",
        "units": out.size if out else 0,
        "prunable": prunable,
        "why_not": "" if prunable else _why_not(graph, layer),
        "parameters": parameters.total,
        "prunable_parameters": parameters.share,
        "macs": layer.macs,
        "prunable_macs": macs[layer.name].share if layer.name in macs else 0.0,
        "source": layer.source,
    }


def _why_not(graph: DependencyGraph, layer: Layer) -> str:
    """The lock of the layer's output; of its parameters where the output has no units."""
    out = graph.group_of(layer.name, "out")
    if out is not None and out.lock is not None:
        return out.lock.reason
    return next((lock.reason for lock in graph.locks if lock.parameter in layer.parameters), "")


def _cuttable_labels(graph: DependencyGraph) -> NDArray[np.bool_]:
    """(labels,) True where some group that can be cut holds the label."""
    found = np.zeros(graph.record.space.count, dtype=bool)
    for option, coupling in enumerate(graph.record.couplings):
        components = np.zeros(coupling.lock.size, dtype=bool)
        for group in graph.groups:
            if group.option == option:
                components[group.components] = True
        found |= components[coupling.component]
    return found


def _fixed_share(dim: Dim, cuttable: NDArray[np.bool_]) -> float:
    return 1.0 if isinstance(dim, Fixed) else 1.0 - float((cuttable[dim] & (dim >= 0)).mean())


def _parameters(graph: DependencyGraph, layer: Layer, cuttable: NDArray[np.bool_]) -> _Cuttable:
    found = [graph.record.parameters[name] for name in layer.parameters]
    counts = [(p.tensor.numel(), prod(_fixed_share(dim, cuttable) for dim in p.dims)) for p in found if not p.is_buffer]
    return _Cuttable(sum(count for count, _ in counts), sum(count * (1 - fixed) for count, fixed in counts))


def _macs(graph: DependencyGraph, cuttable: NDArray[np.bool_]) -> dict[str, _Cuttable]:
    """By layer, of the run in evaluation mode."""
    total: Counter[str] = Counter()
    part: dict[str, float] = {}
    for term in graph.record.space.terms:
        if term.operation >= graph.record.reference_operations:
            continue
        layer = graph.record.operations[term.operation].layer
        count = term.factor * prod(dim.size for dim in term.dims)
        total[layer] += count
        part[layer] = part.get(layer, 0.0) + count * (1 - prod(_fixed_share(dim, cuttable) for dim in term.dims))
    return {layer: _Cuttable(count, part[layer]) for layer, count in total.items()}
