"""Why two layers go together: the shortest chain of ties between their units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from prunescope.core.coupling import Coupling
from prunescope.core.graph import DependencyGraph, Operation
from prunescope.core.labels import Vector


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a chain: an operation that forces two dimensions to keep the same indices."""

    operation: str  # e.g. "aten.add"
    layer: str  # name of the layer that ran it
    source: str  # line of the user's code, "" where there is none

    def __str__(self) -> str:
        where = f" ({self.source})" if self.source else ""
        return f"{self.layer or 'weights'}: {self.operation.removeprefix('aten.')} ties its operands{where}"


def chain(graph: DependencyGraph, first: str, second: str) -> tuple[Link, ...]:
    """The shortest chain of operations that ties any unit of one layer to any unit of another.

    Args:
        first: Name of a layer.
        second: Name of another.

    Returns:
        The links in order; empty where no unit of the two layers is coupled.

    Raises:
        BadInput: no layer of one of the names.
    """
    start, goal = _labels(graph, first), _labels(graph, second)
    for coupling in graph.record.couplings:
        shared = np.intersect1d(coupling.component[start], coupling.component[goal])
        if shared.size:
            component = int(shared[0])
            path = _path(
                coupling,
                start[coupling.component[start] == component],
                goal[coupling.component[goal] == component],
            )
            return tuple(_links(graph.record.operations, path))
    return ()


def _labels(graph: DependencyGraph, name: str) -> Vector:
    """Labels of a layer's own parameters; of its output and input where it has none."""
    layer = graph.layer(name)
    own = [dim for p in layer.parameters for dim in graph.record.parameters[p].dims if isinstance(dim, np.ndarray)]
    found = own or [*layer.output_labels, *layer.input_labels]
    labels = np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
    return labels[labels >= 0]


@lru_cache(maxsize=8)
def _ties(coupling: _ByIdentity) -> tuple[csr_array, dict[tuple[int, int], int]]:
    count = coupling.value.component.size
    operation: dict[tuple[int, int], int] = {}
    for edge in reversed(coupling.value.edges):
        for a, b in zip(edge.left.tolist(), edge.right.tolist(), strict=True):
            operation[min(a, b), max(a, b)] = edge.operation
    pairs = np.array(list(operation), dtype=np.int64).reshape(-1, 2)
    ones = np.ones(len(pairs), dtype=np.int8)
    return csr_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count)), operation


@dataclass(frozen=True, slots=True)
class _ByIdentity:
    """A coupling as a key: equal to itself alone, since arrays have no hash."""

    value: Coupling

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.value is self.value


def _path(coupling: Coupling, start: Vector, goal: Vector) -> list[int]:
    """Operations along a shortest path from any label of `start` to any of `goal`."""
    matrix, operation = _ties(_ByIdentity(coupling))
    order, before = breadth_first_order(matrix, int(start[0]), directed=False, return_predecessors=True)
    wanted = set(goal.tolist())
    at = next(int(label) for label in order if int(label) in wanted)
    result: list[int] = []
    while before[at] >= 0:
        previous = int(before[at])
        result.append(operation[min(previous, at), max(previous, at)])
        at = previous
    return result[::-1]


def _links(operations: tuple[Operation, ...], path: list[int]) -> Iterator[Link]:
    last = None
    for index in path:
        found = operations[index]
        if found.layer != last:
            yield Link(found.name, found.layer, found.source)
        last = found.layer
