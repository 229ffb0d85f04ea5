"""Sizes that the code ties together although no operation joins their indices: keep every cut consistent with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from prunescope.core.cost import CountedDim, DimCounter, GraphKey, Removed, sizes_left
from prunescope.core.graph import DependencyGraph
from prunescope.core.labels import Vector
from prunescope.core.sizes import Clash, Settled, SizeUse, attributes_in, settle

if TYPE_CHECKING:
    from prunescope.core.plan import Plan, Removal


@dataclass(frozen=True)
class SizeTies:
    """Every use of a size in the code that some cut can reach."""

    uses: tuple[SizeUse, ...]
    dims: tuple[CountedDim, ...]
    positions: Mapping[int, int]  # id of a label vector of a use -> its position in `dims`

    def settled(self, removed: Removed) -> Settled:
        """Attribute values after the cut, and the sizes in the code that would not fit."""
        sizes = sizes_left(self.dims, removed)
        return settle(self.uses, lambda labels: sizes[self.positions[id(labels)]])

    def sharing(self, use: SizeUse) -> list[SizeUse]:
        """The use, and every other that reads one of its attributes."""
        keys = {found.key for found in attributes_in(use.expression)}
        return [use, *(u for u in self.uses if keys & {found.key for found in attributes_in(u.expression)})]

    def groups(self, labels: Sequence[Vector]) -> dict[int, int]:
        """Indices of the groups that hold units of these dimensions -> how many indices a unit holds at least."""
        found: dict[int, int] = {}
        for vector in labels:
            for group, counts in self.dims[self.positions[id(vector)]].parts:
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

    Units are given back, the most important first, until every size fits; the uncut model fits, so this ends.

    Args:
        chosen: Group index -> units that go, the least important first.
    """
    left = {group: list(units) for group, units in chosen.items()}
    ties = size_ties(graph)
    while True:
        clashes = ties.settled(left).clashes
        if not clashes:
            return left
        _give_back(ties, clashes[0], left)


def _give_back(ties: SizeTies, clash: Clash, left: dict[int, list[int]]) -> None:
    mine = {} if isinstance(clash.use.wanted, int) else ties.groups([clash.use.wanted])
    others = ties.groups([dim for use in ties.sharing(clash.use) for dim in use.dims])
    others = {group: each for group, each in others.items() if group not in mine} or others
    too_small = clash.given is None or clash.wanted < clash.given
    for side in (mine, others) if too_small else (others, mine):
        cut = {group: each for group, each in side.items() if left.get(group)}
        if cut:
            group = max(cut, key=lambda g: len(left[g]))
            missing = abs(clash.wanted - clash.given) if clash.given is not None else 1
            count = max(1, math.ceil(missing / cut[group]))
            del left[group][-count:]
            return
    # another use of the same attribute holds the cut: give back wherever anything is left of it
    group = max(left, key=lambda g: len(left[g]))
    left[group].pop()


def inseparable(graph: DependencyGraph, plan: Plan) -> list[list[Removal]]:
    """A plan's removals in the smallest parts that can be done apart: families, joined where the code ties sizes."""
    indices = {graph.group(removal.group).index: removal for removal in plan.removals}
    part = {group: graph.groups[group].family for group in indices}
    ties = size_ties(graph)
    for use in ties.uses:
        tied = {part[group] for group in ties.groups(use.dims) if group in part}
        for group, name in part.items():
            if name in tied:
                part[group] = min(tied)
    found: dict[int, list[Removal]] = {}
    for group, name in part.items():
        found.setdefault(name, []).append(indices[group])
    return list(found.values())


def clash_text(graph: DependencyGraph, clash: Clash) -> str:
    """A clash in words, with the line of code."""
    operation = graph.record.operations[clash.use.operation]
    where = operation.source or operation.layer
    if clash.use.apart:
        return f"two sizes that the code tells apart would be equal ({where})"
    return f"{clash.use.text} asks for {clash.given} where {clash.wanted} would be left ({where})"
