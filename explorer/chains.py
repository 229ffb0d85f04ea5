"""The chain of operations that ties two layers, as a record for the graph and the panel."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from prunescope.core import DependencyGraph, Layer
from prunescope.core.labels import Vector
from prunescope.core.why import Link, chain

# what an operation does that ties units, by a fragment of its name; the first that fits counts
_WORDS: tuple[tuple[str, str], ...] = (
    ("norm", "normalises unit by unit: its weights go with the units that it reads"),
    ("conv", "has weights for each unit that it reads, and these go with it"),
    ("linear", "has weights for each unit that it reads, and these go with it"),
    ("mm", "has weights for each unit that it reads, and these go with it"),
    ("attention", "multiplies queries, keys and values, unit by unit"),
    ("cat", "joins its operands along another dimension: all keep the same units"),
    ("stack", "joins its operands along a new dimension: all keep the same units"),
    ("add", "adds its operands unit by unit: both keep the same units"),
    ("sub", "subtracts its operands unit by unit: both keep the same units"),
    ("mul", "multiplies its operands unit by unit: both keep the same units"),
    ("div", "divides its operands unit by unit: both keep the same units"),
)
_OTHER = "ties the units of what it reads and what it gives"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation that ties units."""

    layer: str  # name of the layer that ran it; "" for work on weights outside any layer
    operation: str  # "add"
    words: str  # what it does to the units
    source: str  # line of the user's code, "" where there is none


@dataclass(frozen=True, slots=True)
class Tie:
    """What ties two layers.

    Invariant: `edges` are edges of the graph, between layers of `path`.
    """

    first: str
    second: str
    tied: bool  # False: nothing does. True without steps: the same units run through both
    steps: tuple[Step, ...]
    path: tuple[str, ...]  # layers from the first to the second that the units go through, each once
    edges: tuple[tuple[str, str], ...]  # between them, in the direction of the data


def tie(graph: DependencyGraph, first: str, second: str) -> Tie:
    """The shortest chain of operations that ties two layers, and the way along the graph that it takes.

    Raises:
        BadInput: no layer of one of the names.
    """
    carriers = _carriers(graph, first, second)
    if not carriers:
        return Tie(first, second, False, (), (first, second), ())
    links = chain(graph, first, second)
    stops = [first, *(link.layer for link in links if link.layer), second]
    path, edges = _ways(graph, stops, carriers)
    return Tie(first, second, True, tuple(map(_step, links)), path, edges)


def _step(link: Link) -> Step:
    operation = link.operation.removeprefix("aten.")
    words = next((words for fragment, words in _WORDS if fragment in operation), _OTHER)
    return Step(link.layer, operation, words, link.source)


def _carriers(graph: DependencyGraph, first: str, second: str) -> frozenset[str]:
    """The layers that hold the units by which two layers are tied; none where nothing ties them."""
    start, goal = (_own_labels(graph, graph.layer(name)) for name in (first, second))
    for coupling in graph.record.couplings:
        shared = np.intersect1d(coupling.component[start], coupling.component[goal])
        if shared.size:
            tied = coupling.component == shared[0]
            return frozenset(layer.name for layer in graph.layers if tied[_all_labels(graph, layer)].any())
    return frozenset()


def _own_labels(graph: DependencyGraph, layer: Layer) -> Vector:
    """The labels by which the core asks for a layer: those of its weights, of its data where it has none."""
    weights = _weight_labels(graph, layer)
    return _joined(weights or [*layer.output_labels, *layer.input_labels])


def _all_labels(graph: DependencyGraph, layer: Layer) -> Vector:
    return _joined([*_weight_labels(graph, layer), *layer.output_labels, *layer.input_labels])


def _weight_labels(graph: DependencyGraph, layer: Layer) -> list[Vector]:
    dims = (dim for name in layer.parameters for dim in graph.record.parameters[name].dims)
    return [dim for dim in dims if isinstance(dim, np.ndarray)]


def _joined(vectors: list[Vector]) -> Vector:
    labels = np.concatenate(vectors) if vectors else np.empty(0, dtype=np.int64)
    return labels[labels >= 0]


def _ways(
    graph: DependencyGraph, stops: Iterable[str], carriers: Collection[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The layers and edges of the shortest ways from stop to stop through layers that carry the units."""
    neighbours = _neighbours(graph.edges, carriers)
    edges = set(graph.edges)
    path: dict[str, None] = {}
    taken: dict[tuple[str, str], None] = {}
    for here, there in pairwise(stops):
        way = _shortest(neighbours, here, there)
        path.update(dict.fromkeys(way))
        taken.update(dict.fromkeys((a, b) if (a, b) in edges else (b, a) for a, b in pairwise(way) if a != b))
    return tuple(path), tuple(edge for edge in taken if edge in edges)


def _neighbours(edges: Iterable[tuple[str, str]], within: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source, target in edges:
        if source in within and target in within:
            found.setdefault(source, []).append(target)
            found.setdefault(target, []).append(source)
    return found


def _shortest(neighbours: Mapping[str, Iterable[str]], start: str, goal: str) -> tuple[str, ...]:
    """Names from start to goal; the two alone where no way leads from one to the other."""
    before = {start: start}
    waiting = deque([start])
    while waiting and goal not in before:
        here = waiting.popleft()
        for name in neighbours.get(here, ()):
            if name not in before:
                before[name] = here
                waiting.append(name)
    if goal not in before:
        return start, goal
    way = [goal]
    while way[-1] != start:
        way.append(before[way[-1]])
    return tuple(reversed(way))
