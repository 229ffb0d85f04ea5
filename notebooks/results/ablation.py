"""Which weights rate a unit, and what units are ranked against: the paper's ablation, on ResNet-20.

`python -m notebooks.results.ablation` (about half an hour) goes on where it was killed; `--minute --logs FOLDER` for a
short one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch

from notebooks.results.study import ORIGINAL, Run, Task, logged, magnitude, run, trained, trained_on
from notebooks.results.tasks import resnet
from prunescope.core.graph import DependencyGraph, Group
from prunescope.core.importance import NORMALISATIONS, Scores, member_importance, score

HERE = Path(__file__).parent
SPEED_UPS = (1.5, 2.0, 3.0, 4.5, 6.0)
SEEDS = (0, 1, 2)


def one_layer(graph: DependencyGraph) -> Scores:
    """No grouping: the layer whose output it is rates the unit alone, whatever goes with it."""
    return score(graph, reduce="first")


def convolutions(graph: DependencyGraph) -> Scores:
    """Of everything that goes with a unit, the convolutions alone rate it."""
    return {group.name: _of_convolutions(graph, group) for group in graph.groups}


def _of_convolutions(graph: DependencyGraph, group: Group) -> torch.Tensor:
    dims = {name: parameter.tensor.dim() for name, parameter in graph.record.parameters.items()}
    rows = member_importance(graph, group)[[dims[member.parameter] == 4 for member in group.members]]
    return NORMALISATIONS["topn"](rows.sum(0), 1.0)


METHODS = MappingProxyType(
    {
        "random": lambda graph: score(graph, "random"),
        "no grouping": one_layer,
        "convolutions only": convolutions,
        "full grouping": magnitude,
    }
)


def of_seed(task: Task, seed: int, log: Path, speed_ups: tuple[float, ...]) -> list[Run]:
    model = trained(task, seed, log.parent)
    cuts = {
        (method, scope, speed_up, seed): partial(run, task, model, seed, method, scope, speed_up, rate)
        for method, rate in METHODS.items()
        for scope in ("local", "global")
        for speed_up in speed_ups
    }
    return list(logged(log, task, {(ORIGINAL, "", 1.0, seed): partial(trained_on, task, model, seed), **cuts}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minute", action="store_true", help="one seed and one speed-up; give --logs too")
    parser.add_argument("--logs", type=Path, default=HERE / "logs", help="folder of logs and checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(1)
    log = options.logs / "ablation.jsonl"
    if options.minute:
        of_seed(replace(resnet(), tuning_epochs=1), 0, log, (2.0,))
    else:
        for seed in SEEDS:
            of_seed(resnet(), seed, log, SPEED_UPS)
