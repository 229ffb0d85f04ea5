"""How time and memory grow with depth and width: `python -m tests.benchmarks.growth`, some minutes.

The law: ten times the layers take at most twelve times the time and the memory. Every size is measured in a process of
its own, on one thread.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.fresh import FreshProcess, Works, measured, number, table

if TYPE_CHECKING:
    from torch import nn

DEPTHS = (50, 100, 200, 500, 1000, 2000)
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)
NARROW, SHALLOW = 8, 12
ROUNDS = 3
LIMIT = 600.0  # seconds
WORKS = ("groups", "whole")


@dataclass(frozen=True)
class Point:
    """One net: seconds and megabytes of each of `WORKS`, in that order."""

    size: int
    values: tuple[float, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=max(WIDTHS), help="leave larger nets out")
    parser.add_argument("--out", type=Path, default=Path("build/growth.md"))
    options = parser.parse_args()
    depths = [_point(depth, depth, NARROW) for depth in DEPTHS if depth <= options.largest]
    widths = [_point(width, SHALLOW, width) for width in WIDTHS if width <= options.largest]
    parts = [report("layers", f"of {NARROW} channels", depths), report("width", f"in {SHALLOW} layers", widths)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n\n".join(parts) + "\n")
    print("\n\n".join(parts))


def _point(size: int, layers: int, width: int) -> Point:
    values = []
    for work in WORKS:
        with FreshProcess(prepare, layers, width) as process:
            found = [process.do(work, LIMIT) for _ in range(ROUNDS)]
        values += [statistics.median(done.seconds for done in found), max(done.megabytes for done in found)]
    return Point(size, tuple(values))


def prepare(layers: int, width: int) -> Works:
    for work in _works(residual(4, 4)).values():
        work()
    return _works(residual(layers, width))


def _works(model: nn.Module) -> Works:
    import torch

    from prunescope.core import plan, prune, score, trace

    inputs = torch.randn(1, 3, 4, 4)

    def whole() -> None:
        graph = trace(model, inputs)
        prune(model, plan(graph, score(graph), ratio=0.5), verify=False)

    works: dict[str, Callable[[], object]] = {"groups": lambda: trace(model, inputs), "whole": whole}
    return {name: lambda work=work: measured(work)[1] for name, work in works.items()}


def residual(layers: int, width: int) -> nn.Module:
    """A plain residual net: a stem, blocks of two convolutions with a skip, and a classifier."""
    import torch
    from torch import Tensor, nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.norm2 = nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)

        def forward(self, x: Tensor) -> Tensor:
            inside = torch.relu(self.norm1(self.conv1(x)))
            return torch.relu(x + self.norm2(self.conv2(inside)))

    blocks = [Block() for _ in range((layers - 2) // 2)]
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)
    ).eval()


def report(what: str, note: str, points: Sequence[Point]) -> str:
    names = [f"{name}, {unit}" for name in ("trace and groups", "whole way") for unit in ("s", "MB")]
    rows = [[f"{point.size} {note}", *map(number, point.values)] for point in points]
    tenfold = [["growth per ten-fold", *map(number, per_tenfold(points))]] if len(points) > 1 else []
    return table([what, *names], rows + tenfold)


def per_tenfold(points: Sequence[Point]) -> list[float | None]:
    """By how much each value grows from the first to the last size, had the size grown ten-fold."""
    first, last = points[0], points[-1]
    steps = math.log10(last.size / first.size)
    return [
        (after / before) ** (1 / steps) if before > 0 else None
        for before, after in zip(first.values, last.values, strict=True)
    ]


if __name__ == "__main__":
    main()
