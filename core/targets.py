"""How much goes: shares, or what is to be left of MACs, parameters, bytes or measured latency."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from math import gcd, lcm
from typing import Literal, TypeAlias, TypeVar, get_args

import numpy as np

from prunescope.core.cost import Quantity, Removed, ledger
from prunescope.core.errors import BadPlan
from prunescope.core.fitting import fitted, parts
from prunescope.core.graph import DependencyGraph, Group
from prunescope.core.importance import Scores
from prunescope.core.latency import cut_to_latency
from prunescope.core.plan import Plan, cut_groups, group_to_cut, plan_units
from prunescope.core.ranking import SCOPES, Ranking, Scope, ranking

Statistics: TypeAlias = Literal["cut", "last", "keep"]
_Value = TypeVar("_Value", int, float)
COUNTED: tuple[Quantity, ...] = ("macs", "parameters", "bytes")  # targets that are exact, without measuring
_NAMED = 3  # of what stands in the way of a target


@dataclass(frozen=True, slots=True)
class _Limits:
    """What a cut has to keep to."""

    graph: DependencyGraph
    step: Mapping[int, int]  # group index -> its units are left in multiples of this number

    def within(self, chosen: Removed) -> Removed:
        """The part of a cut that rounding and the sizes in the code allow; both only give units back."""
        left = {group: list(units) for group, units in chosen.items()}
        while True:
            fits = fitted(self.graph, {group: self._rounded(group, units) for group, units in left.items()})
            if fits == left:
                return left
            left = fits

    def _rounded(self, group: int, units: Sequence[int]) -> Sequence[int]:
        step, size = self.step.get(group, 1), self.graph.groups[group].size
        kept = -(-(size - len(units)) // step) * step
        return units[: max(size - kept, 0)]


def plan(  # noqa: PLR0913  one verb, and each argument a choice of its own
    graph: DependencyGraph,
    scores: Scores,
    ratio: float | None = None,
    *,
    macs: float | None = None,
    parameters: float | None = None,
    bytes: float | None = None,
    latency: float | None = None,
    ratios: Mapping[str, float] | None = None,
    scope: Scope = "local",
    floor: int | Mapping[str, int] = 1,
    ceiling: float | Mapping[str, float] = 1.0,
    round_to: int = 1,
    groups: Sequence[str] | None = None,
    kind: str | None = None,
    protect: Iterable[str] = (),
    protect_inputs: Iterable[str] = (),
    statistics: Statistics = "cut",
) -> Plan:
    """The least important units, as many as it takes to meet one target.

    Where the model's code ties sizes that no operation joins, fewer units go, so that every size fits.

    Args:
        graph: A traced model.
        scores: What `score` gave for this graph.
        ratio: Share of the units that goes, 0 <= ratio < 1, rounded down: of every group, or of all units together,
            as `scope` says.
        macs, parameters, bytes: What is to be left at most, as a share of the original's: the smallest cut that
            reaches it, by exact counts; where the code ties sizes, the next one that fits, which may be well below.
        latency: The same of the median time of a forward pass on this machine. It is measured: some cuts are made
            and timed beside the original, a model of the latency is fitted to them, and the cut that it proposes is
            timed and corrected.
        ratios: Shares for single groups, layers' output sides, or all groups named after layers of a module; the
            longest name counts. What they name is cut by them whatever the target.
        scope: Which units are ranked together: those of one group ("local"), of all groups ("global"), or of
            structurally equal groups ("isomorphic").
        floor: The smallest number of units that stays in a group, for all, or by names as in `ratios`.
        ceiling: The largest share of a group's units that goes, for all, or by names as in `ratios`.
        round_to: What is left of every dimension is a multiple of it where its size was one, for fast kernels; fewer
            units go.
        groups: Names of the groups to cut; all that can be cut if None.
        kind: What to cut where there are two ways, e.g. "head dimensions"; whole rows (heads) if None.
        protect: Names of groups, or of layers whose output side keeps all its units.
        protect_inputs: Names of layers whose input side keeps all its units.
        statistics: Groups over whose units a layer takes a mean, a variance or a maximum (`Group.statistics`) are
            cut like all others ("cut"), only when all others have lost what they may, which a ratio never asks for
            ("last"), or not at all ("keep").

    Raises:
        BadPlan: not exactly one target is given, one is out of range or cannot be met (the message says what can be,
            and what stands in the way); a group, layer or kind is unknown, or a group is locked or not scored.
    """
    targets = {"macs": macs, "parameters": parameters, "bytes": bytes, "latency": latency}
    wanted = {name: share for name, share in targets.items() if share is not None}
    _check_one(ratio, wanted, ratios)
    _check_choice("scope", scope, SCOPES)
    _check_choice("statistics", statistics, get_args(Statistics))
    kept = _protected(graph, protect) | {g.name for name in protect_inputs for g in graph.groups_of(name, "in")}
    chosen = [
        group
        for group in cut_groups(graph, groups, kind)
        if group.name not in kept and not (statistics == "keep" and group.statistics)
    ]
    _check_scored(chosen, scores)
    _check_ratios(graph, ratios or {}, chosen)
    fixed = {g: int(graph.groups[g].size * _ratio(share) + 1e-9) for g, share in _by_group(graph, ratios or {}).items()}
    order = ranking(
        graph,
        scores,
        chosen,
        scope,
        most=_most(graph, chosen, floor, ceiling),
        fixed={group.index: fixed[group.index] for group in chosen if group.index in fixed},
        last=[group.index for group in chosen if group.statistics] if statistics == "last" else (),
    )
    limits = _Limits(graph, rounding_steps(graph, round_to))
    removed = limits.within(order.cut(_ratio(ratio or 0.0)))
    for name, share in wanted.items():
        removed = _reaching(graph, order, limits, name, share)
    return plan_units(graph, {graph.groups[group].name: units for group, units in removed.items()})


def _reaching(graph: DependencyGraph, order: Ranking, limits: _Limits, name: str, share: float) -> Removed:
    """The smallest cut that leaves at most this share of a quantity."""
    _check_share(name, share)
    cuts = _Cuts(order, limits)
    largest = cuts.at(-1)
    if name == "latency":
        found, least = cut_to_latency(graph, cuts.at, cuts.count, share)
    else:
        found, least = _counted(graph, cuts, name, share), _left(graph, name, largest)
    if found is not None:
        return found
    raise BadPlan(
        asked=f"leave {share:.1%} of the {name}",
        found=f"{least:.1%} is the least that this model can be cut to with these arguments; "
        + "; ".join(_in_the_way(graph, largest)),
        where=type(graph.model).__name__,
        what_to_do=f"leave {least + 0.005:.0%} or more ({name}={least + 0.005:.2f}), or keep less",
    )


@dataclass(frozen=True)
class _Cuts:
    """Every cut that a ranking makes, from the smallest to the largest."""

    order: Ranking
    limits: _Limits
    held: Removed = field(default_factory=dict)  # group index -> units that go whatever the share is

    @cached_property
    def _shares(self) -> list[float]:
        return [float(share) for share in self.order.shares()]

    @property
    def count(self) -> int:
        return len(self._shares)

    def at(self, position: int) -> Removed:
        return self.limits.within({**self.order.cut(self._shares[position]), **self.held})

    def first(self, reaches: Callable[[Removed], bool]) -> int:
        """The position of the smallest that does, or of the largest."""
        return min(bisect_left(range(self.count), True, key=lambda at: reaches(self.at(at))), self.count - 1)

    def least(self, reaches: Callable[[Removed], bool]) -> Removed:
        """The smallest that does, or the largest: of the groups that lose units at once, only as many as it takes."""
        first = self.first(reaches)
        before, after = self.at(max(first - 1, 0)), self.at(first)
        more = [group for group in sorted(after) if len(after[group]) > len(before.get(group, ()))]

        def partly(count: int) -> Removed:
            return self.limits.within({**before, **{group: after[group] for group in more[:count]}})

        count = bisect_left(range(len(more)), True, key=lambda n: reaches(partly(n)))
        return partly(count) if count < len(more) else after


def _counted(graph: DependencyGraph, cuts: _Cuts, name: str, share: float) -> Removed | None:
    """The smallest cut that reaches the share, by exact counts.

    Sizes that the code ties move in leaps. Of the cut that holds them as they are after the leap, with less of all
    that is free, and the one that holds them as they are before it, with more, the nearer to the share is taken.
    """

    def left(removed: Removed) -> float:
        return _left(graph, name, removed)

    def reaches(removed: Removed) -> bool:
        return left(removed) <= share

    first = cuts.first(reaches)
    if not reaches(cuts.at(first)):
        return None
    tied = [group for part in parts(graph, cuts.order.units) if len(part) > 1 for group in part]
    states = [cuts.at(first), cuts.at(max(first - 1, 0))] if tied else []
    around = [replace(cuts, held={group: state[group] for group in tied}) for state in states]
    found = [each.least(reaches) for each in [*around, cuts]]
    return max(filter(reaches, found), key=lambda cut: round(left(cut), 2))


def _left(graph: DependencyGraph, name: str, removed: Removed) -> float:
    """The share of a quantity that is left."""
    book = ledger(graph)
    (quantity,) = [counted for counted in COUNTED if counted == name]
    return book.amount(quantity, removed) / max(book.amount(quantity, {}), 1)


def _in_the_way(graph: DependencyGraph, largest: Removed) -> list[str]:
    """What keeps a cut from growing: locks, and groups that are kept or have reached their limit, the largest first."""
    tensors = graph.record.parameters
    weight = {
        group.name: sum(tensors[m.parameter].tensor.numel() for m in group.members if not m.is_buffer)
        for group in (*graph.groups, *graph.locked_groups)
    }
    locked = sorted(graph.locked_groups, key=lambda group: -weight[group.name])
    stopped = [g for g in graph.groups if len(largest.get(g.index, ())) < g.size - 1 and g.option == 0]
    stopped.sort(key=lambda group: -weight[group.name])
    reasons = [
        f"{group.name or group.members[0].parameter} is locked: {group.lock.reason}"
        for group in locked[:_NAMED]
        if group.lock
    ]
    return reasons + [
        f"{group.name} loses at most {len(largest.get(group.index, ()))} of {group.size}" for group in stopped[:_NAMED]
    ]


def _most(
    graph: DependencyGraph,
    chosen: Sequence[Group],
    floor: int | Mapping[str, int],
    ceiling: float | Mapping[str, float],
) -> dict[int, int]:
    """Group index -> the largest number of units that may go."""
    floors = _by_group(graph, floor) if isinstance(floor, Mapping) else dict.fromkeys(range(len(graph.groups)), floor)
    ceilings = _by_group(graph, ceiling) if isinstance(ceiling, Mapping) else {g.index: ceiling for g in chosen}
    wrong: list[float] = [value for value in floors.values() if value < 1]
    wrong += [value for value in ceilings.values() if not 0 <= value <= 1]
    if wrong:
        raise BadPlan(
            asked=f"floor={floor!r} and ceiling={ceiling!r}",
            found=f"{wrong[0]!r} is out of range: a floor is at least 1 unit, a ceiling a share from 0 to 1",
            where="arguments floor and ceiling",
            what_to_do="give for example floor=8 or ceiling=0.9",
        )
    return {
        g.index: max(0, min(g.size - floors.get(g.index, 1), int(g.size * ceilings.get(g.index, 1.0) + 1e-9)))
        for g in chosen
    }


def rounding_steps(graph: DependencyGraph, round_to: int) -> dict[int, int]:
    """Group index -> the multiple in which its units stay, so that what they hold of every dimension is rounded.

    Raises:
        BadPlan: `round_to` is no whole number of at least 1.
    """
    if type(round_to) is not int or round_to < 1:
        raise BadPlan(
            asked=f"round_to={round_to!r}",
            found="sizes are rounded to a whole number of at least 1",
            where="argument round_to",
            what_to_do="give for example round_to=8",
        )
    steps: dict[int, int] = {}
    for dim in ledger(graph).dims if round_to > 1 else ():
        for group, counts in dim.parts:
            each = gcd(*np.unique(counts[counts > 0]).tolist()) or round_to
            steps[group] = lcm(steps.get(group, 1), round_to // gcd(round_to, each))
    return steps


def _by_group(graph: DependencyGraph, named: Mapping[str, _Value]) -> dict[int, _Value]:
    """Group index -> the value of the longest name that means it."""
    found: dict[int, _Value] = {}
    for name in sorted(named, key=len):
        found |= {group.index: named[name] for group in _groups_named(graph, name)}
    return found


def _groups_named(graph: DependencyGraph, name: str) -> list[Group]:
    """The groups that a group's, a layer's or a module's name means."""
    if name in graph.groups_by_name:
        return [group_to_cut(graph, name)]
    inside = [group for group in graph.groups if group.name.startswith(f"{name}.")]
    return inside or [group_to_cut(graph, group.name) for group in graph.groups_of(name)]


def _protected(graph: DependencyGraph, names: Iterable[str]) -> set[str]:
    known = graph.groups_by_name
    return set(chain.from_iterable([n] if n in known else [g.name for g in graph.groups_of(n)] for n in names))


def _ratio(ratio: float) -> float:
    """The ratio, or BadPlan where it is no number from 0 up to, but not including, 1."""
    if type(ratio) in (int, float) and 0 <= ratio < 1:
        return float(ratio)
    raise BadPlan(
        asked=f"cut a share of {ratio!r} of the units",
        found="a ratio is a number from 0 up to, but not including, 1: some units have to stay",
        where="argument ratio",
        what_to_do="give for example ratio=0.5 to cut half of every group's units",
    )


def _check_share(name: str, share: float) -> None:
    if type(share) in (int, float) and 0 < share <= 1:
        return
    raise BadPlan(
        asked=f"leave {share!r} of the {name}",
        found="a target is what is left as a share of the original, over 0 and up to 1",
        where=f"argument {name}",
        what_to_do=f"give for example {name}=0.4 to leave 40 %",
    )


def _check_one(ratio: float | None, wanted: Mapping[str, float], ratios: Mapping[str, float] | None) -> None:
    given = [*(["ratio"] if ratio is not None else []), *wanted]
    if len(given) == 1 or (not given and ratios):
        return
    raise BadPlan(
        asked=f"a plan for {' and '.join(given) or 'no target'}",
        found=f"{len(given)} targets; one decides how much goes",
        where="arguments ratio, macs, parameters, bytes, latency",
        what_to_do="give one of them, for example ratio=0.5 or macs=0.4",
    )


def _check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    if value in choices:
        return
    raise BadPlan(
        asked=f"a plan with {argument}={value!r}",
        found=f"no such {argument}",
        where=f"argument {argument}",
        what_to_do=f"use one of {', '.join(choices)}",
    )


def _check_ratios(graph: DependencyGraph, ratios: Mapping[str, float], chosen: Sequence[Group]) -> None:
    """A ratio of something that the plan leaves alone would be ignored."""
    cut = {group.index for group in chosen}
    for name in ratios:
        named = _groups_named(graph, name)
        if not any(group.index in cut for group in named):
            raise BadPlan(
                asked=f"cut a share of {ratios[name]} of {name}",
                found=f"the plan does not cut {', '.join(f'{group.name} (kind {group.kind})' for group in named[:5])}: "
                "it is protected, of another kind than what is cut, or not among the groups named",
                where="argument ratios",
                what_to_do="give its kind, name it in groups, or leave it out",
            )


def _check_scored(chosen: Sequence[Group], scores: Scores) -> None:
    missing = [group.name for group in chosen if group.name not in scores or len(scores[group.name]) != group.size]
    if not missing:
        return
    raise BadPlan(
        asked=f"cut {len(chosen)} groups",
        found=f"no scores for {', '.join(missing[:5])}",
        where="argument scores",
        what_to_do="score the same graph: plan(graph, score(graph), ratio=...)",
    )
