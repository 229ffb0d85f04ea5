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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunescope.core import plan, prune, trace
from prunescope.core.errors import BadPlan
from prunescope.core.evidence import Loss
from prunescope.core.graph import DependencyGraph
from prunescope.core.importance import Scores, score
from prunescope.core.measure import latency, macs, parameters
from prunescope.core.recovery import fine_tune

Rate = Callable[[DependencyGraph], Scores]
ORIGINAL = "original, trained on"


@dataclass(frozen=True)
class Task:
    """Data, a network and how it is trained."""

    name: str
    build: Callable[[], nn.Module]
    example_inputs: Any
    batches: Callable[[int], Sequence[Any]]  # of an epoch, by its number
    loss: Loss
    accuracy: Callable[[nn.Module, str], float]  # of a split, "validation" or "test"
    epochs: int
    rate: float  # learning rate of AdamW
    tuning_epochs: int
    data: str  # what is learnt from, and how it is split, in words


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


def trained(task: Task, seed: int, folder: Path) -> nn.Module:
    """The task's network, trained with this seed; goes on from a checkpoint where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = task.build()
    train(task, model, task.epochs, task.rate, folder / f"{task.name}-{seed}.pt")
    return model.eval()


def train(task: Task, model: nn.Module, epochs: int, rate: float, checkpoint: Path | None = None) -> None:
    """AdamW with a cosine to zero."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    fine_tune(model, task.batches, task.loss, epochs, optimiser=optimiser, checkpoint=checkpoint)


def run(task: Task, model: nn.Module, seed: int, method: str, scope: str, speed_up: float, rate: Rate) -> Run:
    """Cut a trained network to a share of its MACs, recover it, measure it."""
    started = time.perf_counter()
    graph = trace(model, task.example_inputs)
    made = plan(graph, rate(graph), macs=1 / speed_up, scope=scope)
    return _finished(task, model, prune(model, made).model, seed, method, scope, speed_up, started)


def trained_on(task: Task, model: nn.Module, seed: int) -> Run:
    """The original with the extra epochs that pruned networks get."""
    return _finished(task, model, copy.deepcopy(model), seed, ORIGINAL, "", 1.0, time.perf_counter())


def _finished(
    task: Task,
    original: nn.Module,
    model: nn.Module,
    seed: int,
    method: str,
    scope: str,
    speed_up: float,
    started: float,
) -> Run:
    after_cut = task.accuracy(model, "validation")
    torch.manual_seed(seed)
    train(task, model, task.tuning_epochs, task.rate / 4)
    seconds = time.perf_counter() - started
    before, now = latency([original, model], task.example_inputs, threads=1)
    return Run(
        task.name,
        method,
        scope,
        speed_up,
        seed,
        macs(model, task.example_inputs) / macs(original, task.example_inputs),
        parameters(model) / parameters(original),
        now.median_ms / before.median_ms,
        after_cut,
        task.accuracy(model, "validation"),
        task.accuracy(model, "test"),
        seconds,
    )


def logged(path: Path, wanted: Mapping[tuple[Any, ...], Callable[[], Run]]) -> Iterator[Run]:
    """Do the runs that the log does not have yet; what is out of reach is said and left out.

    A run's key is (method, scope, speed_up, seed).
    """
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
    """The runs of a log; the first line names the machine."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(machine()) + "\n")
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()[1:]]


def machine() -> dict[str, Any]:
    names = [line.partition(":")[2].strip() for line in _cpu() if line.startswith("model name")]
    return {
        "machine": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _cpu() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def magnitude(graph: DependencyGraph) -> Scores:
    """The paper's: every weight that goes with the unit."""
    return score(graph)
