"""Accuracy against what it costs, over all versions; a point opens its version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
import plotly.graph_objects as go
from dash import Dash, Input, Output, dcc, html, no_update
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.panels.figure_style import BAR, CONFIG, LINE_STRONG, empty, styled
from prunescope.explorer.panels.lazy import fill_when_opened, host
from prunescope.explorer.session import Session
from prunescope.explorer.view import version_rows

# column of `version_rows` -> what the switch calls it, the title of the axis
AXES = {
    "latency": ("Latency", "latency, ms (median; bar: half the interquartile range)"),
    "macs": ("MACs", "MACs of one forward pass"),
    "parameters": ("Parameters", "parameters"),
}


def layout() -> Component:
    return host(ids.VERSION_FIGURES)


def figures() -> list[Component]:
    return [
        html.H3("What is gained, what is lost"),
        dmc.SegmentedControl(id=ids.VERSION_AXIS, value="latency", size="xs",
                             data=[{"value": axis, "label": label} for axis, (label, _) in AXES.items()]),
        dcc.Graph(id=ids.VERSION_PLOT, config=CONFIG, figure=empty("light", ""), className="pick-point"),
    ]  # fmt: skip


def register(app: Dash, session: Session) -> None:
    fill_when_opened(app, ids.VERSION_FIGURES, "compare", figures)

    @app.callback(
        Output(ids.VERSION_PLOT, "figure"),
        Input(ids.REVISION, "data"),
        Input(ids.SCHEME, "data"),
        Input(ids.VERSION_AXIS, "value"),
    )
    def plot(revision: int, scheme: str, axis: str) -> go.Figure:
        return versions_figure(version_rows(session), scheme, axis)

    @app.callback(
        Output(ids.SHOWN, "data", allow_duplicate=True),
        Input(ids.VERSION_PLOT, "clickData"),
        prevent_initial_call=True,
    )
    def open_point(click: dict[str, Any] | None) -> Any:
        return session.show(int(click["points"][0]["customdata"])).id if click else no_update


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the points that no other one beats: less of the first and more of the second, by the first."""
    best, kept = float("-inf"), []
    for at in sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1])):
        if points[at][1] > best:
            best = points[at][1]
            kept.append(at)
    return kept


def versions_figure(rows: list[dict[str, Any]], scheme: str, axis: str = "latency") -> go.Figure:
    """Accuracy against latency, MACs or parameters, with the line of versions that no other beats.

    Where there is no accuracy, parameters stand in its place. A click on a point opens its version.
    """
    measured = [row for row in rows if row[axis] is not None]
    if not measured:
        return empty(scheme, "No latency is measured yet: see MACs or parameters")
    with_accuracy = [row for row in measured if row["accuracy"] is not None]
    shown = with_accuracy or measured
    values = [row["accuracy"] * 100 if with_accuracy else row["parameters"] for row in shown]
    figure = go.Figure()
    if with_accuracy:
        kept = front([(row[axis], value) for row, value in zip(shown, values, strict=True)])
        figure.add_scatter(
            x=[shown[at][axis] for at in kept], y=[values[at] for at in kept], mode="lines", hoverinfo="skip",
            line={"color": LINE_STRONG[scheme], "width": 1.5, "shape": "hv"},
        )  # fmt: skip
    halves = [row["latency_spread"] / 2 for row in shown] if axis == "latency" else []
    figure.add_scatter(
        x=[row[axis] for row in shown],
        y=values,
        error_x={"type": "data", "array": halves, "thickness": 1, "width": 3} if halves else None,
        customdata=[row["id"] for row in shown],
        mode="markers+text",
        text=[row["name"] for row in shown],
        # neighbours in height get their names on different sides
        textposition=[("top center", "bottom center")[rank % 2] for rank in _ranks(values)],
        cliponaxis=False,
        textfont={"size": 10},
        marker={
            "size": [13 if row["shown"] else 9 for row in shown],
            "color": BAR[scheme],
            "symbol": ["diamond" if row["parent"] is None else "circle" for row in shown],
        },
        hovertemplate="%{text}<br>%{x:.4~s}, %{y:.4~g}<br>Click to open<extra></extra>",
    )
    figure.update_xaxes(
        title={"text": AXES[axis][1], "font": {"size": 10}}, rangemode="tozero",
        tickformat="" if axis == "latency" else "~s",
    )  # fmt: skip
    figure.update_yaxes(
        title={"text": "accuracy, %" if with_accuracy else "parameters", "font": {"size": 10}},
        rangemode="normal" if with_accuracy else "tozero",
        tickformat="" if with_accuracy else "~s",
    )
    return styled(figure, scheme, 260, 44)


def _ranks(values: list[Any]) -> list[int]:
    """The place of each value, the largest first."""
    order = sorted(range(len(values)), key=lambda at: -values[at])
    return [order.index(at) for at in range(len(values))]
