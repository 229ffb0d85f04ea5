"""Prune many models by half and write down what became of them: `make zoo`, or this script with names.

Every line is one model with random weights, norms randomised so that a wrong cut cannot pass, traced on random inputs
and cut by half with no settings, in a process of its own. Goes on where it was stopped: models that are in the table
already are skipped.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import platform
import sys
import time
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

from prunescope.core import DependencyGraph, PrunescopeError, plan, predicted, prune, score, trace
from prunescope.core.measure import macs, parameters
from tests.benchmarks.zoo_models import Build, models

COLUMNS = (
    "model",
    "outcome",  # pruned; refused (an error of ours); broken (any other error); unbuilt (not the model's inputs); killed
    "parameters left",
    "difference",
    "layers",
    "groups",
    "locked",
    "trace s",
    "whole s",
    "verify s",
    "locks",  # the reasons with most indices of parameters
    "remarks",
)
RATIO = 0.5
SECONDS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only models whose name contains one of these")
    parser.add_argument("--out", type=Path, default=Path("build/zoo.csv"))
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for one model, building it included")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    done = _names_in(options.out)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    with options.out.open("a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        if not done:
            table.writeheader()
        for name, build in models():
            if name in done or (options.names and not any(part in name for part in options.names)):
                continue
            row = apart(name, build, options.seconds)
            table.writerow(row)
            file.flush()
            print(" ".join(f"{key}={value}" for key, value in row.items() if value != ""), flush=True)


def _names_in(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {row["model"] for row in csv.DictReader(file)}


def apart(name: str, build: Build, seconds: int) -> dict[str, object]:
    """The row of one model, from a process that can be ended."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, name, build))
    process.start()
    sender.close()
    try:
        if receiver.poll(seconds):
            row: dict[str, object] = receiver.recv()
            return row
        found = f"not done after {seconds} s"
    except EOFError:
        process.join()
        found = f"the process ended with exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return dict.fromkeys(COLUMNS, "") | {"model": name, "outcome": "killed", "remarks": found}


def _send(sender: Connection, name: str, build: Build) -> None:
    sender.send(measured(name, build))


def measured(name: str, build: Build) -> dict[str, object]:
    torch.manual_seed(0)
    row: dict[str, object] = dict.fromkeys(COLUMNS, "") | {"model": name}
    try:
        model, inputs = build()
        randomise_norms(model.eval())
        _run(model, inputs)
    except Exception as error:
        return row | {"outcome": "unbuilt", "remarks": _first_line(error)}
    try:
        return row | _pruned(model, inputs)
    except PrunescopeError as error:
        return row | {"outcome": "refused", "remarks": f"{type(error).__name__}: {error.found} ({error.where})"[:400]}
    except Exception as error:
        return row | {"outcome": "broken", "remarks": _first_line(error)}


@torch.no_grad()
def _run(model: nn.Module, inputs: object) -> None:
    if isinstance(inputs, dict):
        model(**inputs)
        return
    model(*(inputs if isinstance(inputs, tuple) else (inputs,)))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]


def _pruned(model: nn.Module, inputs: object) -> dict[str, object]:
    start = time.perf_counter()
    graph = trace(model, inputs)
    traced = time.perf_counter()
    chosen = plan(graph, score(graph), ratio=RATIO)
    prune(model, chosen, verify=False)
    whole = time.perf_counter()
    result = prune(model, chosen)
    verified = time.perf_counter()
    remarks = [f"left out {culprit.group}: {culprit.reason}" for culprit in result.left_out]
    if predicted(graph, result.plan).parameters != parameters(result.model):
        remarks.append("parameters were predicted wrongly")
    if predicted(graph, result.plan).macs != macs(result.model, inputs):
        remarks.append("MACs were predicted wrongly")
    checked = result.verification
    if checked and checked.not_compared:
        remarks.append(f"not compared: {checked.not_compared}")
    return {
        "outcome": "pruned",
        "layers": len(graph.layers),
        "groups": len(graph.groups),
        "locked": len(graph.locked_groups),
        "parameters left": round(parameters(result.model) / parameters(model), 3),
        "difference": checked.difference if checked else "",
        "trace s": round(traced - start, 3),
        "whole s": round(whole - start, 3),
        "verify s": round(verified - whole, 3),
        "locks": _lock_reasons(graph),
        "remarks": "; ".join((*remarks, *graph.notes))[:400],
    }


def _lock_reasons(graph: DependencyGraph) -> str:
    indices: Counter[str] = Counter()
    for lock in graph.locks:
        indices[lock.reason] += lock.units
    return "; ".join(f"{count} {reason}" for reason, count in indices.most_common(5))[:400]


def randomise_norms(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
        if (
            isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm | nn.GroupNorm)
            and module.weight is not None
        ):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            if module.bias is not None:
                nn.init.normal_(module.bias)


if __name__ == "__main__":
    sys.exit(main())
