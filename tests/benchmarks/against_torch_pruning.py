"""Prunescope and Torch-Pruning side by side: `python -m tests.benchmarks.against_torch_pruning`, half an hour.

Both prune the same torchvision models by half in the same run, each in a process of its own, in turns, on one thread.
Needs `pip install torch-pruning==1.6.1`, which the package itself does not. Goes on where it was stopped: models that
are in the table already are skipped; `--out` begins another table.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.fresh import Failed, FreshProcess, Measured, Works, measured, number, table

if TYPE_CHECKING:
    from torch import Tensor, nn

OURS, THEIRS = "ours", "theirs"
VERSION = "1.6.1"
RATIO = 0.5
CLASSES = 1000
ROUNDS = 3
LONG = 10.0  # seconds; what takes longer is measured once
# the smallest of every family of torchvision, and the large ones that the comparison is usually made on
MODELS = (
    *("alexnet", "convnext_tiny", "densenet121", "densenet201", "efficientnet_b0", "efficientnet_v2_s", "googlenet"),
    *("inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf"),
    *("regnet_y_400mf", "resnet18", "resnet50", "resnet152", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1"),
    *("swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_16", "wide_resnet50_2"),
)
ONCE = ("verification",)
WORKS = {OURS: ("whole", "groups", "forward", "verification"), THEIRS: ("whole", "groups")}
COLUMNS = (
    "model",
    *(f"{side} {work} s" for side, works in WORKS.items() for work in works),
    *(f"{side} {what}" for what in ("peak MB", "parameters left", "failed") for side in WORKS),
)


@dataclass
class Side:
    """What was measured of one side on one model."""

    process: FreshProcess
    works: Mapping[str, list[Measured]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # by work

    def do(self, work: str, limit: float) -> None:
        done = self.works[work]
        if work in self.failed or (done and (work in ONCE or done[0].seconds > LONG)):
            return
        try:
            done.append(self.process.do(work, limit))
        except Failed as error:
            self.failed[work] = str(error)

    def seconds(self, work: str) -> float | str:
        taken = [done.seconds for done in self.works[work]]
        return round(statistics.median(taken), 4) if taken else ""

    def row(self, name: str) -> dict[str, object]:
        whole = self.works["whole"]
        return {
            **{f"{name} {work} s": self.seconds(work) for work in self.works},
            f"{name} peak MB": round(max(done.megabytes for done in whole), 1) if whole else "",
            f"{name} parameters left": whole[0].facts["parameters left"] if whole else "",
            f"{name} failed": "; ".join(dict.fromkeys(self.failed.values())),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="models of torchvision; the smallest of each family if none")
    parser.add_argument("--all", action="store_true", help="every classification model of torchvision (hours)")
    parser.add_argument("--limit", type=float, default=300, help="seconds for one measurement")
    parser.add_argument("--out", type=Path, default=Path("build/against_torch_pruning.csv"))
    options = parser.parse_args()
    check_installed()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    names = _every_name() if options.all else options.names or MODELS
    _measure([name for name in names if name not in {row["model"] for row in rows_in(options.out)}], options)
    text = report([row for row in rows_in(options.out) if row["model"] in names])
    options.out.with_suffix(".md").write_text(text + "\n")
    print(text)


def check_installed() -> None:
    try:
        found = version("torch-pruning")
    except PackageNotFoundError:
        sys.exit(f"Torch-Pruning is not installed: pip install torch-pruning=={VERSION}")
    if found != VERSION:
        print(f"Torch-Pruning {found}; the published figures are of {VERSION}", file=sys.stderr)


def _every_name() -> list[str]:
    from torchvision import models as zoo

    return zoo.list_models(module=zoo)


def rows_in(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _measure(names: Sequence[str], options: argparse.Namespace) -> None:
    begun = options.out.exists()
    with options.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not begun:
            writer.writeheader()
        for name in names:
            row = compared(name, options.limit)
            writer.writerow(row)
            file.flush()
            print(", ".join(f"{key} {value}" for key, value in row.items() if value != ""), file=sys.stderr, flush=True)


def compared(name: str, limit: float) -> dict[str, object]:
    """One model, both sides, in turns."""
    with FreshProcess(prepare, OURS, name) as ours, FreshProcess(prepare, THEIRS, name) as theirs:
        sides = {
            side: Side(process, {work: [] for work in WORKS[side]})
            for side, process in ((OURS, ours), (THEIRS, theirs))
        }
        for _ in range(ROUNDS):
            for work in WORKS[OURS]:
                for side, found in sides.items():
                    if work in WORKS[side]:
                        found.do(work, limit)
    return {"model": name} | sides[OURS].row(OURS) | sides[THEIRS].row(THEIRS)


def prepare(side: str, name: str) -> Works:
    """What a process does with a model, once its library is imported and warm and the model is built."""
    import torch

    torch.manual_seed(0)
    works = _our_works if side == OURS else _their_works
    for work in works(*_small_model()).values():
        work()
    return works(*_model(name))


def _model(name: str) -> tuple[nn.Module, Tensor]:
    import torch
    from torchvision import models as zoo

    size = 299 if name.startswith("inception") else 224
    return zoo.get_model(name, weights=None).eval(), torch.randn(1, 3, size, size)


def _small_model() -> tuple[nn.Module, Tensor]:
    import torch
    from torch import nn

    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, CLASSES))
    return nn.Sequential(*layers).eval(), torch.randn(1, 3, 8, 8)


def _our_works(model: nn.Module, inputs: Tensor) -> Works:
    import torch

    from prunescope.core import plan, prune, score, trace

    def cut(model: nn.Module) -> nn.Module:
        graph = trace(model, inputs)
        return prune(model, plan(graph, score(graph), ratio=RATIO), verify=False).model

    def verification() -> Measured:
        graph = trace(model, inputs)
        half = plan(graph, score(graph), ratio=RATIO)
        _, cut_only = measured(lambda: prune(model, half, verify=False))
        _, verified = measured(lambda: prune(model, half))
        return Measured(verified.seconds - cut_only.seconds, 0)

    @torch.no_grad()
    def forward() -> None:
        model(inputs)

    return {
        "whole": lambda: _pruned(cut, model, inputs),
        "groups": lambda: measured(lambda: trace(model, inputs))[1],
        "forward": lambda: measured(forward)[1],
        "verification": verification,
    }


def _their_works(model: nn.Module, inputs: Tensor) -> Works:
    import torch_pruning as tp

    def classifiers(model: nn.Module) -> list[nn.Module]:
        # as its own documentation does: the layers that give the classes are not pruned
        sizes = ("out_features", "out_channels")
        return [module for module in model.modules() if CLASSES in (getattr(module, size, 0) for size in sizes)]

    def groups() -> list[Any]:
        graph = tp.DependencyGraph().build_dependency(model, example_inputs=inputs)
        return list(graph.get_all_groups(ignored_layers=classifiers(model)))

    def cut(model: nn.Module) -> nn.Module:
        pruner = tp.pruner.BasePruner(
            model,
            inputs,
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=RATIO,
            ignored_layers=classifiers(model),
        )
        pruner.step()
        return model

    return {"whole": lambda: _pruned(cut, model, inputs), "groups": lambda: measured(groups)[1]}


def _pruned(cut: Callable[[nn.Module], nn.Module], model: nn.Module, inputs: Tensor) -> Measured:
    """A cut of a copy, made before the clock runs; after it has stopped, the pruned model has to run."""
    import torch

    mine = copy.deepcopy(model)
    result, found = measured(lambda: cut(mine))
    with torch.no_grad():
        shape = tuple(result(inputs).shape)
    if shape != (1, CLASSES):
        raise Failed(f"the pruned model's output is {shape}")
    left = sum(p.numel() for p in result.parameters()) / sum(p.numel() for p in model.parameters())
    return Measured(found.seconds, found.megabytes, {"parameters left": round(left, 3)})


def report(rows: Sequence[Mapping[str, str]]) -> str:
    header = ["model", "forward pass", "trace and groups, s: ours", "theirs", "whole way, s: ours", "theirs"]
    header += ["times faster", "peak, MB: ours", "theirs", "parameters left: ours", "theirs", "our verification, s"]
    machine = f"{platform.processor() or platform.machine()}, one thread, batch of 1, ratio {RATIO}, processor time."
    return "\n\n".join([machine, table(header, [_line(row) for row in rows]), *_summary(rows)])


def _line(row: Mapping[str, str]) -> list[str]:
    names = ("ours forward s", "ours groups s", "theirs groups s", "ours whole s", "theirs whole s")
    times = [number(_value(row, name)) for name in names]
    others = ("ours peak MB", "theirs peak MB", "ours parameters left", "theirs parameters left", "ours verification s")
    if row["theirs failed"] and not times[-1]:
        times[-1] = "fails"
    return [row["model"], *times, number(_faster(row)), *(number(_value(row, name)) for name in others)]


def _value(row: Mapping[str, str], name: str) -> float | None:
    return float(row[name]) if row[name] else None


def _faster(row: Mapping[str, str], work: str = "whole") -> float | None:
    ours, theirs = _value(row, f"ours {work} s"), _value(row, f"theirs {work} s")
    return theirs / ours if ours and theirs else None


def _summary(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    for work, what in (("whole", "The whole way"), ("groups", "Trace and groups")):
        ratios = {row["model"]: ratio for row in rows if (ratio := _faster(row, work))}
        if ratios:
            slowest, fastest = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
            yield (
                f"{what}: {math.exp(statistics.fmean(map(math.log, ratios.values()))):.1f} times faster in the "
                f"geometric mean over the {len(ratios)} models that both prune; "
                f"from {ratios[slowest]:.1f} ({slowest}) to {ratios[fastest]:.1f} ({fastest})."
            )
    for side, name in ((OURS, "Prunescope"), (THEIRS, "Torch-Pruning")):
        failed = [f"- {row['model']}: {row[f'{side} failed']}" for row in rows if row[f"{side} failed"]]
        yield "\n".join([f"{name} fails on {len(failed)} of {len(rows)}" + (":" if failed else "."), *failed])


if __name__ == "__main__":
    main()
