"""How the page behaves as graphs grow: `python -m tests.benchmarks.graph_sizes`, some minutes; prints a table.

Residual networks, opened level by level as far as the page goes by itself (500 boxes), in a headless browser without a
graphics card. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright
from torch import Tensor, nn

from prunescope.explorer.session import Session
from tests.benchmarks.figures import FLAGS, chromium, clicks, new_page, open_all, processor, steps
from tests.browser.explorer_page import CY, visited

SIZES = (100, 500, 1000, 3000)  # layers and operations, about
OPERATIONS = 7  # of a block
BLOCKS = 8  # of a stage
DRAGS = 60

# Collects the milliseconds between frames until FRAMES takes them.
WATCH_FRAMES = """() => {
    window.frames_seen = [];
    let last = performance.now();
    const look = (now) => {
        window.frames_seen.push(now - last);
        last = now;
        window.watching = requestAnimationFrame(look);
    };
    window.watching = requestAnimationFrame(look);
}"""
FRAMES = "() => { cancelAnimationFrame(window.watching); return window.frames_seen.slice(1); }"


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(x + y)


def residual(layers: int) -> nn.Module:
    """A network of about so many layers and operations, in stages of eight blocks."""
    blocks = [Block(16) for _ in range(max(1, layers // OPERATIONS))]
    stages = [nn.Sequential(*blocks[at : at + BLOCKS]) for at in range(0, len(blocks), BLOCKS)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *stages, *head).eval()


@dataclass(frozen=True)
class Row:
    """What one graph took. Times in milliseconds, but for the first three."""

    layers: int  # layers and operations of the network
    boxes: int  # visible when as much is opened as the page opens by itself
    trace: float  # seconds, with groups
    first_paint: float  # seconds from asking for the page until the graph is painted, its modules collapsed
    opened: float  # seconds from there until as much is drawn, opened level by level
    drag: Sequence[float]  # between frames while the graph is dragged
    wheel: Sequence[float]  # between frames while it is zoomed
    click: Sequence[float]  # until the group is lit
    slide: Sequence[float]  # until the costs are on the screen

    def __str__(self) -> str:
        times = [f"{statistics.median(each):.0f} ({max(each):.0f})" for each in (self.click, self.slide)]
        frames = [f"{statistics.median(each):.0f} ({_slow(each):.0f})" for each in (self.drag, self.wheel)]
        seconds = [f"{each:.1f}" for each in (self.trace, self.first_paint, self.opened)]
        return f"| {' | '.join([str(self.layers), str(self.boxes), *seconds, *frames, *times])} |"


def _slow(frames: Sequence[float]) -> float:
    """The time that one frame in twenty exceeds."""
    return sorted(frames)[int(0.95 * (len(frames) - 1))]


def measured(page: Page, layers: int) -> Row:
    started = time.perf_counter()
    session = Session(residual(layers), torch.randn(1, 3, 16, 16), title=f"residual, about {layers}")
    traced = time.perf_counter() - started
    started = time.perf_counter()
    with visited(page, session) as explorer:
        painted = time.perf_counter() - started
        opened = open_all(explorer)
        drag, wheel, click = list(dragging(page)), list(zooming(page)), list(clicks(explorer))
        explorer.tab("Cut")
        slide = list(steps(explorer))
        count = int(page.evaluate(f"{CY}.nodes().length"))
    return Row(len(session.version.graph.layers), count, traced, painted, opened, drag, wheel, click, slide)


def dragging(page: Page) -> Iterator[float]:
    box: Any = page.locator("#graph").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(WATCH_FRAMES)
    for n in range(DRAGS):
        page.mouse.move(x + 3 * (n % 20), y + 4 * (n % 20))
    yield from page.evaluate(FRAMES)
    page.mouse.up()


def zooming(page: Page) -> Iterator[float]:
    page.evaluate(WATCH_FRAMES)
    for n in range(DRAGS):
        page.mouse.wheel(0, -40 if n % 20 < 10 else 40)
    yield from page.evaluate(FRAMES)


def main(sizes: Sequence[int]) -> None:
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}")
    print(
        "| layers and operations | visible boxes | trace, s | first paint, s | levels opened, s | drag, ms a frame "
        "(1 in 20 over) | zoom, ms a frame | click to lit, ms (worst) | slider to costs, ms |"
    )
    print("|---" * 9 + "|")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for layers in sizes:
            with new_page(browser) as page:
                page.set_default_timeout(300_000)
                print(measured(page, layers), flush=True)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    main(parser.parse_args().sizes)
