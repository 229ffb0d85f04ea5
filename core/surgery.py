"""A plan done: a new model with the planned indices cut out. The given model is left as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunescope.core.accepted import accepted
from prunescope.core.errors import BadInput, BadPlan, TraceFailed, VerificationFailed
from prunescope.core.expressions import AttributeKey, evaluated
from prunescope.core.fitting import clash_text, inseparable, size_ties, use_text
from prunescope.core.graph import DependencyGraph
from prunescope.core.inputs import as_call, random_inputs
from prunescope.core.labels import COMPETING_UNITS, Vector
from prunescope.core.plan import Plan, Removal, fingerprint
from prunescope.core.preserve import collector_paused, preserved, set_mode
from prunescope.core.rebuild import Change, Scaling, Slices, rebuilt
from prunescope.core.repair import Repair, repaired
from prunescope.core.temperature import Rows
from prunescope.core.trace import trace
from prunescope.core.unfollowed import Unfollowed, unfollowed
from prunescope.core.verify import Verification, verified


@dataclass(frozen=True, slots=True)
class Folded:
    """Rows of a parameter that were scaled, so that a factor made of a size that was cut changes nothing."""

    rows: Rows
    by: float
    before: int  # the size
    after: int

    def __str__(self) -> str:
        return (
            f"{self.rows.parameter}[{self.rows}] times {self.by:.4g}: "
            f"keeps the factor that the code makes of a size {self.before} -> {self.after}"
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A group that was planned but not cut, because the cut did not pass verification with it."""

    group: str  # its name
    reason: str  # what verification found


@dataclass(frozen=True)
class Pruned:
    """What `prune` gives."""

    model: nn.Module  # new; shares no tensor that was cut with the original
    plan: Plan  # what was done: the given plan, without the groups that were left out
    repairs: tuple[Repair | Folded, ...]
    verification: Verification | None  # None where it was not asked for
    graph: DependencyGraph  # of the original, the one that the plan was done on
    left_out: tuple[LeftOut, ...] = ()  # groups of the given plan that failed verification
    unfollowed: tuple[Unfollowed, ...] = ()  # attributes that other methods than `forward` may read a size from

    def __str__(self) -> str:
        checked = str(self.verification) if self.verification else "not verified"
        named = [f"left out {culprit.group}, {culprit.reason}" for culprit in self.left_out]
        more = len(self.unfollowed) - _SHOWN
        stale = [*map(str, self.unfollowed[:_SHOWN]), *([f"{more} more such attributes"] if more > 0 else [])]
        return "; ".join([checked, *named, *stale])


_SHOWN = 3  # attributes that were not followed


@collector_paused()
@torch.no_grad()
def prune(model: nn.Module, plan: Plan, *, example_inputs: Any = None, verify: bool = True) -> Pruned:
    """A new model without the units of the plan, verified. `model` is never changed; what wraps it is left off.

    Where the whole plan fails verification, the groups at fault are found and left out, and the rest is done.

    Args:
        model: The model that the plan was made for, or another of the same class and sizes.
        plan: What `plan` gave, or `Plan.from_json` read.
        example_inputs: Needed only where the plan was read from JSON and its inputs cannot be made up.
        verify: False skips the verification; only to time the cut.

    Raises:
        BadPlan: the plan was made for another model, or removes nothing.
        VerificationFailed: no part of the plan gives a model that runs and is the original without the removed units.
    """
    graph = _graph_for(model, plan, example_inputs)
    if not plan.removals:
        raise _nothing_to_remove(graph)
    try:
        return _done(graph, plan, verify)
    except VerificationFailed as error:
        return _done_without_culprits(graph, plan, error)


def _nothing_to_remove(graph: DependencyGraph) -> BadPlan:
    where = f"a plan for {type(graph.model).__name__}"
    if graph.groups:
        tied = dict.fromkeys(use_text(graph, use) for use in size_ties(graph).uses)
        return BadPlan(
            asked="prune a model",
            found=f"the plan removes no unit of {len(graph.groups)} groups"
            + (f"; sizes in the code that have to fit after a cut: {', '.join([*tied][:3])}" if tied else ""),
            where=where,
            what_to_do=_how_to_remove_some({group.kind for group in graph.groups}, bool(tied)),
        )
    # one lock of every reason, the one that holds most
    told = {lock.reason: lock for lock in sorted(graph.locks, key=lambda lock: lock.units)}
    reasons = sorted(told.values(), key=lambda lock: -lock.units)
    return BadPlan(
        asked="prune a model",
        found=f"no group can be cut; {'; '.join(map(str, reasons[:4])) or 'no parameter is reached'}",
        where=where,
        what_to_do="graph.locks lists every reason with its line of code",
    )


def _how_to_remove_some(kinds: Collection[str], tied: bool) -> str:
    if kinds == {COMPETING_UNITS}:
        return f'cut units that share one whole by their name: plan(graph, scores, ratio=..., kind="{COMPETING_UNITS}")'
    higher = "plan with a higher ratio (a group of K units loses K * ratio of them, rounded down)"
    if not tied:
        return higher
    return (
        f"if that is less than one of every group, {higher}; if not, the sizes named stand in the way: "
        "plan_units(graph, {group: units}) says which of them does for which units"
    )


def _done(graph: DependencyGraph, plan: Plan, verify: bool) -> Pruned:
    removed, gone, attributes = _removed_indices(graph, plan), _removed_labels(graph, plan), _settled(graph, plan)
    folds = _folds(graph, gone, attributes)
    changes = _changes(graph, removed, folds)
    pruned = rebuilt(graph.model, {id(change.tensor): change.made(change.tensor) for change in changes.values()})
    folded: list[Repair | Folded] = [fold for found in folds.values() for fold in found]
    repairs = [*repaired(graph.model, pruned, attributes, graph.record.space.kept_attributes), *folded]
    verification = verified(graph, pruned, changes, gone) if verify else None
    asked = {(key.module, key.name) for key in attributes}
    followed = asked | {(each.module, each.attribute) for each in repairs if isinstance(each, Repair)}
    stale = unfollowed(graph.model, pruned, followed, graph.record.space.kept_attributes)
    return Pruned(pruned, plan, tuple(repairs), verification, graph, unfollowed=stale)


def _folds(
    graph: DependencyGraph, gone: NDArray[np.bool_], attributes: Mapping[AttributeKey, int]
) -> dict[str, list[Folded]]:
    """Parameter name -> the rows that take up what the cut does to factors in the code."""

    def kept(labels: Vector) -> int:
        return int(((labels < 0) | ~gone[labels]).sum())

    found: dict[str, list[Folded]] = {}
    for fold in graph.record.folds:
        left = evaluated(fold.size, kept, attributes)
        if not left or left == fold.value:
            continue
        by = (fold.value / left) ** fold.power
        for rows in fold.rows:
            found.setdefault(rows.parameter, []).append(Folded(rows, by, fold.value, left))
    return found


def _changes(
    graph: DependencyGraph, removed: Mapping[str, Mapping[int, Slices]], folds: Mapping[str, Sequence[Folded]]
) -> dict[str, Change]:
    """Parameter name -> all that becomes of it."""
    return {
        name: Change(
            graph.record.parameters[name].tensor,
            removed.get(name, {}),
            tuple(Scaling(fold.rows.dim, fold.rows.indices, fold.by) for fold in folds.get(name, ())),
        )
        for name in dict.fromkeys((*removed, *folds))
    }


def _done_without_culprits(graph: DependencyGraph, plan: Plan, error: VerificationFailed) -> Pruned:
    """What passes of a plan that failed as a whole. Raises `error` where nothing does."""
    left_out = _culprits(graph, plan, inseparable(graph, plan), str(error.found))
    names = {culprit.group for culprit in left_out}
    rest = replace(plan, removals=tuple(removal for removal in plan.removals if removal.group not in names))
    if not rest.removals or not names:
        raise error
    return replace(_done(graph, rest, verify=True), left_out=tuple(left_out))


def _culprits(graph: DependencyGraph, plan: Plan, parts: Sequence[Sequence[Removal]], reason: str) -> list[LeftOut]:
    """Of parts that fail together, those that fail alone; by halves."""
    if len(parts) == 1:
        return [LeftOut(removal.group, reason) for removal in parts[0]]
    found: list[LeftOut] = []
    middle = len(parts) // 2
    for half in (parts[:middle], parts[middle:]):
        try:
            _done(graph, replace(plan, removals=tuple(removal for part in half for removal in part)), verify=True)
        except VerificationFailed as error:
            found += _culprits(graph, plan, half, str(error.found))
    return found


def _graph_for(model: nn.Module, plan: Plan, example_inputs: Any) -> DependencyGraph:
    """The graph that the plan was made on where it is this model's, else a new trace, checked against the plan."""
    if not isinstance(plan, Plan):
        raise BadInput(
            asked="prune a model by a plan",
            found=f"plan is of type {type(plan).__name__}",
            where="argument plan",
            what_to_do="give what plan(graph, scores, ratio=...) or Plan.from_json(text) returned",
        )
    graph = plan.graph
    if graph is None or graph.model is not model:
        model = accepted(model)
    if graph is None or graph.model is not model:
        graph = _traced(model, plan) if example_inputs is None else trace(model, example_inputs)
    found = fingerprint(graph)
    if found == plan.fingerprint:
        return graph
    missing = [r.group for r in plan.removals if r.group not in {group.name for group in graph.groups}]
    raise BadPlan(
        asked=f"prune {type(model).__name__} by a plan for {len(plan.removals)} groups",
        found=f"the plan was made for another model: fingerprint {plan.fingerprint}, this model's is {found}"
        + (f"; groups it does not have: {', '.join(missing[:5])}" if missing else ""),
        where=type(model).__name__,
        what_to_do="trace this model and plan again, or give the model that the plan was made for",
    )


def _traced(model: nn.Module, plan: Plan) -> DependencyGraph:
    """The graph on inputs that are made up by what the plan says of them."""
    inputs = random_inputs(plan.inputs)
    args, kwargs = as_call(inputs)
    try:
        with preserved(model, unversioned=True):
            set_mode(model, training=False)
            model(*args, **kwargs)
    except Exception as error:
        raise TraceFailed(
            asked=f"run {type(model).__name__} on random inputs of the shapes and types that the plan was made with",
            found=f"{type(error).__name__}: {error}",
            where="the inputs of the plan, which holds no values",
            what_to_do="give inputs that fit the model: prune(model, plan, example_inputs=...)",
        ) from error
    return trace(model, inputs)


def _removed_indices(graph: DependencyGraph, plan: Plan) -> dict[str, dict[int, Slices]]:
    """Parameter name -> by dimension, the indices that go."""
    parts: dict[tuple[str, int, int], list[Vector]] = {}  # by parameter, dimension and its size
    for removal in plan.removals:
        units = np.array(removal.units, dtype=np.int64)
        known: dict[int, Vector] = {}  # by id of the indices, which members share
        for member in graph.group(removal.group).members:
            if id(member.indices) not in known:
                known[id(member.indices)] = member.of_units(units)
            parts.setdefault((member.parameter, member.dim, member.size), []).append(known[id(member.indices)])
    made: dict[tuple[int, ...], Slices] = {}
    removed: dict[str, dict[int, Slices]] = {}
    for (name, dim, size), found in parts.items():
        key = (size, *map(id, found))
        if key not in made:
            made[key] = Slices(np.concatenate(found), size)
        removed.setdefault(name, {})[dim] = made[key]
    return removed


def _removed_labels(graph: DependencyGraph, plan: Plan) -> NDArray[np.bool_]:
    """(labels,) True where a label goes."""
    components = [np.zeros(coupling.lock.size, dtype=bool) for coupling in graph.record.couplings]
    for removal in plan.removals:
        group = graph.group(removal.group)
        components[group.option][group.components[list(removal.units)]] = True
    gone = np.zeros(graph.record.space.count, dtype=bool)
    for removed, coupling in zip(components, graph.record.couplings, strict=True):
        gone |= removed[coupling.component]
    return gone


def _settled(graph: DependencyGraph, plan: Plan) -> Mapping[AttributeKey, int]:
    """New values of the attributes that hold sizes. Raises BadPlan where a size in the code would not fit."""
    settled = size_ties(graph).settled({graph.group(r.group).index: r.units for r in plan.removals})
    if not settled.clashes:
        return settled.attributes
    faults = [clash_text(graph, clash) for clash in settled.clashes]
    raise BadPlan(
        asked=f"cut units of {', '.join(removal.group for removal in plan.removals[:5])}",
        found="sizes in the model's code would not fit: " + "; ".join(dict.fromkeys(faults[:3])),
        where=type(graph.model).__name__,
        what_to_do="cut the groups that share the size by the same amount: plan(graph, scores, ratio=...) does",
    )
