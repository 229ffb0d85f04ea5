"""Training in the page's jobs: sparsity, recovery and the sweep, and what is left where one of them ends early."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import CRITERIA, Plan, plan, prune, score, trace
from prunescope.core.errors import BadInput, BadPlan
from prunescope.core.sensitivity import Cut, allocated, sensitivity
from prunescope.core.sparsity import GroupSparsity
from prunescope.explorer import actions, training
from prunescope.explorer.actions import Wish
from prunescope.explorer.jobs import Point
from prunescope.explorer.panels.curves import curves
from prunescope.explorer.panels.fading import fading_figure, last_pulls
from prunescope.explorer.panels.sensitivity import sweep_figure
from prunescope.explorer.session import Session
from prunescope.explorer.version import Sweep
from prunescope.explorer.view import criteria_options

PATIENCE = 60.0
SEED = torch.Generator().manual_seed(1)
BATCHES = [(torch.randn(16, 6, generator=SEED), torch.randint(0, 3, (16,), generator=SEED)) for _ in range(3)]


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))
    nn.init.uniform_(model[1].weight)
    return model.eval()


def loss(model: nn.Module, batch: Any) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def evaluate(model: nn.Module) -> float:
    with torch.no_grad():
        return float((model(BATCHES[0][0]).argmax(1) == BATCHES[0][1]).float().mean())


@pytest.fixture
def session() -> Session:
    return Session(network(), BATCHES[0][0], evaluate=evaluate, batches=BATCHES, loss=loss)


def done(session: Session) -> None:
    session.jobs.wait(PATIENCE)
    assert session.last_job is not None
    assert (session.last_job.status, session.last_job.error) == ("done", "")


def test_sparse_training_makes_a_version_and_leaves_the_one_it_came_from(session: Session) -> None:
    before = {name: value.clone() for name, value in session.model.state_dict().items()}
    training.sparsify(session, epochs=3, strength=0.5)
    done(session)
    original, sparse = session.versions
    assert (sparse.name, sparse.parent) == ("original, sparse", 0)
    assert all(torch.equal(value, before[name]) for name, value in original.model.state_dict().items())
    norms = [float(score(v.graph, normalise="none")["0"].sum()) for v in (original, sparse)]
    assert norms[1] < norms[0]
    assert session.last_job is not None
    curve = session.last_job.curve
    assert [point.epoch for point in curve] == [1, 2, 3]
    assert all(point.accuracy is not None and point.faded is not None for point in curve)


def test_without_a_train_function_the_batches_are_trained_on(session: Session) -> None:
    training.tune(session, epochs=4)
    done(session)
    assert session.version.name == "original, tuned"
    assert session.last_job is not None
    losses = [point.loss for point in session.last_job.curve]
    assert losses[-1] < losses[0]


def test_statistics_are_measured_on_a_copy(session: Session) -> None:
    training.recalibrate(session)
    done(session)
    original, made = (version.model.get_submodule("1").get_buffer("running_mean") for version in session.versions)
    assert torch.equal(original, torch.zeros(12))
    assert not torch.equal(made, original)


def test_the_sweep_shows_what_the_core_finds(session: Session) -> None:
    training.sweep(session)
    done(session)
    graph = trace(network(), BATCHES[0][0])
    found = sensitivity(graph, score(graph), evaluate)
    assert session.sweep() == Sweep("magnitude", found.cuts, found.original)
    figure = sweep_figure(found.cuts, 0.5, "light")
    assert figure.data[0].z[0][0] == found.cuts[0].accuracy
    assert sweep_figure((), None, "dark").layout.annotations[0].text == "Not measured yet"


@pytest.mark.parametrize("job", ["tune", "sparsify", "recalibrate", "sweep"])
def test_a_session_without_data_says_what_it_needs(job: str) -> None:
    session = Session(network(), BATCHES[0][0])
    with pytest.raises(BadInput, match=r"nothing to train on|no train function|no evaluate function"):
        getattr(training, job)(session)
    assert session.jobs.states == ()


def test_a_loss_that_is_no_number_ends_the_job_and_nothing_else() -> None:
    session = Session(
        network(), BATCHES[0][0], batches=BATCHES, loss=lambda model, batch: loss(model, batch) * torch.nan
    )
    training.sparsify(session)
    session.jobs.wait(PATIENCE)
    assert session.last_job is not None
    assert session.last_job.status == "failed"
    assert "the loss is nan" in session.last_job.error
    assert len(session.versions) == 1


def test_a_model_without_running_statistics_is_not_recalibrated() -> None:
    session = Session(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), BATCHES[0][0], batches=BATCHES, loss=loss)
    training.recalibrate(session)
    session.jobs.wait(PATIENCE)
    assert session.last_job is not None
    assert "no layer of this model keeps running statistics" in session.last_job.error


def test_criteria_that_need_data_can_be_chosen_where_there_is_some(session: Session) -> None:
    assert not any(option["disabled"] for option in criteria_options(session))
    without = criteria_options(Session(network(), BATCHES[0][0]))
    assert {option["value"] for option in without if option["disabled"]} == {
        c.name for c in CRITERIA.values() if c.needs
    }
    for criterion in CRITERIA:
        assert set(session.scores(criterion)) == {"0"}
    given = score(session.version.graph, "taylor", batches=BATCHES, loss=loss)
    assert torch.equal(session.scores("taylor")["0"], given["0"])


def test_curves_say_their_last_values_in_words() -> None:
    assert curves(()) is None
    picture = curves((Point(1, 0.5, 0.25, None), Point(2, 0.25, 0.75, None)))
    assert picture is not None
    assert picture.alt == "After epoch 2: loss 0.250, accuracy while training 75.0%"


def test_steps_are_versions_each_cut_from_the_one_before_and_the_last_meets_the_target(session: Session) -> None:
    actions.apply_in_steps(session, Wish(50, aim="macs"), None, steps=3, epochs=2, taught=False)
    done(session)
    original, *steps = session.versions
    assert [(v.name, v.parent) for v in steps] == [(f"50 % of MACs left, step {n} of 3", n - 1) for n in (1, 2, 3)]
    assert [v.macs for v in steps] == sorted((v.macs for v in steps), reverse=True)
    assert steps[-1].macs <= 0.5 * original.macs < steps[0].macs
    for before, version in pairwise(session.versions):
        assert version.pruned is not None
        cut_only = prune(before.model, version.pruned.plan, example_inputs=BATCHES[0][0]).model
        assert not torch.equal(cut_only[3].weight, version.model[3].weight)  # type: ignore[union-attr]
    assert session.last_job is not None
    assert [point.epoch for point in session.last_job.curve] == [1, 2, 3, 4, 5, 6]


def test_steps_without_epochs_need_no_data_and_cut_alone() -> None:
    session = Session(network(), BATCHES[0][0])
    actions.apply_in_steps(session, Wish(50), None, steps=2, epochs=0, taught=False)
    done(session)
    whole = prune(session.versions[0].model, Plan.from_json(session.versions[1].pruned.plan.to_json())).model  # type: ignore[union-attr]
    assert torch.equal(whole[0].weight, session.versions[1].model[0].weight)
    assert session.version.graph.groups[0].size == 6


def test_a_cut_out_of_reach_is_refused_before_any_step(session: Session) -> None:
    with pytest.raises(BadPlan, match="the least that this model can be cut to"):
        actions.apply_in_steps(session, Wish(1, aim="macs"), None, steps=2, epochs=1, taught=False)
    assert session.jobs.states == ()


def test_a_taught_version_comes_closer_to_the_originals_answers() -> None:
    torch.manual_seed(0)
    sure = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    nn.init.normal_(sure[2].weight)
    nothing = Session(sure, BATCHES[0][0], batches=BATCHES, loss=lambda model, batch: 0 * model(batch[0]).sum())
    nothing.apply(plan(nothing.version.graph, nothing.scores(), 0.5))

    def apart() -> float:
        with torch.no_grad():
            given, wanted = (nothing.versions[n].model(BATCHES[0][0]).log_softmax(1) for n in (-1, 0))
            return float(functional.kl_div(given, wanted, log_target=True, reduction="batchmean"))

    before = apart()
    training.tune(nothing, epochs=30, taught=True)
    done(nothing)
    assert nothing.version.name == "cut 1, taught"
    assert apart() < before / 2


def test_where_no_answers_can_be_learned_the_reason_is_said() -> None:
    flat = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1))
    one = Session(flat, BATCHES[0][0], batches=BATCHES, loss=lambda model, batch: model(batch[0]).mean())
    assert training.unteachable(one) == "the first output is (16, 1), not (examples, classes)"
    with pytest.raises(BadInput, match="not \\(examples, classes\\)"):
        training.tune(one, taught=True)
    assert "no batches and no loss" in training.unteachable(Session(flat, BATCHES[0][0]))


def test_a_cut_is_shared_out_by_the_sweep_of_the_version_on_screen(session: Session) -> None:
    wish = Wish(75, aim="macs", ranked="sensitivity")
    with pytest.raises(BadPlan, match="no complete sweep"):
        actions.planned(session, wish, None)
    training.sweep(session)
    done(session)
    graph = session.version.graph
    found = sensitivity(graph, score(graph), evaluate)
    assert actions.planned(session, wish, None) == allocated(graph, score(graph), found, macs=0.75)
    with pytest.raises(BadPlan, match="rated units by"):
        actions.planned(session, replace(wish, criterion="taylor"), None)
    with pytest.raises(BadPlan, match="not units"):
        actions.planned(session, replace(wish, aim="ratio"), None)
    with pytest.raises(BadPlan, match="not of those between"):
        actions.apply_in_steps(session, wish, None, steps=2, epochs=0, taught=False)


def test_a_sweep_belongs_to_its_version_and_is_plain_records(session: Session) -> None:
    training.sweep(session)
    done(session)
    kept = session.sweep()
    assert kept is not None
    session.apply(plan(session.version.graph, session.scores(), 0.5))
    assert session.sweep() is None
    assert session.sweep(0) == kept
    record = json.loads(json.dumps(asdict(kept)))
    assert Sweep(record["criterion"], tuple(Cut(**cut) for cut in record["cuts"]), record["original"]) == kept


def test_each_group_is_drawn_as_the_penalty_found_it(session: Session) -> None:
    training.sparsify(session, epochs=3, strength=0.5)
    done(session)
    points = last_pulls(session)
    (first,) = GroupSparsity(trace(network(), BATCHES[0][0]), 0.5).update()
    assert points[0].groups[0].norm == pytest.approx(float(first.importance.sum()))
    assert points[0].groups[0].gamma == pytest.approx(float(first.gamma.mean()))
    norms = fading_figure(points, "norm", "light").data[0]
    assert (list(norms.x), list(norms.y)) == ([1, 2, 3], ["0"])
    assert norms.z[0][0] == 1 > norms.z[0][2]
    faded = fading_figure(points, "faded", "dark").data[0].z[0]
    assert list(faded) == [point.faded for point in points]
