"""Pictures of the page in its states, to be looked at: `python -m tests.benchmarks.screens`, some minutes.

Writes PNG files, one for each state in the light and in the dark scheme, to build/screens.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from torch import nn

from prunescope.explorer import ids
from prunescope.explorer.gallery import open_model
from prunescope.explorer.session import Session
from tests.benchmarks.figures import FLAGS, chromium, open_all
from tests.browser.explorer_page import PATIENCE, Explorer, visited
from tests.browser.opened import cut, digits
from tests.models import NoNarrower, image

LAYER, SECOND = "layer2.0.conv1", "layer2.0.downsample.0"
SETTLED = 1500  # ms, for animations and figures
WINDOWS = {"1440": (1440, 900), "1280": (1280, 720), "4k": (3840, 2160)}
Shot = tuple[str, Callable[[Explorer], object]]


def locked_away() -> Session:
    """A model of which nothing can be cut."""
    return Session(nn.Linear(4, 3).eval(), torch.randn(1, 4), title="a single layer")


def stubborn() -> Session:
    """A model that does not run with fewer units."""
    return Session(NoNarrower().eval(), image(), title="a model that refuses to be narrower")


def torchvisions(name: str) -> Session:
    opened = open_model(name)
    return Session(opened.model, opened.example_inputs, title=opened.title)


def compared() -> Session:
    session = digits()
    for share, name in ((0.3, "30 %"), (0.5, "50 %")):
        session.show(0)
        cut(session, share, name)
    return session


def selected(explorer: Explorer) -> None:
    explorer.page.keyboard.press("Escape")  # leaves a dialog
    explorer.part(ids.GROUP_LIST).get_by_text(LAYER, exact=True).click()


def tab(name: str) -> Callable[[Explorer], None]:
    return lambda explorer: explorer.tab(name)


def pressed(part: str) -> Callable[[Explorer], None]:
    return lambda explorer: explorer.part(part).click()


def unfolded(text: str) -> Callable[[Explorer], None]:
    return lambda explorer: explorer.page.locator("summary", has_text=text).first.click()


def chained(explorer: Explorer) -> None:
    explorer.tab("Group")
    explorer.page.evaluate("([first, second]) => dash_clientside.set_props('why', { data: { first, second } })",
                           [LAYER, SECOND])  # fmt: skip


def searched(explorer: Explorer) -> None:
    explorer.page.keyboard.press("Escape")
    explorer.part(ids.SEARCH).fill("conv channels>16")
    explorer.page.keyboard.press("Enter")


def applied(explorer: Explorer, session: Session) -> None:
    explorer.tab("Cut")
    explorer.part(ids.APPLY).click()
    explorer.page.wait_for_timeout(300)
    session.jobs.wait(PATIENCE)


def of_the_gallery(session: Session) -> list[Shot]:
    return [
        ("start", lambda explorer: None),
        ("first-steps-over", lambda explorer: explorer.page.get_by_role("button", name="Skip").click()),
        ("locked", pressed(ids.LOCKED_OPEN)),
        ("selected", selected),
        ("why", chained),
        ("layers", lambda explorer: explorer.page.get_by_text("Layers", exact=True).click()),
        ("search", searched),
        ("importance", tab("Importance")),
        ("importance-members", unfolded("How the members differ")),
        ("cut", tab("Cut")),
        ("applied", partial(applied, session=session)),
        ("compare", tab("Compare")),
        ("matrix", tab("Matrix")),
        ("help", pressed(ids.HELP)),
    ]


SCREENS: dict[str, tuple[Callable[[], Session], Callable[[Session], list[Shot]]]] = {
    "digits": (digits, of_the_gallery),
    "versions": (compared, lambda session: [("compare", tab("Compare"))]),
    "nothing-to-cut": (locked_away, lambda session: [("start", lambda explorer: None), ("cut", tab("Cut"))]),
    "refused": (stubborn, lambda session: [("cut", partial(applied, session=session))]),
    "googlenet": (partial(torchvisions, "googlenet"), lambda session: [("start", lambda explorer: None),
                                                                       ("open", open_all)]),
    "vit": (partial(torchvisions, "vit_b_16"), lambda session: [("start", lambda explorer: None), ("cut", tab("Cut"))]),
}  # fmt: skip


def screens(browser: Browser, name: str, scheme: str, window: tuple[int, int]) -> Iterator[tuple[str, bytes]]:
    """The name of each state, and its picture."""
    build, shots = SCREENS[name]
    session = build()
    context = browser.new_context(viewport={"width": window[0], "height": window[1]})
    with visited(context.new_page(), session) as explorer:
        coloured(explorer.page, scheme)
        for state, action in shots(session):
            action(explorer)
            explorer.page.wait_for_timeout(SETTLED)
            yield f"{name}-{state}", explorer.page.screenshot()
    context.close()


def coloured(page: Page, scheme: str) -> None:
    if page.evaluate("document.documentElement.getAttribute('data-mantine-color-scheme')") != scheme:
        page.locator(f"#{ids.SCHEME_TOGGLE}").click()


def main(folder: Path, names: list[str], schemes: list[str], window: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name in names:
            for scheme in schemes:
                for state, picture in screens(browser, name, scheme, WINDOWS[window]):
                    path = folder / f"{state}-{scheme}-{window}.png"
                    path.write_bytes(picture)
                    print(path, flush=True)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SCREENS), help=f"of {', '.join(SCREENS)}")
    parser.add_argument("--schemes", nargs="+", choices=("light", "dark"), default=["light", "dark"])
    parser.add_argument("--window", choices=WINDOWS, default="1440")
    parser.add_argument("--out", type=Path, default=Path("build/screens"))
    options = parser.parse_args()
    main(options.out, options.names, options.schemes, options.window)
