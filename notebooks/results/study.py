"""What the studies of this folder share: train, cut, recover, measure; a line of JSON a run, so that a kill loses one.

Seeds, splits, machine and times go into the log. A validation split chooses; the test split is read once, for the
model that a run ends with. The original gets the same extra epochs as the pruned models.
"""

from __future__ import annotations

import copy
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from prunescope.core.errors import BadPlan
from prunescope.core.evidence import Loss
from prunescope.core.graph import DependencyGraph
from prunescope.core.importance import Scores, score
from prunescope.core.measure import macs, parameters
from prunescope.core.ranking import Scope
from prunescope.core.recovery import Precision, fine_tune, recalibrate
from prunescope.core.schedule import prune_in_steps
from prunescope.core.timing import latency

Rate = Callable[[DependencyGraph], Scores]
Key = tuple[str, Scope | Literal[""], float, int]  # method, scope, speed-up, seed of a run
ORIGINAL = "original, trained on"
RATED_BATCHES = 30  # at most, to rank units by the loss
BETWEEN_STEPS = 0.05  # of the epochs of the recovery, after each step of a cut but the last
CALIBRATION_BATCHES = 40  # at most, to measure normalisation statistics anew


class NoData(Exception):
    """The data of a study is not on this machine; the message says how to get it."""


def adamw(model: nn.Module, rate: float) -> Optimizer:
    return AdamW(model.parameters(), lr=rate, weight_decay=0.05)


@dataclass(frozen=True)
class Task:
    """Data, a network and how it is trained."""

    name: str
    build: Callable[[], nn.Module]
    example_inputs: Any
    batches: Callable[[int], Sequence[Any]]  # of an epoch, by its number
    loss: Loss
    accuracy: Callable[[nn.Module, str], float]  # of a split, "validation" or "test"
    epochs: float
    rate: float  # learning rate at the beginning; a cosine to zero follows
    tuning_epochs: float
    data: str  # what is learnt from, and how it is split, in words
    parts: int = 1  # of an epoch: `batches` gives one, and a checkpoint and a step of the learning rate follow
    optimiser: Callable[[nn.Module, float], Optimizer] = adamw  # of a learning rate
    kinds: tuple[str | None, ...] = (None,)  # ways to cut where there are two, as in `plan`; None is whole rows
    scopes: tuple[Scope, ...] = ("global",)  # what units are ranked against
    criteria: tuple[Literal["magnitude", "taylor"], ...] = ("magnitude",)  # what they are ranked by
    tuning_rate: float | None = None  # learning rate at the beginning of the recovery; a quarter of `rate` if None
    precision: Precision = "auto"  # of the training, as in `fine_tune`


@dataclass(frozen=True)
class Run:
    """One network, from training to the test split."""

    task: str
    method: str
    scope: str
    speed_up: float  # asked: MACs of the original over those of the pruned network
    seed: int
    macs: float  # share of the original's that is left
    parameters: float  # share of the original's that is left
    latency: float  # share of the original's median time, one thread, the two timed in turns
    after_cut: float  # accuracy on the validation split, before any recovery
    validation: float  # after recovery
    test: float
    seconds: float  # from the trained network to the end of the recovery
    after_statistics: float | None = None  # validation, with normalisation statistics measured anew and nothing else


def short(task: Task) -> Task:
    """The task with a twentieth of its epochs, of at most 20 batches: whether all runs, not how well."""
    return replace(
        task,
        batches=lambda epoch: task.batches(epoch)[:20],
        epochs=max(1, task.epochs // 20),
        tuning_epochs=max(1, task.tuning_epochs // 20),
    )


def trained(task: Task, seed: int, folder: Path) -> nn.Module:
    """The task's network, trained with this seed; goes on from a checkpoint where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = task.build()
    train(task, model, task.epochs, task.rate, checkpoint=folder / f"{task.name}-{seed}.pt")
    return model.eval()


def train(task: Task, model: nn.Module, epochs: float, rate: float, begun: float = 0.0, **options: Any) -> None:
    """Train for this many epochs, in the order of the data that follows `begun` epochs; options as of `fine_tune`."""
    first, count = (round(number * task.parts) for number in (begun, epochs))
    optimiser = task.optimiser(model, rate)
    fine_tune(
        model, lambda part: task.batches(first + part), task.loss, count,
        optimiser=optimiser, precision=task.precision, **options,
    )  # fmt: skip


def run(
    task: Task,
    model: nn.Module,
    seed: int,
    method: str,
    scope: Scope,
    speed_up: float,
    rate: Rate,
    checkpoint: Path | None = None,
    kind: str | None = None,
    steps: int = 1,
) -> Run:
    """Cut a trained network to a share of its MACs, recover it, measure it.

    Of the epochs of the recovery, some follow each of several steps, and the last step has what is left.
    """
    started = time.perf_counter()
    between = max(1, round(task.tuning_epochs * task.parts * BETWEEN_STEPS)) / task.parts
    spent = between * (steps - 1)
    left = replace(task, epochs=task.epochs + spent, tuning_epochs=task.tuning_epochs - spent)
    done = count()

    def tune(model: nn.Module) -> None:
        number = next(done)
        file = checkpoint and checkpoint.with_suffix(f".{number}.pt")
        recover(replace(task, epochs=task.epochs + between * number, tuning_epochs=between), model, seed, file)

    cuts = prune_in_steps(
        model, task.example_inputs, steps, rate=rate, recover=tune, macs=1 / speed_up, scope=scope, kind=kind
    )
    *_, last = islice(cuts, steps)
    return _finished(left, model, last.pruned.model, (method, scope, speed_up, seed), started, checkpoint)


def trained_on(task: Task, model: nn.Module, seed: int, checkpoint: Path | None = None, method: str = ORIGINAL) -> Run:
    """The original with the extra epochs that pruned networks get."""
    return _finished(task, model, copy.deepcopy(model), (method, "", 1.0, seed), time.perf_counter(), checkpoint)


def recover(task: Task, model: nn.Module, seed: int, checkpoint: Path | None = None) -> None:
    """The epochs after the cut; goes on from a checkpoint where there is one."""
    torch.manual_seed(seed)
    rate = task.rate / 4 if task.tuning_rate is None else task.tuning_rate
    train(task, model, task.tuning_epochs, rate, begun=task.epochs, checkpoint=checkpoint)


def _finished(
    task: Task, original: nn.Module, model: nn.Module, key: Key, started: float, checkpoint: Path | None
) -> Run:
    after_cut = task.accuracy(model, "validation")
    after_statistics = task.accuracy(_with_new_statistics(task, model), "validation")
    recover(task, model, key[-1], checkpoint)
    seconds = time.perf_counter() - started
    before, now = latency([original, model], task.example_inputs, threads=1)
    return Run(
        task.name,
        *key,
        macs(model, task.example_inputs) / macs(original, task.example_inputs),
        parameters(model) / parameters(original),
        now.median_ms / before.median_ms,
        after_cut,
        task.accuracy(model, "validation"),
        task.accuracy(model, "test"),
        seconds,
        after_statistics,
    )


def _with_new_statistics(task: Task, model: nn.Module) -> nn.Module:
    """A copy, its running means and variances measured on the first batches to train on."""
    model = copy.deepcopy(model)
    recalibrate(model, task.batches(0)[:CALIBRATION_BATCHES], run=task.loss)
    return model


def logged(path: Path, task: Task, wanted: Mapping[Key, Callable[[], Run]]) -> Iterator[Run]:
    """Do the runs that the log does not have yet; what is out of reach is said and left out."""
    if not path.exists():
        path.write_text(json.dumps(head(task)) + "\n")
    known = {(r.method, r.scope, r.speed_up, r.seed): r for r in read(path)}
    for key, work in wanted.items():
        if key not in known:
            try:
                known[key] = work()
            except BadPlan as error:
                print(f"{key}: {error.found}", flush=True)
                continue
            with path.open("a") as file:
                file.write(json.dumps(asdict(known[key])) + "\n")
            print(known[key], flush=True)
        yield known[key]


def read(path: Path) -> list[Run]:
    """The runs of a log, behind its first line."""
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()[1:]]


def head(task: Task) -> dict[str, Any]:
    """The first line of a log: what is learnt, and on which machine."""
    names = [line.partition(":")[2].strip() for line in _cpu() if line.startswith("model name")]
    return {
        "machine": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **{name: getattr(task, name) for name in ("name", "data", "epochs", "tuning_epochs", "tuning_rate")},
    }


def _cpu() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def magnitude(graph: DependencyGraph) -> Scores:
    """The paper's: every weight that goes with the unit."""
    return score(graph)


def taylor(task: Task, graph: DependencyGraph) -> Scores:
    """First-order Taylor; groups are compared by the loss itself, so without normalisation."""
    batches = task.batches(0)[:RATED_BATCHES]
    return score(graph, "taylor", normalise="none", batches=batches, loss=task.loss)
