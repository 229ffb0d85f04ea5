"""The graph as SVG, in the colours of the page; layers carry their ids, so that a script can find them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from prunescope.explorer.picture import Box, Frame, Picture, Route, family

Scheme = Literal["light", "dark"]
MARGIN = 24
FONT = "Inter, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"


@cache
def colours(scheme: Scheme) -> Mapping[str, str]:
    """The variables of `assets/app.css` by name, without the dashes before it."""
    sheet = files("prunescope.assets").joinpath("app.css").read_text()
    light, _, dark = sheet.partition('[data-mantine-color-scheme="dark"]')
    found = dict(_variables(light))
    return found if scheme == "light" else {**found, **dict(_variables(dark.partition("}")[0]))}


def _variables(text: str) -> list[tuple[str, str]]:
    return re.findall(r"--([a-z-]+):\s*([^;]+);", text)


def svg(picture: Picture, ink: Mapping[str, str], lit: Mapping[str, str] | None = None) -> str:
    """The picture as SVG text.

    Args:
        picture: What `Outline.arrange` gave.
        ink: Colours by the names of the style sheet, as `colours` gives them.
        lit: Layers of a group with the side of their members ("in", "out" or "both"): all others are faint.
    """
    shown = {box.id for box in picture.boxes if lit is None or any(layer in lit for layer in box.layers)}
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="{FONT}">',
        f'<rect width="100%" height="100%" fill="{ink["graph-canvas"]}"/>',
        f'<g transform="translate({MARGIN} {MARGIN})">',
        *(_frame(frame, ink) for frame in picture.frames),
        *(_route(route, ink, shown) for route in picture.routes),
        *(_box(box, ink, box.id in shown, lit or {}) for box in picture.boxes),
        "</g></svg>",
    ]
    return "\n".join(parts)


def _frame(frame: Frame, ink: Mapping[str, str]) -> str:
    x, y = frame.x - frame.width / 2, frame.y - frame.height / 2
    return (
        f'<g class="frame"><rect x="{x:.1f}" y="{y:.1f}" width="{frame.width:.1f}" height="{frame.height:.1f}" rx="8" '
        f'fill="{ink["graph-frame"]}" fill-opacity="0.55" stroke="{ink["graph-frame-line"]}"/>'
        f"{_text(frame.label, x + 12, y + 19, 12, ink['graph-muted'], bold=True)}</g>"
    )


def _route(route: Route, ink: Mapping[str, str], shown: Collection[str]) -> str:
    colour = {"skip": ink["graph-skip"], "concat": ink["graph-concat"]}.get(route.kind, ink["graph-edge"])
    faint = "" if route.source in shown and route.target in shown else ' opacity="0.25"'
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in route.points)
    x, y = route.points[-1]
    return (
        f'<g class="route" data-source={quoteattr(route.source)} data-target={quoteattr(route.target)}{faint}>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.4" stroke-linejoin="round"/>'
        f'<path d="M{x:.1f} {y:.1f}l-4 -7.5h8z" fill="{colour}"/></g>'
    )


def _box(box: Box, ink: Mapping[str, str], shown: bool, lit: Mapping[str, str]) -> str:
    kind = "module" if box.is_module else family(box.kind)
    x, y = box.x - box.width / 2, box.y - box.height / 2
    line = ink[f"kind-{kind}-line"]
    sides = {lit[layer] for layer in box.layers if layer in lit}
    bars = [
        f'<rect x="{x + 7:.1f}" y="{at:.1f}" width="{box.width - 14:.1f}" height="5" rx="2.5" fill="{ink[colour]}"/>'
        for side, at, colour in (("in", y - 2.5, "graph-in"), ("out", y + box.height - 2.5, "graph-out"))
        if sides & {side, "both"}
    ]
    texts = [_text(box.label, x + 15, y + (19 if box.detail else 26), 12.5, ink["graph-text"], bold=True)]
    if not box.is_module and box.kind != box.label:
        texts.append(_text(box.kind, x + box.width - 10, y + 19, 10.5, ink["graph-muted"], end=True))
    if box.detail:
        texts.append(_text(box.detail, x + 15, y + 35, 11, ink["graph-muted"]))
    faint = "" if shown else ' opacity="0.3"'
    return (
        f'<g class="box" data-box={quoteattr(box.id)} data-layers={quoteattr(" ".join(box.layers))}{faint}>'
        f"<title>{escape(box.id.removeprefix('module:'))}</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="8" '
        f'fill="{ink[f"kind-{kind}"]}" stroke="{line if sides else ink["graph-box-line"]}"/>'
        f'<rect x="{x + 5:.1f}" y="{y + 8:.1f}" width="3" height="{box.height - 16:.1f}" rx="1.5" fill="{line}"/>'
        f"{''.join(texts)}{''.join(bars)}</g>"
    )


def _text(text: str, x: float, y: float, size: float, colour: str, *, bold: bool = False, end: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    anchor = ' text-anchor="end"' if end else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{weight}{anchor}>{escape(text)}</text>'
