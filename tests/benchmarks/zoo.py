"""Prune many models by half and write down what became of them: `make zoo`, or this script with names.

Every line is one model with random weights, norms randomised so that a wrong cut cannot pass, traced on random inputs
and cut by half with no settings. Goes on where it was stopped: models that are in the table already are skipped.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope.core import PrunescopeError, plan, prune, score, trace
from prunescope.core.measure import parameters

COLUMNS = (
    "model",
    "layers",
    "groups",
    "locked",
    "parameters left",
    "difference",
    "trace s",
    "whole s",
    "verify s",
    "failed",
)
RATIO = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only models whose name contains one of these")
    parser.add_argument("--out", type=Path, default=Path("build/zoo.csv"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = _names_in(options.out)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    with options.out.open("a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        if not done:
            table.writeheader()
        for name, build in models():
            if name in done or (options.names and not any(part in name for part in options.names)):
                continue
            row = measured(name, build)
            table.writerow(row)
            file.flush()
            print(" ".join(f"{key}={value}" for key, value in row.items() if value != ""), flush=True)


def _names_in(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {row["model"] for row in csv.DictReader(file)}


def models() -> Iterator[tuple[str, Callable[[], tuple[nn.Module, Tensor]]]]:
    """Every torchvision classification, segmentation and video model, and one of every timm family if timm is there."""
    from torchvision import models as zoo

    for module, size in (
        (zoo, (1, 3, 224, 224)),
        (zoo.segmentation, (1, 3, 224, 224)),
        (zoo.video, (1, 3, 16, 224, 224)),
    ):
        for name in zoo.list_models(module=module):
            yield name, lambda name=name, size=size: _torchvision(name, size)
    try:
        import timm
    except ImportError:
        return
    for family in timm.list_modules():
        names = timm.list_models(module=family)
        if names:
            name = min(names, key=len)
            yield f"timm/{name}", lambda name=name: _timm(name)


def _torchvision(name: str, size: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    from torchvision import models as zoo

    options = {"weights_backbone": None} if "segmentation" in zoo.get_model_builder(name).__module__ else {}
    side = 299 if name.startswith("inception") else size[-1]
    return zoo.get_model(name, weights=None, **options), torch.randn(*size[:-2], side, side)


def _timm(name: str) -> tuple[nn.Module, Tensor]:
    import timm

    model = timm.create_model(name, pretrained=False)
    return model, torch.randn(1, *model.default_cfg["input_size"])


def measured(name: str, build: Callable[[], tuple[nn.Module, Tensor]]) -> dict[str, object]:
    torch.manual_seed(0)
    row: dict[str, object] = dict.fromkeys(COLUMNS, "") | {"model": name}
    model, inputs = build()
    randomise_norms(model.eval())
    try:
        start = time.perf_counter()
        graph = trace(model, inputs)
        traced = time.perf_counter()
        chosen = plan(graph, score(graph), ratio=RATIO)
        prune(model, chosen, verify=False)
        whole = time.perf_counter()
        result = prune(model, chosen)
        row |= {
            "layers": len(graph.layers),
            "groups": len(graph.groups),
            "locked": len(graph.locked_groups),
            "parameters left": round(parameters(result.model) / parameters(model), 3),
            "difference": result.verification.difference if result.verification else "",
            "trace s": round(traced - start, 3),
            "whole s": round(whole - start, 3),
            "verify s": round(time.perf_counter() - whole, 3),
            "failed": "; ".join(f"left out {culprit.group}" for culprit in result.left_out),
        }
    except PrunescopeError as error:
        row["failed"] = f"{type(error).__name__}: {error.found}"[:300]
    return row


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
