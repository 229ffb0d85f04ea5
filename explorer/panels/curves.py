"""The curves of a training job: loss, accuracy and faded units by epoch, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from dash import html
from dash.development.base_component import Component

from prunescope.explorer.jobs import Point

WIDTH, HEIGHT, MARGIN = 320, 64, 6  # of one curve, pixels
INK = "#5a6478"  # a dark page brightens the whole picture


def curves(points: Sequence[Point]) -> Component | None:
    """One curve under the other, each from its smallest to its largest value; nothing before the first epoch."""
    if not points:
        return None
    rows: list[tuple[str, list[float | None], str, str]] = [
        ("loss", [p.loss for p in points], "#c2571a", "{:.3f}"),
        ("accuracy while training", [p.accuracy for p in points], "#4650c8", "{:.1%}"),
        ("faded units", [p.faded for p in points], "#1f8a70", "{:.1%}"),
    ]
    drawn = [(name, values, ink, form) for name, found, ink, form in rows if (values := _known(found))]
    parts = [_curve(row * HEIGHT, *curve) for row, curve in enumerate(drawn)]
    size = f'width="{WIDTH}" height="{HEIGHT * len(drawn)}" viewBox="0 0 {WIDTH} {HEIGHT * len(drawn)}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'
    said = ", ".join(f"{name} {form.format(values[-1])}" for name, values, _, form in drawn)
    return html.Img(
        src=f"data:image/svg+xml;utf8,{quote(svg)}", alt=f"After epoch {points[-1].epoch}: {said}", className="curves"
    )


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _curve(top: int, name: str, values: Sequence[float], ink: str, form: str) -> str:
    low, high = min(values), max(values)
    across, down = WIDTH - 2 * MARGIN, HEIGHT - 26
    at = [
        (
            MARGIN + across * n / max(len(values) - 1, 1),
            top + 20 + down * (1 - (value - low) / (high - low) if high > low else 0.5),
        )
        for n, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    x, y = at[-1]
    text = f'font-family="system-ui, sans-serif" font-size="11" fill="{INK}"'
    return (
        f'<text x="{MARGIN}" y="{top + 12}" {text}>{name}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{top + 12}" text-anchor="end" {text}>{form.format(values[0])} → '
        f"{form.format(values[-1])}</text>"
        f'<polyline points="{line}" fill="none" stroke="{ink}" stroke-width="1.8"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{ink}"/>'
    )
