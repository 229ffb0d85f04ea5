"""ResNet-56 on Fashion-MNIST: with group sparsity before the cut and without, at the paper's two speed-ups.

`python -m notebooks.results.headline` goes on where it was killed, a tenth of an epoch lost at most. `--epochs TRAIN
BRANCH TUNE` gives it longer or shorter, in a folder of its own (`--epochs 9 3 10` made
`logs/headline-10-epochs.jsonl`, `--epochs 9 3 20` made `logs/headline-20-epochs.jsonl`, and with `--teacher-epochs 10`
the log of the teacher of ten epochs), `--tuning-rate` another learning rate after the cut (`0.05` made
`logs/headline-10-epochs-whole-rate.jsonl`), and `--only WAY` some of the ways; `--minute --logs FOLDER` is a short one,
on a network of 8 layers.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from notebooks.results import fashion
from notebooks.results.study import (
    ORIGINAL,
    Key,
    Rate,
    Run,
    Task,
    logged,
    magnitude,
    recover,
    run,
    taylor,
    train,
    trained,
    trained_on,
)
from prunescope.core import trace
from prunescope.core.modes import evaluating
from prunescope.core.recovery import distilled
from prunescope.core.sparsity import GroupSparsity
from prunescope.explorer.gallery.fit import digit_loss
from prunescope.explorer.gallery.models import DigitsResNet

HERE = Path(__file__).parent
SPEED_UPS = (2.57, 2.11)
EPOCHS = (9.0, 3.0, 4.0)
SEED = 0
# recovered with the answers of the original that was trained on, and the same done to the original itself
DISTILLED = "plain, by Taylor, distilled"
ORIGINAL_DISTILLED = "original, distilled"
IN_STEPS = "plain, by Taylor in steps, distilled"  # the epochs between the steps are some of those after the cut
STEPS = 5
BY_TAYLOR = ("plain", "weak group sparsity")  # branches that are cut once more, ranked by the loss on some batches
STRENGTHS = {"group sparsity": 5e-4, "weak group sparsity": 1e-4, "plain": 0.0}  # of the branches


def task(folder: Path, epochs: tuple[float, float, float], blocks: int = 9) -> Task:
    """The task; its training epochs are those before the two branches."""

    def accuracy(model: nn.Module, split: str) -> float:
        images, labels = fashion.load(split, folder)
        with evaluating(model), torch.no_grad():
            answers = torch.cat([model(part).argmax(1) for part in images.split(250)])
        return float((answers == labels).float().mean())

    return Task(
        f"resnet{6 * blocks + 2}-fashion", partial(DigitsResNet, blocks=blocks), fashion.load("test", folder)[0][:1],
        partial(fashion.batches, folder=folder), digit_loss, accuracy,
        epochs=epochs[0], rate=0.05, tuning_epochs=epochs[2], parts=fashion.PARTS, optimiser=sgd, precision="bfloat16",
        data="Fashion-MNIST (Zalando): 55,000 images to train, moved by up to 2 pixels and mirrored, 5,000 to "
        f"validate, 10,000 to test; batches of {fashion.BATCH}. {epochs[0]} epochs, then branches of {epochs[1]} "
        "epochs each, with group sparsity (strength 5e-4, and 1e-4 called weak; alpha 4) and without; trained in "
        "bfloat16 where autocast takes it, measured in float32",
    )  # fmt: skip


def sgd(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)


def branch(task: Task, model: nn.Module, epochs: float, strength: float, checkpoint: Path) -> nn.Module:
    """A copy, trained on, with group sparsity of this strength."""
    model = copy.deepcopy(model)
    sparsity = GroupSparsity(trace(model, task.example_inputs), strength) if strength else None
    pull = {"regularise": sparsity.regularise, "before_epoch": sparsity.update} if sparsity else {}
    train(task, model, epochs, task.rate, begun=task.epochs, checkpoint=checkpoint, **pull)
    return model.eval()


def study(
    task: Task,
    epochs: float,
    log: Path,
    speed_ups: tuple[float, ...],
    only: Sequence[str] = (),
    teacher_epochs: float | None = None,
) -> list[Run]:
    """`only`: the ways to do, by their names in the log; all if there are none.

    `teacher_epochs`: of the original that gives the answers to learn; as many as follow the cut if None.
    """
    folder = log.parent
    base = trained(task, SEED, folder)
    after = replace(task, epochs=task.epochs + epochs)
    branches = {
        name: branch(task, base, epochs, strength, folder / f"{task.name}-{name}.pt")
        for name, strength in STRENGTHS.items()
    }
    original, uncut = branches["plain"], folder / f"{task.name}-uncut.pt"

    def taught() -> Task:
        teacher = copy.deepcopy(original)
        if teacher_epochs is None:
            recover(after, teacher, SEED, uncut)  # done before: read from its checkpoint
        else:
            recover(replace(after, tuning_epochs=teacher_epochs), teacher, SEED, folder / f"{task.name}-teacher.pt")
        return replace(after, loss=distilled(after.loss, teacher))

    def untaught() -> Task:
        return after

    def cut(recovery: Callable[[], Task], model: nn.Module, rate: Rate, name: str, speed_up: float) -> Run:
        checkpoint = folder / f"{task.name}-{name}-{speed_up}.pt"
        steps = STEPS if name == IN_STEPS else 1
        return run(recovery(), model, SEED, name, "global", speed_up, rate, checkpoint, steps=steps)

    def again() -> Run:
        return trained_on(taught(), original, SEED, folder / f"{task.name}-{ORIGINAL_DISTILLED}.pt", ORIGINAL_DISTILLED)

    rated = partial(taylor, after)
    ways: dict[str, tuple[Callable[[], Task], nn.Module, Rate]] = {
        **{name: (untaught, model, magnitude) for name, model in branches.items()},
        **{f"{name}, by Taylor": (untaught, branches[name], rated) for name in BY_TAYLOR},
        DISTILLED: (taught, original, rated),
        IN_STEPS: (taught, original, rated),
    }
    wanted: dict[Key, Callable[[], Run]] = {
        (ORIGINAL, "", 1.0, SEED): partial(trained_on, after, original, SEED, uncut),
        (ORIGINAL_DISTILLED, "", 1.0, SEED): again,
        **{
            (name, "global", speed_up, SEED): partial(cut, *way, name, speed_up)
            for speed_up in speed_ups
            for name, way in ways.items()
        },
    }
    chosen = {key: work for key, work in wanted.items() if not only or key[0] in only}
    return list(logged(log, task, chosen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=float, nargs=3, default=EPOCHS, metavar=("TRAIN", "BRANCH", "TUNE"))
    parser.add_argument("--data", type=Path, default=fashion.FOLDER, help="folder of the four files of Fashion-MNIST")
    parser.add_argument("--minute", action="store_true", help="8 layers and one speed-up; give --logs too")
    parser.add_argument("--logs", type=Path, default=HERE / "logs", help="folder of logs and checkpoints")
    parser.add_argument("--tuning-rate", type=float, help="learning rate after the cut; a quarter of the training's")
    parser.add_argument("--only", nargs="+", default=[], metavar="WAY", help="names as they are in the log")
    parser.add_argument("--teacher-epochs", type=float, help="of the original that teaches; as many as TUNE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = task(options.data, tuple(options.epochs), blocks=1 if options.minute else 9)
    chosen = replace(chosen, tuning_rate=options.tuning_rate)
    speed_ups = SPEED_UPS[:1] if options.minute else SPEED_UPS
    study(chosen, options.epochs[1], options.logs / "headline.jsonl", speed_ups, options.only, options.teacher_epochs)
