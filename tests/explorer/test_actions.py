"""What a click means: which plan, which job, which file, and the message where it cannot be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from prunescope.core import plan
from prunescope.core.errors import BadInput, BadPlan, PrunescopeError
from prunescope.core.ranking import SCOPES, Scope
from prunescope.core.targets import COUNTED
from prunescope.explorer import actions
from prunescope.explorer.actions import Where, Wish
from prunescope.explorer.jobs import Progress
from prunescope.explorer.session import Session
from tests.models import flattened, grouped, image

PATIENCE = 60.0
FIRST = {"layer": "0", "side": "out"}
NOWHERE: tuple[Mapping[str, Any] | None, ...] = (
    None,
    {},
    {"layer": None, "side": None, "group": None},
    {"layer": "layer9", "side": "out"},  # of a version that was on screen before
    {"layer": "0", "side": "neither"},
)


@pytest.fixture
def session() -> Session:
    return Session(flattened(), image())


@pytest.mark.parametrize(("layer", "side"), [("0", "out"), ("3", "in"), ("3", "out"), ("5", "in"), ("5", "out")])
def test_the_selected_group_is_the_cores_group_of_that_side(session: Session, layer: str, side: Any) -> None:
    expected = session.version.graph.group_of(layer, side)
    assert expected is not None
    assert actions.selected_group(session, {"layer": layer, "side": side}) == expected


@pytest.mark.parametrize("selection", NOWHERE[:-1])
def test_a_selection_of_nothing_in_this_version_has_no_group(
    session: Session, selection: Mapping[str, Any] | None
) -> None:
    assert actions.selected_group(session, selection) is None


@pytest.mark.parametrize(("where", "groups"), [("all", None), ("group", ["0"])])
@pytest.mark.parametrize("criterion", ["magnitude", "magnitude-l1"])
@pytest.mark.parametrize("percent", [13, 25, 50, 87.5])
def test_a_share_is_planned_as_the_core_plans_it(
    session: Session, criterion: str, percent: float, where: Where, groups: list[str] | None
) -> None:
    expected = plan(session.version.graph, session.scores(criterion), ratio=percent / 100, groups=groups)
    assert expected.removals
    assert actions.planned(session, Wish(percent, where, criterion), FIRST) == expected


@pytest.mark.parametrize("ranked", SCOPES)
@pytest.mark.parametrize("aim", COUNTED)
def test_a_target_is_planned_as_the_core_plans_it(session: Session, aim: Any, ranked: Scope) -> None:
    expected = plan(session.version.graph, session.scores(), scope=ranked, round_to=2, **{aim: 0.4})
    assert actions.planned(session, Wish(40, aim=aim, ranked=ranked, round_to=2), None) == expected


def test_a_cut_to_a_latency_is_timed_in_its_job() -> None:
    session = Session(nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 8)), torch.randn(64, 256))
    job = actions.apply(session, Wish(60, aim="latency"), None)
    session.jobs.wait(PATIENCE)
    assert session.last_job is not None
    assert (session.last_job.status, session.last_job.error) == ("done", "")
    assert session.version.name == job.title == "60 % of latency left"
    assert session.version.parameters < session.versions[0].parameters


def test_all_groups_of_a_family_that_can_be_cut_in_two_ways_are_planned_in_one() -> None:
    session = Session(grouped(), image())
    made = actions.planned(session, Wish(50), None)
    families = [session.version.graph.group(removal.group).family for removal in made.removals]
    assert len(set(families)) == len(families)


REFUSED: list[tuple[float, Where, Mapping[str, Any] | None, str, str]] = [
    (50, "group", None, "no layer with a group is selected", "click a layer"),
    (50, "group", {"layer": "5", "side": "out"}, "it is the model's output", "choose among"),
    (5, "all", None, "removes no unit", "larger cut"),
    (0, "group", FIRST, "removes no unit", "larger cut"),
    (100, "all", None, "some units have to stay", "ratio=0.5"),
    (-10, "all", None, "from 0 up to", "ratio=0.5"),
    (float("nan"), "all", None, "from 0 up to", "ratio=0.5"),
]


@pytest.mark.parametrize(("percent", "where", "selection", "found", "way_out"), REFUSED)
def test_a_cut_that_cannot_be_is_refused_with_the_way_out_and_starts_no_job(
    session: Session, percent: float, where: Where, selection: Mapping[str, Any] | None, found: str, way_out: str
) -> None:
    with pytest.raises(BadPlan, match=found) as raised:
        actions.apply(session, Wish(percent, where), selection)
    assert way_out in raised.value.what_to_do
    assert session.jobs.states == ()
    assert len(session.versions) == 1


def test_an_unknown_criterion_is_answered_with_all_of_them(session: Session) -> None:
    with pytest.raises(BadInput, match="magnitude-l1"):
        actions.apply(session, Wish(50, criterion="size"), None)


def test_apply_makes_the_planned_version_and_measures_it() -> None:
    session = Session(flattened(), image(), evaluate=lambda model: 0.5)
    expected = actions.planned(session, Wish(50, "group"), FIRST)
    job = actions.apply(session, Wish(50, "group"), FIRST)
    session.jobs.wait(PATIENCE)
    version = session.version
    assert version.pruned is not None
    assert version.pruned.plan == expected
    assert version.name == job.title == "50 % of 0"
    assert (version.accuracy, version.latency is None) == (0.5, False)


@pytest.mark.parametrize(
    "click",
    [lambda session: actions.apply(session, Wish(50), None), actions.tune],
    ids=["apply", "fine-tune"],
)
def test_while_a_job_runs_no_other_is_started(click: Callable[[Session], Any]) -> None:
    session = Session(flattened(), image(), train=lambda model, report: None)
    go_on = threading.Event()

    def work(progress: Progress) -> None:
        assert go_on.wait(PATIENCE)

    session.jobs.submit("Measure the original", work)
    with pytest.raises(BadPlan, match="a job is running: Measure the original"):
        click(session)
    go_on.set()
    session.jobs.wait(PATIENCE)
    click(session)
    session.jobs.wait(PATIENCE)
    assert [job.status for job in session.jobs.states] == ["done", "done"]


def test_the_message_on_the_page_has_the_four_parts_of_the_error() -> None:
    error = PrunescopeError(asked="a", found="f", where="w", what_to_do="d")
    assert actions.message(error) == {"asked": "a", "found": "f", "where": "w", "what_to_do": "d"}


def pick(session: Session, name: str, cut: Sequence[int], keep: Sequence[int]) -> dict[str, Any]:
    order = session.scores()[name].argsort(descending=True, stable=True).tolist()
    return {"version": session.version.id, "picks": {name: {"cut": cut, "keep": keep, "order": order}}}


def test_what_is_picked_goes_and_what_is_kept_stays_whatever_the_cut_takes(session: Session) -> None:
    order = session.scores()["0"].argsort(stable=True).tolist()  # the least important first
    best, worst = order[-1], order[0]
    picks = actions.picked(session, pick(session, "0", [best], [worst]))
    made = actions.planned(session, Wish(50), None, picks)
    (units,) = [set(removal.units) for removal in made.removals if removal.group == "0"]
    assert units == {best, *order[1:4]}
    assert actions.by_hand(session, picks).removals[0].units == (best,)


def test_picks_of_another_version_and_of_unknown_groups_count_for_nothing(session: Session) -> None:
    record = pick(session, "0", [1], [])
    assert actions.picked(session, {**record, "version": 7}) == actions.NO_PICKS
    assert (
        actions.picked(session, {"version": 0, "picks": {"no such group": {"cut": [1], "keep": []}}})
        == actions.NO_PICKS
    )
    assert actions.picked(session, None) == actions.NO_PICKS


def test_a_cut_by_hand_takes_just_the_units_that_were_picked(session: Session) -> None:
    actions.apply_picked(session, actions.picked(session, pick(session, "3", [0, 5], [])))
    session.jobs.wait(PATIENCE)
    assert session.version.name == "2 by hand of 3"
    assert session.version.pruned is not None
    assert session.version.pruned.plan.removals[0].units == (0, 5)


def test_nothing_picked_and_everything_picked_are_refused(session: Session) -> None:
    with pytest.raises(BadPlan):
        actions.apply_picked(session, actions.NO_PICKS)
    with pytest.raises(BadPlan):
        actions.apply_picked(session, actions.picked(session, pick(session, "0", list(range(8)), [])))
    assert len(session.versions) == 1
