"""The time of a forward pass as a function of what is cut: fitted to measurements on this machine."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunescope.core.cost import Quantity, Removed, ledger
from prunescope.core.errors import MeasurementFailed
from prunescope.core.graph import DependencyGraph
from prunescope.core.plan import plan_units
from prunescope.core.surgery import prune
from prunescope.core.timing import latency

_QUANTITIES: tuple[Quantity, ...] = ("macs", "activations", "bytes")
_GRID = (0.25, 0.5, 0.75, 1.0)  # where on the way from no cut to the largest one cuts are timed first
_CORRECTIONS = 5
_CLOSE = 0.93  # a cut that takes at least this share of the time asked for is not larger than it has to be
_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """The time of one forward pass: a constant, and something for each operation, value and byte that is left."""

    original_ms: float  # median of the uncut model
    weights: tuple[float, ...]  # shares of `original_ms`: constant, then one for each of macs, activations, bytes

    def share(self, graph: DependencyGraph, removed: Removed) -> float:
        """The predicted time of a cut as a share of the original's."""
        return float(np.dot(self.weights, _features(graph, removed)))


def fit_latency(graph: DependencyGraph, cuts: Sequence[Removed]) -> tuple[LatencyModel, list[float]]:
    """Time these cuts beside the original, and fit a model of latency to them.

    Returns:
        The model, and for each cut the measured time as a share of the original's.
    """
    original, shares = _timed(graph, cuts)
    return _fitted(graph, original, cuts, shares), shares


def cut_to_latency(
    graph: DependencyGraph, cut_at: Callable[[int], Removed], count: int, share: float
) -> tuple[Removed | None, float]:
    """The smallest of `count` cuts, each larger than the one before, that runs in this share of the original's time.

    Args:
        graph: A traced model.
        cut_at: Position -> cut.
        count: The number of positions.
        share: Of the original's median time, what is to be left at most.

    Returns:
        The cut, whose time was measured, or None where even the last one takes longer; and the least share measured.

    Raises:
        MeasurementFailed: the model raised, or has no values to run on.
    """
    _check_runs(graph)
    positions = sorted({round(part * (count - 1)) for part in _GRID} - {0})
    if not positions:
        return (cut_at(0), 1.0) if share >= 1 else (None, 1.0)
    original, shares = _timed(graph, [cut_at(at) for at in positions])
    measured = dict(zip(positions, shares, strict=True))
    for _ in range(_CORRECTIONS):
        if any(share * _CLOSE <= found <= share for found in measured.values()):
            break
        model = _fitted(graph, original, [cut_at(at) for at in measured], list(measured.values()))
        at = _proposed(graph, model, cut_at, count, share, measured)
        if at in measured:
            break
        measured[at] = _timed(graph, [cut_at(at)])[1][0]
    reached = [at for at, found in measured.items() if found <= share]
    return (cut_at(min(reached)) if reached else None), min(measured.values())


def _proposed(
    graph: DependencyGraph,
    model: LatencyModel,
    cut_at: Callable[[int], Removed],
    count: int,
    share: float,
    measured: Mapping[int, float],
) -> int:
    """The first position that the model, set right by the nearest measurement, puts under the share."""

    def predicted(at: int) -> float:
        near = min(measured, key=lambda known: abs(known - at))
        wrong = measured[near] / max(model.share(graph, cut_at(near)), 1e-9)
        return model.share(graph, cut_at(at)) * wrong

    # between the last cut that was too slow and the first after it that was fast enough
    slow = max((at for at, found in measured.items() if found > share), default=0)
    fast = min((at for at, found in measured.items() if found <= share and at > slow), default=count - 1)
    between = range(slow, fast + 1)
    return between[bisect_left(between, True, key=lambda at: predicted(at) <= share, hi=len(between) - 1)]


def _timed(graph: DependencyGraph, cuts: Sequence[Removed]) -> tuple[float, list[float]]:
    models = [_model(graph, cut) for cut in cuts]
    original, *times = latency([graph.model, *models], graph.example_inputs, rounds=_ROUNDS)
    return original.median_ms, [time.median_ms / original.median_ms for time in times]


def _model(graph: DependencyGraph, cut: Removed) -> nn.Module:
    named = {graph.groups[group].name: units for group, units in cut.items() if units}
    return prune(graph.model, plan_units(graph, named), verify=False).model if named else graph.model


def _fitted(graph: DependencyGraph, original: float, cuts: Sequence[Removed], shares: Sequence[float]) -> LatencyModel:
    # here and not above: a page that times nothing starts sooner
    from scipy.optimize import nnls

    rows = np.stack([_features(graph, cut) for cut in ({}, *cuts)])
    weights, _ = nnls(rows, np.array([1.0, *shares]))
    return LatencyModel(original, tuple(weights.tolist()))


def _features(graph: DependencyGraph, removed: Removed) -> NDArray[np.float64]:
    book = ledger(graph)
    return np.array([1.0, *(book.amount(q, removed) / max(book.amount(q, {}), 1) for q in _QUANTITIES)])


def _check_runs(graph: DependencyGraph) -> None:
    if not any(parameter.is_meta for parameter in graph.model.parameters()):
        return
    raise MeasurementFailed(
        asked="cut to a share of the latency",
        found="the model is on the meta device: it has no values to run on",
        where=type(graph.model).__name__,
        what_to_do="load the model on a real device, or give macs= or parameters= instead",
    )
