"""What a click means: plain functions on the session, tested without a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from prunescope.core.criteria import criterion_named
from prunescope.core.errors import BadInput, BadPlan, PrunescopeError
from prunescope.core.graph import DependencyGraph, Group, Side
from prunescope.core.plan import Plan, cut_groups, plan_units
from prunescope.core.ranking import Scope
from prunescope.core.sensitivity import Sensitivity, allocated
from prunescope.core.targets import COUNTED, plan
from prunescope.explorer import training
from prunescope.explorer.chains import Tie, tie
from prunescope.explorer.export import export_in_background
from prunescope.explorer.jobs import JobState
from prunescope.explorer.session import Session
from prunescope.explorer.view import group_layers

Where: TypeAlias = Literal["group", "all"]
Aim: TypeAlias = Literal["ratio", "macs", "parameters", "bytes", "latency"]
AIMS: Mapping[Aim, str] = MappingProxyType(
    {"ratio": "units", "macs": "MACs", "parameters": "parameters", "bytes": "bytes", "latency": "latency"}
)


Ranked: TypeAlias = Scope | Literal["sensitivity"]  # or shared out by what a sweep found


def selected_group(session: Session, selection: Mapping[str, Any] | None) -> Group | None:
    """The group of what the page says is selected; None where nothing is, or nothing of this version.

    A side may hold units of several groups: the selection's own `group` counts where the layer has a part in it.
    """
    if not selection or not selection.get("layer"):
        return None
    layer, graph = str(selection["layer"]), session.version.graph
    side: Side = "in" if selection.get("side") == "in" else "out"
    try:
        held = graph.groups_of(layer, side)
    except BadInput:
        # the page may still hold a selection of the version that was on screen before
        return None
    index = selection.get("group")
    chosen = next((g for g in (*graph.groups, *graph.locked_groups) if g.index == index), None)
    if chosen is not None and (chosen in held or layer in group_layers(graph, chosen)):
        return chosen
    return next(iter(held), None)


def asked_tie(session: Session, wish: Mapping[str, Any] | None) -> Tie | None:
    """What ties the two layers that the page asks about; None where it asks for none, or for none of this version."""
    if not wish:
        return None
    try:
        return tie(session.version.graph, str(wish["first"]), str(wish["second"]))
    except BadInput:
        # the page may still ask about layers of the version that was on screen before
        return None


@dataclass(frozen=True, slots=True)
class Wish:
    """A cut, as the Cut panel says it."""

    percent: float  # of the units that go, or of what is left of the aim
    where: Where = "all"
    criterion: str = "magnitude"
    aim: Aim = "ratio"
    ranked: Ranked = "local"  # only for cuts of all groups
    round_to: int = 1

    def __str__(self) -> str:
        if self.aim == "ratio":
            return f"{self.percent:.0f} %"
        return f"{self.percent:.0f} % of {AIMS[self.aim]} left"


@dataclass(frozen=True, slots=True)
class Picks:
    """Units that the person has picked, by the name of their group."""

    cut: Mapping[str, frozenset[int]]  # go, whatever their score
    keep: Mapping[str, frozenset[int]]  # stay


NO_PICKS = Picks(MappingProxyType({}), MappingProxyType({}))


def picked(session: Session, record: Mapping[str, Any] | None) -> Picks:
    """What the page says of picked units; none where they are of another version."""
    if not record or record.get("version") != session.version.id:
        return NO_PICKS
    known = session.version.graph.groups_by_name
    picks = {name: pick for name, pick in record.get("picks", {}).items() if name in known}

    def units(what: str) -> dict[str, frozenset[int]]:
        return {name: frozenset(map(int, pick[what])) for name, pick in picks.items() if pick.get(what)}

    return Picks(units("cut"), units("keep"))


def by_hand(session: Session, picks: Picks) -> Plan:
    """The plan of just the units that were picked to go.

    Raises:
        BadPlan: none was, or a group would lose all its units.
    """
    if picks.cut:
        return plan_units(session.version.graph, picks.cut)
    raise BadPlan(
        asked="cut the units that are picked",
        found="none is picked to go",
        where="Importance",
        what_to_do="click units of the selected group, or drag the line",
    )


def _with_picks(graph: DependencyGraph, made: Plan, picks: Picks) -> Plan:
    """A plan in which what was picked goes or stays."""
    units = {removal.group: set(removal.units) for removal in made.removals}
    for name, own in picks.cut.items():
        units.setdefault(name, set()).update(own)
    return plan_units(graph, {name: own - picks.keep.get(name, frozenset()) for name, own in units.items()})


def planned(session: Session, wish: Wish, selection: Mapping[str, Any] | None, picks: Picks = NO_PICKS) -> Plan:
    """The plan that Apply does.

    Args:
        picks: What was picked goes or stays, on top of what the wish takes.

    Raises:
        BadPlan: no group is selected where one is needed, it is locked, the aim is out of reach, or the cut removes
            nothing.
    """
    graph = session.version.graph
    group = selected_group(session, selection)
    if wish.where == "group" and group is None:
        raise BadPlan(
            asked=f"cut {wish} of the selected group",
            found="no layer with a group is selected",
            where="the graph",
            what_to_do="click a layer first, or choose All groups",
        )
    names = [group.name] if wish.where == "group" and group else None
    scores = session.scores(wish.criterion)
    if wish.ranked == "sensitivity" and names is None:
        _check_shared_out(wish)
        aim: dict[str, Any] = {wish.aim: wish.percent / 100}
        made = allocated(graph, scores, swept(session, wish.criterion), round_to=wish.round_to, **aim)
    else:
        made = plan(graph, scores, **_options(wish, names))
    if picks.cut or picks.keep:
        made = _with_picks(graph, made, picks)
    if made.removals:
        return made
    smallest = min((g.size for g in cut_groups(graph, names)), default=0)
    raise BadPlan(
        asked=f"cut {wish} of {names[0] if names else 'every group'}",
        found="the cut removes no unit",
        where=f"groups of {smallest} units and more" if smallest else "a model without groups that can be cut",
        what_to_do="choose a larger cut",
    )


def tied_cut(session: Session, asked: Mapping[str, Any]) -> dict[str, Any]:
    """{key, removed}: how many units of each group the plan of a wish takes; None where there is no such plan.

    Args:
        asked: {version, wish, selection, units, key} of the page.
    """
    graph, nothing = session.version.graph, {"key": asked["key"], "removed": None}
    if asked["version"] != session.version.id:
        return nothing
    try:
        made = planned(session, Wish(**asked["wish"]), asked["selection"], picked(session, asked["units"]))
    except PrunescopeError:
        # the page says itself what is out of reach, and Apply says why
        return nothing
    return {"key": asked["key"], "removed": [[graph.group(r.group).index, len(r.units)] for r in made.removals]}


def _options(wish: Wish, names: Sequence[str] | None) -> dict[str, Any]:
    """A wish as `plan` takes it."""
    scope = "local" if names else wish.ranked
    return {wish.aim: wish.percent / 100, "scope": scope, "round_to": wish.round_to, "groups": names}


def swept(session: Session, criterion: str) -> Sensitivity:
    """What the sweep of the version on screen found.

    Raises:
        BadPlan: none is done, or its units were rated otherwise.
    """
    sweep = session.sweep()
    if sweep is not None and sweep.original is not None and sweep.criterion == criterion:
        return Sensitivity(sweep.original, sweep.cuts)
    found = "there is no complete sweep of it"
    if sweep is not None and sweep.original is not None:
        found = f"its sweep rated units by {criterion_named(sweep.criterion).label}"
    raise BadPlan(
        asked=f"share out a cut of {session.version.name} by what a sweep found",
        found=found,
        where="Importance, Sensitivity",
        what_to_do="measure the sensitivity there, with the same way to rate units; or rank units in another way",
    )


def _check_shared_out(wish: Wish) -> None:
    if wish.aim in COUNTED:
        return
    raise BadPlan(
        asked=f"share out {wish} by what a sweep found",
        found=f"it shares out {', '.join(COUNTED)}, not {AIMS[wish.aim]}",
        where="Cut, Aim at a share of",
        what_to_do="choose another aim, or rank units in another way",
    )


def apply(session: Session, wish: Wish, selection: Mapping[str, Any] | None, picks: Picks = NO_PICKS) -> JobState:
    """Start the job that cuts, verifies and measures; a cut to a latency is found in the job, by timing.

    Raises:
        BadPlan: see `planned`; or a job is already running.
    """
    _check_idle(session, "apply a cut")
    group = selected_group(session, selection)
    name = f"{wish} of {group.name}" if wish.where == "group" and group else _named(wish)
    if wish.aim == "latency":
        return session.apply_in_background(lambda: planned(session, wish, selection, picks), name)
    return session.apply_in_background(planned(session, wish, selection, picks), name)


def apply_in_steps(
    session: Session, wish: Wish, selection: Mapping[str, Any] | None, steps: int, epochs: int, taught: bool
) -> JobState:
    """Start the job that makes the same cut in steps, with fine-tuning in between.

    Raises:
        BadPlan: as `apply` does; or the cut is shared out by a sweep, which knows the version on screen alone.
        BadInput: there is nothing to train with.
    """
    _check_idle(session, "cut in steps")
    group = selected_group(session, selection) if wish.where == "group" else None
    if wish.ranked == "sensitivity" and group is None:
        raise BadPlan(
            asked="cut in steps, shared out by what a sweep found",
            found="the sweep is of the version on screen, and not of those between",
            where="Cut, Rank units",
            what_to_do="rank units in another way, or apply the cut at once",
        )
    if wish.aim != "latency":
        # what cannot be had is said at once, and not by the job
        planned(session, wish, selection)
    name = f"{wish} of {group.name}" if group else _named(wish)
    options = _options(wish, [group.name] if group else None)
    return training.in_steps(session, steps, epochs, taught, name, wish.criterion, options)


def apply_picked(session: Session, picks: Picks) -> JobState:
    """Start the job that cuts just the units that were picked. Raises as `by_hand` does, or where a job is running."""
    _check_idle(session, "cut the units that are picked")
    made = by_hand(session, picks)
    count = sum(len(removal.units) for removal in made.removals)
    where = made.removals[0].group if len(made.removals) == 1 else f"{len(made.removals)} groups"
    return session.apply_in_background(made, f"{count} by hand of {where}")


def predict_latency(session: Session) -> JobState:
    """Start the job that times some cuts, so that the preview can say the latency."""
    _check_idle(session, "measure cuts")
    return session.fit_latency()


def _named(wish: Wish) -> str:
    return f"{wish} of all groups" if wish.aim == "ratio" else str(wish)


def tune(session: Session, epochs: int = training.EPOCHS, taught: bool = False) -> JobState:
    """Start the job that fine-tunes the version on screen; `taught`: by the original's answers too.

    Raises:
        BadInput: there is nothing to train with.
        BadPlan: a job is already running.
    """
    _check_idle(session, "fine-tune")
    return training.tune(session, epochs, taught)


def sparsify(session: Session, epochs: int, strength: float) -> JobState:
    """Start the job that trains the version on screen with group sparsity. Raises as `tune` does."""
    _check_idle(session, "train sparsely")
    return training.sparsify(session, epochs, strength)


def recalibrate(session: Session) -> JobState:
    """Start the job that measures normalisation statistics anew. Raises as `tune` does."""
    _check_idle(session, "recalibrate")
    return training.recalibrate(session)


def sweep(session: Session, criterion: str) -> JobState:
    """Start the sweep over single groups. Raises as `tune` does."""
    _check_idle(session, "sweep")
    return training.sweep(session, criterion)


def _check_idle(session: Session, what: str) -> None:
    if session.jobs.active:
        raise BadPlan(
            asked=what,
            found=f"a job is running: {session.jobs.active[0].title}",
            where="this session",
            what_to_do="wait until it is done, or cancel it",
        )


def export(session: Session, kind: str) -> JobState:
    """Start the job that makes a file of the version on screen. Raises where a job is running."""
    _check_idle(session, "export")
    return export_in_background(session, kind)


def message(error: PrunescopeError) -> dict[str, str]:
    """An error in its four parts, for the page."""
    return {
        "asked": error.asked,
        "found": error.found,
        "where": error.where,
        "what_to_do": error.what_to_do,
    }
