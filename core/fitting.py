"""Sizes that the code ties together although no operation joins their indices: keep every cut consistent with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from prunescope.core.cost import CountedDim, DimCounter, GraphKey, Removed, sizes_left
from prunescope.core.expressions import AttributeKey, SizeUse, attributes_in
from prunescope.core.graph import DependencyGraph
from prunescope.core.labels import Vector
from prunescope.core.settling import Clash, Settled, settle

if TYPE_CHECKING:
    from prunescope.core.plan import Plan, Removal

_TRIES = 16  # numbers of units that are tried one after another; beyond, only the number that is missing


@dataclass(frozen=True)
class SizeTies:
    """Every use of a size in the code that some cut can reach."""

    uses: tuple[SizeUse, ...]
    dims: tuple[CountedDim, ...]
    positions: Mapping[int, int]  # id of a label vector of a use -> its position in `dims`

    def settled(self, removed: Removed) -> Settled:
        """Attribute values after the cut, and the sizes in the code that would not fit."""
        sizes = sizes_left(self.dims, removed)
        return settle(self.uses, lambda labels: sizes[self._position(labels)])

    def clashes_of(self, uses: tuple[SizeUse, ...], removed: Removed) -> tuple[Clash, ...]:
        """The sizes of these uses that would not fit, whatever other uses want."""
        wanted = {position: self.dims[position] for use in uses for position in map(self._position, use.dims)}
        reached = {group for dim in wanted.values() for group, _ in dim.parts if group in removed}
        left = sizes_left(list(wanted.values()), {group: removed[group] for group in reached})
        sizes = dict(zip(wanted, left, strict=True))
        return settle(uses, lambda labels: sizes[self._position(labels)]).clashes

    def _position(self, labels: Vector) -> int:
        return self.positions[id(labels)]

    def sharing(self, use: SizeUse) -> list[SizeUse]:
        """The use, and every other that reads one of its attributes."""
        keys = {found.key for found in attributes_in(use.expression)}
        return [use, *(u for u in self.uses if keys & {found.key for found in attributes_in(u.expression)})]

    def bound_together(self) -> list[tuple[Vector, ...]]:
        """The dimensions of every use, and of all uses that read one attribute: they can only change together."""
        of_attributes: dict[AttributeKey, list[Vector]] = {}
        for use in self.uses:
            for found in attributes_in(use.expression):
                of_attributes.setdefault(found.key, []).extend(use.dims)
        return [*(use.dims for use in self.uses), *map(tuple, of_attributes.values())]

    def groups(self, labels: Sequence[Vector]) -> dict[int, int]:
        """Indices of the groups that hold units of these dimensions -> how many indices a unit holds at least."""
        found: dict[int, int] = {}
        for vector in labels:
            for group, counts in self.dims[self._position(vector)].parts:
                found[group] = max(int(counts.min()), 1)
        return found


def size_ties(graph: DependencyGraph) -> SizeTies:
    """The size ties of a graph; computed once for each."""
    return _size_ties(GraphKey(graph))


@lru_cache(maxsize=32)
def _size_ties(key: GraphKey) -> SizeTies:
    counter = DimCounter(key.graph)
    positions = [{id(vector): counter.position(vector) for vector in use.dims} for use in key.graph.record.space.uses]
    reached = [any(counter.dims[position].parts for position in found.values()) for found in positions]
    uses = list(zip(key.graph.record.space.uses, positions, reached, strict=True))
    # an attribute that no cut reaches in one place still has to keep its value for that place
    attributes = {found.key for use, _, cuttable in uses if cuttable for found in attributes_in(use.expression)}
    kept = [
        (use, found)
        for use, found, cuttable in uses
        if cuttable or any(attribute.key in attributes for attribute in attributes_in(use.expression))
    ]
    return SizeTies(
        tuple(use for use, _ in kept),
        tuple(counter.dims),
        {vector: position for _, found in kept for vector, position in found.items()},
    )


def fitted(graph: DependencyGraph, chosen: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """The part of a cut that the sizes in the code allow.

    Units are given back, the most important first and of one group as few as it takes, until every size fits; the
    uncut model fits, so this ends.

    Args:
        chosen: Group index -> units that go, the least important first.
    """
    left = {group: list(units) for group, units in chosen.items()}
    ties = size_ties(graph)
    while True:
        clashes = ties.settled(left).clashes
        if not clashes:
            return left
        group, count = _to_give_back(ties, clashes[0], left, lambda index: graph.groups[index].size)
        del left[group][-count:]


def _to_give_back(
    ties: SizeTies, clash: Clash, left: Mapping[int, list[int]], size: Callable[[int], int]
) -> tuple[int, int]:
    """A group, and how many of its units come back: the smallest share of a group that ends the clash by itself."""
    uses = tuple(ties.sharing(clash.use))
    tied = ties.groups([dim for use in uses for dim in use.dims])
    missing = abs(clash.wanted - clash.given) if clash.given is not None else 1
    counts = {group: _enough(ties, uses, left, group, missing) for group in tied if left.get(group)}
    enough = {group: count for group, count in counts.items() if count}
    if enough:
        group = min(enough, key=lambda g: enough[g] / size(g))
        return group, enough[group]
    return _some_to_give_back(ties, clash, left)


def _enough(ties: SizeTies, uses: tuple[SizeUse, ...], left: Mapping[int, list[int]], group: int, missing: int) -> int:
    """The smallest number of units of the group whose return ends a clash of these uses; 0 where none is found."""
    before = len(ties.clashes_of(uses, left))
    numbers: list[int] = sorted({*range(1, _TRIES + 1), missing})
    for count in numbers:
        fewer = {**left, group: left[group][:-count]}
        if count <= len(left[group]) and len(ties.clashes_of(uses, fewer)) < before:
            return count
    return 0


def _some_to_give_back(ties: SizeTies, clash: Clash, left: Mapping[int, list[int]]) -> tuple[int, int]:
    """Where no group can end a clash by itself: units on the side that is too small."""
    mine = {} if isinstance(clash.use.wanted, int) else ties.groups([clash.use.wanted])
    others = ties.groups([dim for use in ties.sharing(clash.use) for dim in use.dims])
    others = {group: each for group, each in others.items() if group not in mine} or others
    too_small = clash.given is None or clash.wanted < clash.given
    for side in (mine, others) if too_small else (others, mine):
        cut = {group: each for group, each in side.items() if left.get(group)}
        if cut:
            group = max(cut, key=lambda g: len(left[g]))
            missing = abs(clash.wanted - clash.given) if clash.given is not None else 1
            return group, max(1, math.ceil(missing / cut[group]))
    # another use of the same attribute holds the cut: give back wherever anything is left of it
    return max(left, key=lambda g: len(left[g])), 1


def inseparable(graph: DependencyGraph, plan: Plan) -> list[list[Removal]]:
    """A plan's removals in the smallest parts that can be done apart: families, joined where the code ties sizes."""
    indices = {graph.group(removal.group).index: removal for removal in plan.removals}
    return [[indices[group] for group in part] for part in parts(graph, indices)]


def parts(graph: DependencyGraph, groups: Iterable[int]) -> list[list[int]]:
    """Indices of groups in the smallest parts that can be cut apart: families, joined where the code ties sizes."""
    part = {group: graph.groups[group].family for group in groups}
    ties = size_ties(graph)
    for dims in ties.bound_together():
        tied = {part[group] for group in ties.groups(dims) if group in part}
        for group, name in part.items():
            if name in tied:
                part[group] = min(tied)
    found: dict[int, list[int]] = {}
    for group, name in part.items():
        found.setdefault(name, []).append(group)
    return list(found.values())


def use_text(graph: DependencyGraph, use: SizeUse) -> str:
    """How the code asks for a size, with its line."""
    return f"{use.text} ({_line(graph, use)})"


def _line(graph: DependencyGraph, use: SizeUse) -> str:
    operation = graph.record.operations[use.operation]
    return operation.source or operation.layer


def clash_text(graph: DependencyGraph, clash: Clash) -> str:
    """A clash in words, with the line of code."""
    where = _line(graph, clash.use)
    if clash.use.apart:
        return f"two sizes that the code tells apart would be equal ({where})"
    return f"{clash.use.text} asks for {clash.given} where {clash.wanted} would be left ({where})"
