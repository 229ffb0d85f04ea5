"""The explorer's page, used as a person uses it: by what is where on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from playwright.sync_api import Locator, Page, expect

from prunescope.core import DependencyGraph, Group
from prunescope.explorer import ids
from prunescope.explorer.server import serve
from prunescope.explorer.session import Session

PATIENCE = 60.0  # seconds
CY = "document.getElementById('graph')._cyreg.cy"

# Whether a box's upper (in) or lower (out) edge, just inside of it, has the colour of a lit port.
PORT = """async ([id, side]) => {
    for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
    const cy = CY, box = cy.getElementById(id), at = box.renderedPosition(), ratio = window.devicePixelRatio;
    const y = at.y + (side === "in" ? -1 : 1) * (box.data("height") / 2 - 0.6) * cy.zoom();
    const x = at.x - 0.42 * box.data("width") * cy.zoom();  // arrows and widths are in the middle
    const canvas = document.querySelector(".graph-overlay");
    const pixel = canvas.getContext("2d").getImageData(Math.floor(x * ratio), Math.floor(y * ratio), 1, 1).data;
    const swatch = document.createElement("canvas").getContext("2d");
    swatch.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(`--graph-${side}`).trim();
    swatch.fillRect(0, 0, 1, 1);
    const colour = swatch.getImageData(0, 0, 1, 1).data;
    return [0, 1, 2, 3].every((part) => Math.abs(pixel[part] - colour[part]) < 24);
}""".replace("CY", CY)


class Explorer:
    """One open page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(url)
        page.wait_for_selector("#graph[data-drawn]")
        page.wait_for_function("prunescope.graph.state().visible.length > 0")
        # the groups have arrived when a layer is known to be locked
        expect(self.part(ids.HEAD_NUMBERS)).to_contain_text("parameters")

    def leave(self) -> None:
        """Ask nothing more of the server, which may end now."""
        self.page.goto("about:blank")

    def part(self, name: str) -> Locator:
        return self.page.locator(f"#{name}")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate("prunescope.graph.state()")
        return found

    def place(self, element: str) -> dict[str, float]:
        """Where the middle of a box is in the window, after it was brought into view."""
        self.page.evaluate("id => prunescope.graph.show(id)", element.removeprefix("module:"))
        found: dict[str, float] = self.page.evaluate(
            f"""id => {{
                const at = {CY}.getElementById(id).renderedPosition();
                const corner = document.getElementById("graph").getBoundingClientRect();
                return {{x: at.x + corner.x, y: at.y + corner.y}};
            }}""",
            element,
        )
        return found

    def click(self, layer: str) -> None:
        self.page.mouse.click(**self.place(layer), delay=10)
        self.page.wait_for_function("layer => prunescope.graph.state().selected === layer", arg=layer)

    def double_click(self, element: str) -> None:
        self.page.mouse.dblclick(**self.place(element), delay=10)

    def reveal(self, layer: str) -> None:
        """Open the modules around a layer, one after the other."""
        while layer not in (visible := self.state()["visible"]):
            module = next(box for box in visible if f"module:{layer}".startswith(f"{box}."))
            self.double_click(module)
            self.page.wait_for_function("box => !prunescope.graph.state().visible.includes(box)", arg=module)

    def ports(self, layer: str) -> Literal["in", "out", "both", "none"]:
        """The sides of a visible layer that are marked on the canvas."""
        self.place(layer)
        into, out = (self.page.evaluate(PORT, [layer, side]) for side in ("in", "out"))
        return "both" if into and out else "in" if into else "out" if out else "none"

    def slide_to(self, percent: int) -> None:
        """Move the slider by the keyboard."""
        thumb = self.part(ids.RATIO).get_by_role("slider")
        thumb.focus()
        now = int(thumb.get_attribute("aria-valuenow") or 0)
        for _ in range(abs(percent - now)):
            self.page.keyboard.press("ArrowRight" if percent > now else "ArrowLeft")
        expect(thumb).to_have_attribute("aria-valuenow", str(percent))


@contextmanager
def visited(page: Page, session: Session) -> Iterator[Explorer]:
    """The session's page, served and opened; its jobs are cancelled and over at the end."""
    served = serve(session, port=0)
    served.in_background()
    explorer = Explorer(page, served.url)
    try:
        yield explorer
    finally:
        explorer.leave()
        session.jobs.cancel()
        session.jobs.wait(PATIENCE)
        served.close()


def layers_of(graph: DependencyGraph, group: Group | None) -> list[str]:
    """The names of the layers that hold a member of the core's group, sorted."""
    held = group.layers if group else ()
    return sorted(layer.name for layer in graph.layers if layer.is_module and layer.module in held)
