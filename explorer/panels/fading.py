"""What sparse training does to each group, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import dash_mantine_components as dmc
import plotly.graph_objects as go
from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.jobs import Point, Pull
from prunescope.explorer.panels.figure_style import (
    BOTTOM,
    COLOURS,
    CONFIG,
    TOP,
    colour_bar,
    empty,
    row_axis,
    row_height,
    styled,
)
from prunescope.explorer.session import Session


@dataclass(frozen=True)
class Drawn:
    """One of the quantities that can be shown."""

    label: str  # on the page
    form: str  # of a value, for d3
    note: str


DRAWN: Mapping[str, Drawn] = MappingProxyType(
    {
        "faded": Drawn("Faded units", ".0%", "Share of a group’s units under a hundredth of its largest."),
        "norm": Drawn("Norm", ".0%", "Sum of a group’s squared weights, of what it was in the first epoch."),
        "gamma": Drawn("Pull", ".2f", "Mean of gamma over a group’s units: how strongly they are pulled to zero."),
    }
)


def layout() -> Component:
    return html.Div(
        [
            html.H4("Groups, epoch by epoch"),
            dmc.SegmentedControl(
                id=ids.FADING_QUANTITY,
                value="faded",
                data=[{"value": name, "label": drawn.label} for name, drawn in DRAWN.items()],
                fullWidth=True,
                size="xs",
            ),
            html.P(id=ids.FADING_NOTE, className="muted"),
            # the figure comes when there is something to show: Plotly's script is not asked for at the start
            html.Div(id=ids.FADING_PLACE),
        ],
        id=ids.FADING,
        className="fading",
        hidden=True,
    )


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.FADING, "hidden"),
        Output(ids.FADING_NOTE, "children"),
        Output(ids.FADING_PLACE, "children"),
        Input(ids.JOB_STATE, "data"),
        Input(ids.FADING_QUANTITY, "value"),
        Input(ids.SCHEME, "data"),
        prevent_initial_call=True,
    )
    def show(job: Any, quantity: str, scheme: str | None) -> tuple[bool, str, Component | None]:
        points = last_pulls(session)
        if not points:
            return True, "", None
        figure = fading_figure(points, quantity, scheme or "light")
        drawn = dcc.Graph(
            id=ids.FADING_FIGURE,
            config=CONFIG,
            figure=figure,
            responsive=True,
            style={"height": f"{figure.layout.height}px"},
        )
        return False, DRAWN[quantity].note, drawn


def last_pulls(session: Session) -> tuple[Point, ...]:
    """The points of the last sparse training that has any."""
    found = (tuple(point for point in job.curve if point.groups) for job in reversed(session.jobs.states))
    return next(filter(None, found), ())


def fading_figure(points: Sequence[Point], quantity: str, scheme: str) -> go.Figure:
    """Groups by epochs."""
    if not points:
        return empty(scheme, "No sparse training yet")
    groups = [pull.group for pull in points[0].groups]
    first = {pull.group: pull.norm or 1.0 for pull in points[0].groups}

    def value(pull: Pull) -> float:
        return pull.norm / first[pull.group] if quantity == "norm" else float(getattr(pull, quantity))

    form = DRAWN[quantity].form
    figure = go.Figure()
    figure.add_heatmap(
        z=list(zip(*([value(pull) for pull in point.groups] for point in points), strict=True)),
        x=[point.epoch for point in points],
        y=groups,
        colorscale=COLOURS,
        zmin=0,
        zmax=None if quantity == "gamma" else 1,
        colorbar={**colour_bar(""), "tickformat": form},
        hovertemplate=f"%{{y}}<br>epoch %{{x}}: %{{z:{form}}}<extra></extra>",
    )
    figure.update_yaxes(**row_axis(groups))
    figure.update_xaxes(title={"text": "epoch", "font": {"size": 10}}, tickformat="d", nticks=10)
    return styled(figure, scheme, TOP + row_height(len(groups)) * len(groups) + BOTTOM, BOTTOM)
