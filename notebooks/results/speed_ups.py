"""Accuracy against speed-up, to 8 times and beyond: a Vision Transformer, graph attention, an LSTM and a DGCNN.

`python -m notebooks.results.speed_ups vit` (or gat, lstm, dgcnn) goes on where it was killed; `--seeds 0` does one seed
of the three, `--minute --logs FOLDER` is a short one. Each way to cut and to rank has its own runs; the table takes the
one that validation prefers.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch

from notebooks.results.study import (
    ORIGINAL,
    Rate,
    Run,
    Task,
    logged,
    magnitude,
    run,
    short,
    taylor,
    trained,
    trained_on,
)
from notebooks.results.tasks import TASKS

HERE = Path(__file__).parent
SPEED_UPS = (2.0, 4.0, 8.0, 12.0, 16.0)
SEEDS = (0, 1, 2)


def of_seed(task: Task, seed: int, log: Path, speed_ups: tuple[float, ...]) -> list[Run]:
    model = trained(task, seed, log.parent)
    rankings: dict[str, Rate] = {"magnitude": magnitude, "taylor": partial(taylor, task)}
    cuts = {
        (_method(kind, criterion), scope, speed_up, seed): partial(
            run, task, model, seed, _method(kind, criterion), scope, speed_up, rankings[criterion], kind=kind
        )
        for kind in task.kinds
        for criterion in task.criteria
        for scope in task.scopes
        for speed_up in speed_ups
    }
    return list(logged(log, task, {(ORIGINAL, "", 1.0, seed): partial(trained_on, task, model, seed), **cuts}))


def _method(kind: str | None, criterion: str) -> str:
    by = "" if criterion == "magnitude" else f", by {criterion.title()}"
    return f"full grouping{f', {kind}' if kind else ''}{by}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--minute", action="store_true", help="one seed and one speed-up; give --logs too")
    parser.add_argument("--logs", type=Path, default=HERE / "logs", help="folder of logs and checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(1)
    log = options.logs / f"speed-ups-{options.task}.jsonl"
    task = TASKS[options.task]()
    if options.minute:
        of_seed(short(task), 0, log, SPEED_UPS[:1])
    else:
        for seed in options.seeds:
            of_seed(task, seed, log, SPEED_UPS)
