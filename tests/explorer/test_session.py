"""A session: a tree of versions that nothing but a verified cut or a finished training adds to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from prunescope.core import Plan, plan, plan_units, predicted, prune
from prunescope.core.errors import BadInput, BadPlan, PrunescopeError, VerificationFailed
from prunescope.core.export import tensors_of
from prunescope.core.measure import macs, parameters
from prunescope.explorer import training
from prunescope.explorer.gallery import open_model
from prunescope.explorer.gallery.data import load as load_digits
from prunescope.explorer.gallery.models import DigitsResNet
from prunescope.explorer.session import Session, plans_from_original
from prunescope.explorer.version import Version
from tests.models import NoNarrower, flattened, image

PATIENCE = 60.0
PARTS = ("Asked:", "Where:", "What to do:")


@dataclass(frozen=True)
class Found:
    """A session as it stands, to be compared with how it stands later."""

    versions: tuple[tuple[int, int | None, str, int], ...]
    shown: int
    undo_redo: tuple[bool, bool]
    state: dict[str, Tensor]  # of the model on screen
    training: bool

    @classmethod
    def of(cls, session: Session) -> Found:
        return cls(
            tuple((v.id, v.parent, v.name, id(v.model)) for v in session.versions),
            session.version.id,
            (session.can_undo, session.can_redo),
            {name: tensor.clone() for name, tensor in session.model.state_dict().items()},
            session.model.training,
        )

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Found)
        same = self.state.keys() == other.state.keys() and all(
            torch.equal(tensor, other.state[name]) for name, tensor in self.state.items()
        )
        return same and (self.versions, self.shown, self.undo_redo, self.training) == (
            other.versions,
            other.shown,
            other.undo_redo,
            other.training,
        )


@pytest.fixture
def session() -> Session:
    return Session(flattened(), image())


def half(session: Session) -> Plan:
    return plan(session.version.graph, session.scores(), ratio=0.5)


def one_unit(session: Session) -> Plan:
    return plan_units(session.version.graph, {"0": [0]})


def output(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = model.eval()(x)
    return out


def test_apply_shows_a_new_version_with_what_the_plan_predicts_and_keeps_the_original(session: Session) -> None:
    before = Found.of(session)
    made, left = half(session), predicted(session.version.graph, half(session))
    version = session.apply(made, "half")
    assert (version.id, version.parent, version.name) == (1, 0, "half")
    assert session.model is version.model
    assert (version.parameters, version.macs) == (left.parameters, left.macs)
    assert (parameters(version.model), macs(version.model, image())) == (left.parameters, left.macs)
    assert version.pruned is not None
    assert version.pruned.verification is not None
    session.undo()
    after = Found.of(session)
    assert after.state.keys() == before.state.keys()
    assert all(torch.equal(after.state[name], tensor) for name, tensor in before.state.items())


def test_undo_goes_up_to_the_original_and_redo_down_again(session: Session) -> None:
    for _ in range(2):
        session.apply(one_unit(session))
    assert [session.undo().id for _ in range(3)] == [1, 0, 0]
    assert not session.can_undo
    assert [session.redo().id for _ in range(3)] == [1, 2, 2]
    assert not session.can_redo


def test_a_cut_after_undo_is_a_branch_and_redo_follows_the_branch_that_was_left_last(session: Session) -> None:
    session.apply(one_unit(session), "one")
    session.undo()
    session.apply(half(session), "half")
    assert [(v.name, v.parent) for v in session.versions] == [("original", None), ("one", 0), ("half", 0)]
    session.undo()
    assert session.redo().name == "half"
    session.show(1)
    session.undo()
    assert session.redo().name == "one"


def test_a_shown_version_is_the_one_that_is_cut_next(session: Session) -> None:
    session.apply(one_unit(session))
    session.apply(one_unit(session))
    session.show(1)
    assert session.apply(one_unit(session)).parent == 1


def test_the_revision_grows_with_every_change(session: Session) -> None:
    steps: list[Callable[[], object]] = [
        lambda: session.apply(one_unit(session)),
        session.undo,
        session.redo,
        lambda: session.show(0),
        lambda: session.select("0"),
        session.measure,
    ]
    for step in steps:
        before = session.revision
        step()
        assert session.revision > before


def test_a_plan_for_another_version_is_refused_and_changes_nothing(session: Session) -> None:
    for_the_original = half(session)
    session.apply(for_the_original)
    before = Found.of(session)
    with pytest.raises(BadPlan, match="made for another model") as raised:
        session.apply(for_the_original)
    assert all(part in str(raised.value) for part in PARTS)
    assert Found.of(session) == before


def test_a_cut_that_cannot_be_verified_changes_nothing() -> None:
    session = Session(NoNarrower().eval(), image())
    before = Found.of(session)
    with pytest.raises(VerificationFailed, match="eight channels are needed") as raised:
        session.apply(half(session))
    assert all(part in str(raised.value) for part in PARTS)
    assert Found.of(session) == before


def test_a_cut_that_cannot_be_verified_ends_its_job_as_failed_and_changes_nothing() -> None:
    session = Session(NoNarrower().eval(), image())
    before = Found.of(session)
    session.apply_in_background(half(session))
    session.jobs.wait(PATIENCE)
    (job,) = session.jobs.states
    assert job.status == "failed"
    assert "eight channels are needed" in job.error
    assert Found.of(session) == before


@pytest.mark.parametrize("version", [-1, 1, 99])
def test_a_version_that_does_not_exist_is_not_shown(session: Session, version: int) -> None:
    before = Found.of(session)
    with pytest.raises(BadInput, match="versions 0 to 0"):
        session.show(version)
    assert Found.of(session) == before


def test_a_layer_that_does_not_exist_is_not_selected(session: Session) -> None:
    session.select("3", "in")
    with pytest.raises(BadInput, match="no layer of that name"):
        session.select("33")
    assert session.selection is not None
    assert (session.selection.layer, session.selection.side) == ("3", "in")


def raises(model: nn.Module) -> float:
    raise KeyError("validation images")


BAD_EVALUATE = [
    (raises, "KeyError: 'validation images'"),
    (lambda model: float("nan"), "nan"),
    (lambda model: "98 %", "'98 %' of type str"),
]


@pytest.mark.parametrize(("evaluate", "found"), BAD_EVALUATE)
def test_an_evaluate_that_fails_is_told_on_the_version_and_changes_neither_model_nor_session(
    evaluate: Callable[[nn.Module], Any], found: str
) -> None:
    session = Session(flattened().train(), image(), evaluate=evaluate)
    before = Found.of(session)
    measured = session.measure()
    assert found in measured.problem
    assert all(part in measured.problem for part in PARTS)
    assert measured.accuracy is None
    assert measured.latency is not None
    assert Found.of(session) == before


@pytest.mark.parametrize(("evaluate", "found"), BAD_EVALUATE)
def test_a_cut_is_kept_where_evaluate_fails(evaluate: Callable[[nn.Module], Any], found: str) -> None:
    session = Session(flattened(), image(), evaluate=evaluate)
    session.apply_in_background(half(session), "half")
    session.jobs.wait(PATIENCE)
    assert [job.status for job in session.jobs.states] == ["done"]
    assert session.version.name == "half"
    assert found in session.version.problem


def test_a_problem_is_forgotten_when_the_version_is_measured_well() -> None:
    answers = iter([float("nan"), 0.75])
    session = Session(flattened(), image(), evaluate=lambda model: next(answers))
    assert session.measure().problem
    measured = session.measure()
    assert (measured.problem, measured.accuracy) == ("", 0.75)


def test_accuracy_is_what_evaluate_says_of_that_version() -> None:
    session = Session(flattened(), image(), evaluate=lambda model: 1 / parameters(model))
    session.start()
    session.apply_in_background(half(session))
    session.jobs.wait(PATIENCE)
    assert [v.accuracy for v in session.versions] == [1 / v.parameters for v in session.versions]


def test_a_version_is_timed_beside_the_original() -> None:
    session = Session(flattened(), image())
    session.apply(half(session))
    session.measure()
    original, version = (v.latency for v in session.versions)
    assert original is not None
    assert version is not None
    assert (original.median_ms > 0, version.median_ms > 0) == (True, True)
    assert original.threads == version.threads


def halve_the_bias(model: nn.Module, report: Callable[[int, int, float, float], None]) -> None:
    with torch.no_grad():
        model.get_parameter("5.bias").div_(2)
    report(1, 1, 0.25, 0.5)


def test_fine_tuning_makes_a_version_of_the_one_on_screen_and_leaves_that_as_it_was() -> None:
    session = Session(flattened(), image(), train=halve_the_bias)
    base = session.apply(half(session), "half")
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    training.tune(session)
    session.jobs.wait(PATIENCE)
    tuned = session.version
    assert (tuned.parent, tuned.name, tuned.pruned) == (base.id, "half, tuned", None)
    assert torch.equal(tuned.model.state_dict()["5.bias"], before["5.bias"] / 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.model.state_dict().items())
    assert session.undo().id == base.id


def test_training_that_raises_ends_its_job_as_failed_and_changes_nothing() -> None:
    def train(model: nn.Module, report: Callable[..., None]) -> None:
        halve_the_bias(model, report)
        raise OSError("no space left")

    session = Session(flattened(), image(), train=train)
    before = Found.of(session)
    training.tune(session)
    session.jobs.wait(PATIENCE)
    (job,) = session.jobs.states
    assert (job.status, job.error) == ("failed", "OSError: no space left")
    assert Found.of(session) == before


def test_training_stops_at_the_next_report_when_it_is_cancelled() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def train(model: nn.Module, report: Callable[..., None]) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)
        report(1, 2, 0.5, 0.5)

    session = Session(flattened(), image(), train=train)
    training.tune(session)
    assert begun.wait(PATIENCE)
    session.jobs.cancel()
    go_on.set()
    session.jobs.wait(PATIENCE)
    assert [job.status for job in session.jobs.states] == ["cancelled"]
    assert len(session.versions) == 1


def test_without_train_the_message_says_how_to_give_one(session: Session) -> None:
    with pytest.raises(BadInput, match="no train function") as raised:
        training.tune(session)
    assert "train=train" in raised.value.what_to_do
    assert session.jobs.states == ()


def test_two_sessions_of_one_model_do_not_share_their_state() -> None:
    model = flattened()
    first, second = Session(model, image()), Session(model, image())
    before, revision = Found.of(second), second.revision
    first.apply(half(first))
    first.select("3")
    first.measure()
    first.jobs.submit("a job", lambda progress: progress.step("a step"))
    first.jobs.wait(PATIENCE)
    assert Found.of(second) == before
    assert (second.revision, second.selection, second.jobs.states) == (revision, None, ())
    assert first.scores().keys() == second.scores().keys()
    assert {len(scores) for scores in second.scores().values()} == {8, 12}


def test_a_model_that_does_not_run_on_the_inputs_opens_no_session() -> None:
    with pytest.raises(PrunescopeError, match="expected input") as raised:
        Session(flattened(), torch.randn(1, 4, 8, 8))
    assert all(part in str(raised.value) for part in PARTS)


@pytest.fixture(scope="module")
def cut_twice() -> Session:
    """The gallery's ResNet, cut in two ways one after the other."""
    opened = open_model("digits-resnet")
    session = Session(opened.model, opened.example_inputs)
    session.apply(plan(session.version.graph, session.scores(), ratio=0.25))
    wide = session.version.graph.group_of("layer3.0.conv1")
    assert wide is not None
    session.apply(plan(session.version.graph, session.scores(), ratio=0.5, groups=[wide.name]))
    return session


def reopened(version: Version, plans: list[Plan]) -> nn.Module:
    """A model of the original class, with other weights, cut by the plans and filled from the file."""
    torch.manual_seed(1)
    model: nn.Module = DigitsResNet()
    for made in plans:
        model = prune(model, made).model
    model.load_state_dict(load(save(tensors_of(version.model))))
    return model


def test_weights_and_plans_make_the_version_again_from_the_original_class(cut_twice: Session) -> None:
    version = cut_twice.version
    plans = [Plan.from_json(made.to_json()) for made in plans_from_original(cut_twice, version)]
    assert len(plans) == 2
    images = load_digits("test").images[:64]
    assert torch.equal(output(reopened(version, plans), images), output(version.model, images))


def test_plans_in_the_wrong_order_are_refused(cut_twice: Session) -> None:
    plans = list(plans_from_original(cut_twice, cut_twice.version))
    with pytest.raises(BadPlan, match="made for another model"):
        reopened(cut_twice.version, plans[::-1])


def test_a_tuned_version_has_the_plans_of_the_cuts_alone() -> None:
    session = Session(flattened(), image(), train=halve_the_bias)
    first = half(session)
    session.apply(first)
    training.tune(session)
    session.jobs.wait(PATIENCE)
    second = one_unit(session)
    session.apply(second)
    assert list(plans_from_original(session, session.version)) == [first, second]
    model: nn.Module = flattened()
    for made in (first, second):
        model = prune(model, Plan.from_json(made.to_json())).model
    model.load_state_dict(load(save(tensors_of(session.model))))
    assert torch.equal(output(model, image()), output(session.model, image()))


class Shared(nn.Module):
    """One tensor under two names, and two buffers that are parts of one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        both = torch.arange(12.0)
        self.register_buffer("low", both[:6])
        self.register_buffer("high", both[6:])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x) + self.low) + self.high
        return out


def test_tensors_that_share_memory_are_saved_each_on_its_own() -> None:
    session = Session(Shared().eval(), torch.randn(1, 6))
    read = load(save(tensors_of(session.model)))
    state = session.model.state_dict()
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
