"""In which order units go: one after another, until a target is met."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prunescope.core.graph import DependencyGraph, Group
from prunescope.core.importance import Scores

Scope: TypeAlias = Literal["local", "global", "isomorphic"]
SCOPES: tuple[Scope, ...] = ("local", "global", "isomorphic")
_SLACK = 1e-9  # a share of 0.29 of 100 units is 29 of them, whatever binary fractions say


@dataclass(frozen=True)
class Ranking:
    """When each unit goes: it is cut by every share at least as large as its time."""

    units: Mapping[int, list[int]]  # group index -> the units that may go, the least important first
    times: Mapping[int, NDArray[np.float64]]  # group index -> for each of them its time, ascending

    def cut(self, share: float) -> dict[int, list[int]]:
        """Group index -> the units that a cut of this share takes, the least important first."""
        return {
            group: units[: int(np.searchsorted(self.times[group], share + _SLACK, side="right"))]
            for group, units in self.units.items()
        }

    def shares(self) -> NDArray[np.float64]:
        """Every share at which the cut grows, ascending."""
        return np.unique(np.concatenate([np.zeros(1), *self.times.values()]))


def ranking(
    graph: DependencyGraph,
    scores: Scores,
    groups: Sequence[Group],
    scope: Scope,
    *,
    most: Mapping[int, int],
    fixed: Mapping[int, int],
    last: Iterable[int] = (),
) -> Ranking:
    """Rank the units of these groups.

    Args:
        graph: A traced model.
        scores: Of every one of the groups.
        groups: The groups that may be cut.
        scope: "local": every group loses the same share of its units. "global": the units of all groups are ranked
            together. "isomorphic": those of structurally equal groups are, and every such class loses the same share
            (Fang et al., Isomorphic Pruning for Vision Models, ECCV 2024).
        most: Group index -> the largest number of units that may go.
        fixed: Group index -> the number of units that goes whatever the share is.
        last: Indices of groups that are cut only when all the others have lost what they may.
    """
    order = {group.index: np.argsort(scores[group.name].numpy(), kind="stable") for group in groups}
    free = [group for group in groups if group.index not in fixed]
    behind = set(last)
    times: dict[int, NDArray[np.float64]] = {group: np.zeros(count) for group, count in fixed.items()}
    for peers in classes(graph, free, scope):
        for offset, part in enumerate(_parted(peers, behind)):
            times.update(_times(part, scores, order, most, offset))
    return Ranking({group: order[group][: len(found)].tolist() for group, found in times.items()}, times)


def _parted(peers: Sequence[Group], behind: Container[int]) -> tuple[list[Group], list[Group]]:
    return [g for g in peers if g.index not in behind], [g for g in peers if g.index in behind]


def _times(
    peers: Sequence[Group],
    scores: Scores,
    order: Mapping[int, NDArray[np.int64]],
    most: Mapping[int, int],
    offset: int,
) -> dict[int, NDArray[np.float64]]:
    """Rank the units of these groups together; of `total` units the n-th to go has the time n / total."""
    if not peers:
        return {}
    values = [scores[g.name].numpy()[order[g.index]][: most[g.index]] for g in peers]
    owner = np.repeat(np.arange(len(peers)), [len(found) for found in values])
    rank = np.argsort(np.concatenate(values), kind="stable")
    time = np.empty(rank.size)
    time[rank] = offset + np.arange(1, rank.size + 1) / sum(group.size for group in peers)
    return {group.index: time[owner == n] for n, group in enumerate(peers)}


def classes(graph: DependencyGraph, groups: Sequence[Group], scope: Scope) -> list[list[Group]]:
    """The groups whose units are ranked together."""
    if scope == "local":
        return [[group] for group in groups]
    if scope == "global":
        return [list(groups)]
    found: dict[object, list[Group]] = {}
    for group in groups:
        found.setdefault(structure(graph, group), []).append(group)
    return list(found.values())


def structure(graph: DependencyGraph, group: Group) -> object:
    """Equal for groups that hold the same dimensions of the same kinds of layers, whatever their sizes."""
    modules = dict(graph.model.named_modules())
    members = [
        (type(modules[m.layer]).__qualname__, m.parameter.rpartition(".")[2], m.dim, m.side) for m in group.members
    ]
    return group.kind, tuple(sorted(members))
