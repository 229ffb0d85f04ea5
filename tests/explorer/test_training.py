"""Training in the page's jobs: sparsity, recovery and the sweep, and what is left where one of them ends early."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import CRITERIA, score, trace
from prunescope.core.errors import BadInput
from prunescope.core.sensitivity import sensitivity
from prunescope.explorer import training
from prunescope.explorer.jobs import Point
from prunescope.explorer.panels.curves import curves
from prunescope.explorer.panels.sensitivity import sweep_figure
from prunescope.explorer.session import Session
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
    assert session.sensitivity() == sensitivity(graph, score(graph), evaluate).cuts
    figure = sweep_figure(session.sensitivity(), 0.5, "light")
    assert figure.data[0].z[0][0] == session.sensitivity()[0].accuracy
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
    assert picture.alt == "After epoch 2: loss 0.250, accuracy 75.0%"
