"""Recovery: statistics measured anew, training that goes on where it was killed, answers learnt from the original."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core.errors import BadInput, TrainingFailed
from prunescope.core.recovery import Epoch, distilled, fine_tune, recalibrate

SEED = torch.Generator().manual_seed(3)
DATA = [(torch.randn(16, 6, generator=SEED), torch.randint(0, 3, (16,), generator=SEED)) for _ in range(4)]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 3))


def loss(model: nn.Module, batch: Any) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def shuffled(epoch: int) -> list[Any]:
    order = torch.randperm(len(DATA), generator=torch.Generator().manual_seed(epoch)).tolist()
    return [DATA[n] for n in order]


def test_running_statistics_become_the_means_over_the_batches() -> None:
    model = network()
    weights = [parameter.clone() for parameter in model.parameters()]
    assert recalibrate(model, [batch[0] for batch in DATA]) == ("1",)
    with torch.no_grad():
        inputs = [model[0](batch[0]) for batch in DATA]
    mean = torch.stack([x.mean(0) for x in inputs]).mean(0)
    variance = torch.stack([x.var(0) for x in inputs]).mean(0)
    torch.testing.assert_close(model[1].running_mean, mean)
    torch.testing.assert_close(model[1].running_var, variance)
    assert model.training
    assert model[1].momentum == 0.1
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True))


@pytest.mark.parametrize("batches", [[], [torch.randn(4, 6), torch.randn(4, 5)]])
def test_statistics_stay_where_the_batches_do_not_fit(batches: list[Tensor]) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(BadInput, match=r"no batch|RuntimeError"):
        recalibrate(model, batches)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[1].momentum == 0.1


def test_training_lowers_the_loss_and_reports_each_epoch() -> None:
    model, told = network().eval(), []
    done = fine_tune(
        model, DATA, loss, 8, evaluate=lambda m: 0.5, report=lambda epoch, of: told.append((epoch.number, of))
    )
    assert done[-1].loss < done[0].loss
    assert [epoch.accuracy for epoch in done] == [0.5] * 8
    assert done[0].rate > done[-1].rate > 0
    assert told == [(n, 8) for n in range(1, 9)]
    assert not model.training


KILLED = """
import os, signal, sys, torch
from tests.core.test_recovery import fine_tune, loss, network, shuffled

def report(epoch, of):
    if epoch.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)

fine_tune(network(), shuffled, loss, 6, checkpoint=sys.argv[1], report=report)
"""


def test_killed_training_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    file = tmp_path / "training.pt"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False, cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    model, numbers = network(), []
    done = fine_tune(model, shuffled, loss, 6, checkpoint=file, report=lambda epoch, of: numbers.append(epoch.number))
    assert numbers == [4, 5, 6]
    whole = network()
    expected = fine_tune(whole, shuffled, loss, 6)
    assert [epoch.loss for epoch in done] == pytest.approx([epoch.loss for epoch in expected])
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


def test_a_checkpoint_of_another_model_is_refused_and_the_model_stays(tmp_path: Path) -> None:
    file = tmp_path / "training.pt"
    fine_tune(network(), DATA, loss, 1, checkpoint=file)
    other = nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(0.2), nn.Linear(10, 3))
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(BadInput, match="size mismatch"):
        fine_tune(other, DATA, loss, 2, checkpoint=file)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(BadInput, match=r"checkpoint training\.pt"):
        fine_tune(network(), DATA, loss, 2, checkpoint=file)


@pytest.mark.parametrize("end", ["nan", "raise", "cancel"])
def test_training_that_ends_early_leaves_the_last_good_epoch(end: str) -> None:
    calls = 0
    stop = False

    def failing(model: nn.Module, batch: Any) -> Tensor:
        nonlocal calls, stop
        calls += 1
        if calls == 7 and end == "raise":
            raise ValueError("no such label")
        stop = calls == 7 and end == "cancel"
        return loss(model, batch) * (float("nan") if calls == 7 and end == "nan" else 1.0)

    model, kept = network(), {}

    def keep(epoch: Epoch, of: int) -> None:
        kept.update({name: value.clone() for name, value in model.state_dict().items()})

    failure: type[Exception] = CancelledError if end == "cancel" else TrainingFailed
    with pytest.raises(failure, match={"nan": "the loss is nan", "raise": "no such label", "cancel": "cancelled"}[end]):
        fine_tune(model, DATA, failing, 3, report=keep, cancel=lambda: stop)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_distillation_brings_a_model_to_its_teachers_answers() -> None:
    teacher = network()
    fine_tune(teacher, DATA, loss, 5)
    inputs = [(torch.randn(64, 6, generator=SEED), torch.zeros(64, dtype=torch.long)) for _ in range(4)]

    def apart(model: nn.Module) -> float:
        with torch.no_grad():
            given, wanted = (functional.softmax(m.eval()(inputs[0][0]), -1) for m in (model, teacher))
        return float((given - wanted).abs().mean())

    torch.manual_seed(5)
    student = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    before = apart(student)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    fine_tune(student, inputs, distilled(loss, teacher, share=1.0), 20, optimiser=optimiser)
    assert apart(student) < before / 3


def test_a_loss_without_the_teachers_share_is_the_ordinary_one() -> None:
    student, teacher = network().eval(), network()
    plain = distilled(loss, teacher, share=0.0)(student, DATA[0])
    torch.testing.assert_close(plain, loss(student, DATA[0]))
    assert teacher.training


def test_the_teachers_part_is_the_divergence_of_the_softened_answers() -> None:
    student, teacher = network().eval(), nn.Linear(6, 3)
    given, wanted = (functional.softmax(model(DATA[0][0]) / 2, dim=1) for model in (student, teacher))
    apart = (wanted * (wanted.log() - given.log())).sum(1).mean()
    found = distilled(loss, teacher, temperature=2.0, share=0.25)(student, DATA[0])
    torch.testing.assert_close(found, 0.75 * loss(student, DATA[0]) + 0.25 * 4 * apart)


class Detector(nn.Module):
    """Returns boxes and, for each, the logits of its class."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes, self.classes = nn.Linear(6, 8), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"boxes": self.boxes(x).view(-1, 2, 4), "classes": self.classes(x).view(-1, 2, 3)}


def test_logits_are_taken_from_what_the_model_returns_or_the_refusal_says_how_to() -> None:
    student, teacher = Detector(), Detector()

    def of_boxes(model: nn.Module, batch: Any) -> Tensor:
        found: Tensor = model(batch[0])["boxes"].square().mean()
        return found

    with pytest.raises(BadInput, match=r"\(16, 2, 4\), not \(examples, classes\)[\s\S]*give logits="):
        distilled(of_boxes, teacher)(student, DATA[0])
    distilled(of_boxes, teacher, logits=lambda output: output["classes"])(student, DATA[0]).backward()
    assert student.classes.weight.grad is not None
    assert teacher.classes.weight.grad is None


def test_a_loss_that_does_not_call_the_model_cannot_teach() -> None:
    with pytest.raises(BadInput, match="does not call the model itself"):
        distilled(lambda model, batch: model[0](batch[0]).mean(), network())(network(), DATA[0])


def test_mixed_precision_computes_in_bfloat16_and_keeps_the_weights() -> None:
    seen: list[torch.dtype] = []
    model = network()
    model[4].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    fine_tune(model, DATA[:1], loss, 1, precision="bfloat16")
    assert seen == [torch.bfloat16]
    assert model[0].weight.dtype == torch.float32


@pytest.mark.parametrize("epochs", [0, -1])
def test_no_epochs_are_refused(epochs: int) -> None:
    with pytest.raises(BadInput, match="at least one"):
        fine_tune(network(), DATA, loss, epochs)
