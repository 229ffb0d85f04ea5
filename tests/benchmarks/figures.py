"""How fast things are on this machine, as a table: `python -m tests.benchmarks.figures`, some minutes.

Nothing is asserted: the numbers depend on the machine, and on what else it is doing.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from torch import nn

from prunescope.core import trace
from prunescope.explorer import ids
from prunescope.explorer.gallery import open_model
from prunescope.explorer.session import Session
from tests.browser.explorer_page import CY, Explorer, visited
from tests.command import running

STARTS = 3
CLICKS = 15
STEPS = 20
ROUNDS = 9
SETTLED = 1000  # ms, until the buttons know what the graph shows
FLAGS = ["--no-sandbox", "--disable-gpu"]
WINDOW: Any = {"width": 1440, "height": 900}
ABOUT_500_ELEMENTS = "googlenet"

DRAWN = 'performance.getEntriesByName("graph-drawn").length'
# Sets `watched` to the milliseconds from the next event of a kind until what it changed is on the screen.
WATCH_CLICK = """() => {
    const lit = performance.getEntriesByName("graph-lit").length;
    window.watched = new Promise((done) => document.addEventListener("mouseup", (event) => {
        const look = () => requestAnimationFrame(() => setTimeout(() => {
            performance.getEntriesByName("graph-lit").length > lit ? done(performance.now() - event.timeStamp) : look();
        }, 0));
        look();
    }, { capture: true, once: true }));
}"""
WATCH_KEY = """preview => {
    const place = document.getElementById(preview);
    window.watched = new Promise((done) => document.addEventListener("keydown", (event) => {
        new MutationObserver((changes, observer) => {
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(() => done(performance.now() - event.timeStamp), 0));
        }).observe(place, { childList: true, subtree: true, characterData: true });
    }, { capture: true, once: true }));
}"""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    unit: str
    values: Sequence[float]
    note: str = ""

    def __str__(self) -> str:
        median, least, most = statistics.median(self.values), min(self.values), max(self.values)
        spread = f"{least:.3g} to {most:.3g}, {len(self.values)} times"
        return f"| {self.what} | {median:.3g} {self.unit} | {spread} | {self.note} |"


def main() -> None:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    figures = [*core_figures()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        figures += [*start_figures(browser), *page_figures(browser)]
        name = f"Chromium {browser.version}"
        browser.close()
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}")
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads, {name}")
    print(f"load average before and after: {load} and {', '.join(f'{value:.1f}' for value in os.getloadavg())}\n")
    print("| what | median | spread | |\n|---|---|---|---|")
    print(*figures, sep="\n")


def chromium() -> str:
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or "chromium"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def start_figures(browser: Browser) -> Iterator[Figure]:
    """The first start warms the disk's cache and is not counted."""
    printed, painted, busy = [], [], []
    for _ in range(STARTS + 1):
        with tempfile.TemporaryDirectory() as folder, new_page(browser) as page:
            start = time.perf_counter()
            with running(Path(folder), "--no-browser", "--port", "0") as (process, address):
                printed.append(time.perf_counter() - start)
                busy.append(processor_seconds(process.pid))
                page.goto(address)
                page.wait_for_selector("#graph[data-drawn]")
                painted.append(time.perf_counter() - start)
                page.goto("about:blank")
    yield Figure("`prunescope` until the address is printed", "s", printed[1:], "warm")
    yield Figure("the same, processor time", "s", busy[1:], "does not depend on what else the machine does")
    yield Figure("`prunescope` until the graph is painted", "s", painted[1:], "warm, the browser is running")


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far; 0 where the system has no /proc."""
    record = Path(f"/proc/{pid}/stat")
    if not record.exists():
        return 0.0
    user, system = record.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def page_figures(browser: Browser) -> Iterator[Figure]:
    opened = open_model(ABOUT_500_ELEMENTS)
    session = Session(opened.model, opened.example_inputs, title=opened.title)
    with new_page(browser) as page, visited(page, session) as explorer:
        open_all(explorer)
        count = page.evaluate(f"{CY}.elements().length")
        note = f"{ABOUT_500_ELEMENTS}, {count} visible elements"
        yield Figure("click until the group is lit on the screen", "ms", list(clicks(explorer)), note)
        explorer.tab("Cut")
        yield Figure("slider step until the costs are on the screen", "ms", list(steps(explorer)), note)


def open_all(explorer: Explorer) -> float:
    """Open level by level; gives the seconds from clicks to drawn graphs."""
    button, seconds = explorer.part(ids.GRAPH_OPEN_LEVEL), 0.0
    while button.is_enabled():
        drawn = explorer.page.evaluate(DRAWN)
        start = time.perf_counter()
        button.click()
        explorer.page.wait_for_function(f"before => {DRAWN} > before", arg=drawn)
        seconds += time.perf_counter() - start
        explorer.page.wait_for_timeout(SETTLED)
    return seconds


def clicks(explorer: Explorer) -> Iterator[float]:
    layers = [name for name in explorer.state()["visible"] if not name.startswith("module:")]
    for layer in layers[1 :: max(1, len(layers) // CLICKS)][:CLICKS]:
        place = explorer.place(layer)
        explorer.page.evaluate(WATCH_CLICK)
        explorer.page.mouse.click(**place, delay=10)
        yield explorer.page.evaluate("window.watched")


def steps(explorer: Explorer) -> Iterator[float]:
    explorer.slide_to(40)
    for _ in range(STEPS):
        explorer.page.evaluate(WATCH_KEY, ids.PREVIEW)
        explorer.page.keyboard.press("ArrowRight")
        yield explorer.page.evaluate("window.watched")


def core_figures() -> Iterator[Figure]:
    opened = open_model("resnet50")
    forward, traced = interleaved(
        lambda: run(opened.model, opened.example_inputs), lambda: trace(opened.model, opened.example_inputs)
    )
    ratios = [one / other for one, other in zip(traced, forward, strict=True)]
    yield Figure("ResNet-50: one forward pass", "s", forward, "batch 1, 224 x 224")
    yield Figure("ResNet-50: trace and groups", "s", traced)
    yield Figure("ResNet-50: trace and groups, in forward passes", "", ratios, "in turns, in one run")
    dense = open_model("densenet201")
    (seconds,) = interleaved(lambda: trace(dense.model, dense.example_inputs))
    yield Figure("DenseNet-201: trace and groups", "s", seconds)


@torch.no_grad()
def run(model: nn.Module, inputs: Any) -> None:
    model(inputs)


def interleaved(*works: Callable[[], object]) -> list[list[float]]:
    """Seconds of each work, all of them in turns; a first round is not counted."""
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(ROUNDS + 1):
        for work, taken in zip(works, seconds, strict=True):
            start = time.perf_counter()
            work()
            if number:
                taken.append(time.perf_counter() - start)
    return seconds


@contextmanager
def new_page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=WINDOW)
    yield context.new_page()
    context.close()


if __name__ == "__main__":
    main()
