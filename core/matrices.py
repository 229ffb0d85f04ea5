"""The paper's two matrices, read off the label graph: what depends on what directly, and what goes together.

A layer f has an input side f- and an output side f+. D(f-, g+) = 1 where data flows from g to f with its units, and
D(f-, f+) = 1 where one scheme cuts both sides of f, as in normalisation and element-wise layers. G holds what is
reached through D: its connected components are the groups (Fang et al., DepGraph, CVPR 2023, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.core.graph import DependencyGraph, Layer, Side
from prunescope.core.labels import Fixed

NONE = -1  # in `Matrices.grouping`
IN_SIDE = 1  # in `Record.sides`
_SIDES: tuple[Side, Side] = ("in", "out")


@dataclass(frozen=True)
class Matrices:
    """Both matrices over the same sides, in the order of the run, f- before f+."""

    sides: tuple[tuple[str, Side], ...]  # name of the layer, and which side; only sides that hold units of a group
    dependency: NDArray[np.bool_]  # (n, n) symmetric: D
    grouping: NDArray[np.int32]  # (n, n) symmetric: index of the first group that both sides hold, NONE where none


def matrices(graph: DependencyGraph) -> Matrices:
    """D and G of a traced model; of two ways to cut a grid, by whole rows."""
    owner = _owners(graph)
    held = {(layer.name, side): _groups(graph, owner, layer, side) for layer in graph.layers for side in _SIDES}
    sides = tuple(side for side, groups in held.items() if groups.size)
    at = {side: number for number, side in enumerate(sides)}
    grouping = np.full((len(sides), len(sides)), NONE, dtype=np.int32)
    owners: dict[int, list[int]] = {}
    for side in sides:
        for group in held[side].tolist():
            owners.setdefault(group, []).append(at[side])
    for group in sorted(owners, reverse=True):
        grouping[np.ix_(owners[group], owners[group])] = group
    dependency = np.zeros(grouping.shape, dtype=np.bool_)
    outer: list[tuple[tuple[str, Side], tuple[str, Side]]] = [((a, "out"), (b, "in")) for a, b in graph.edges]
    inner: list[tuple[tuple[str, Side], tuple[str, Side]]] = [
        ((layer.name, "in"), (layer.name, "out")) for layer in graph.layers if not _has_two_schemes(graph, layer)
    ]
    for one, other in (*outer, *inner):
        if one in at and other in at and grouping[at[one], at[other]] != NONE:
            dependency[at[one], at[other]] = dependency[at[other], at[one]] = True
    return Matrices(sides, dependency, grouping)


def _has_two_schemes(graph: DependencyGraph, layer: Layer) -> bool:
    """Whether a weight of the layer has its inputs on a dimension of their own, as in convolutions and matrix products.

    Its sides are then cut differently, also where a shortcut puts them into one group.
    """
    dims = [dim for name in layer.parameters for dim in graph.record.parameters[name].dims]
    return any(bool((graph.record.sides[dim[dim >= 0]] == IN_SIDE).any()) for dim in dims if not isinstance(dim, Fixed))


def _owners(graph: DependencyGraph) -> NDArray[np.int64]:
    """(components,) index of the group of the first way to cut that each component is a unit of, or NONE."""
    owner = np.full(graph.record.couplings[0].lock.size, NONE, dtype=np.int64)
    for group in (*graph.groups, *graph.locked_groups):
        if group.option == 0:
            owner[group.components] = group.index
    return owner


def _groups(graph: DependencyGraph, owner: NDArray[np.int64], layer: Layer, side: Side) -> NDArray[np.int64]:
    """Indices of the groups that a side holds units of."""
    vectors = layer.input_labels if side == "in" else layer.output_labels
    if not vectors:
        return np.empty(0, dtype=np.int64)
    labels = np.concatenate(vectors)
    found: NDArray[np.int64] = np.unique(owner[graph.record.couplings[0].component[labels[labels >= 0]]])
    return np.setdiff1d(found, [NONE])
