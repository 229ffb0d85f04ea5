"""Importance as heatmaps: members by units of the selected group, and all groups on one scale."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from plotly.subplots import make_subplots

from prunescope.core import CRITERIA
from prunescope.explorer import ids
from prunescope.explorer.actions import selected_group
from prunescope.explorer.session import Session
from prunescope.explorer.view import (
    OVERVIEW_BINS,
    Heatmap,
    importance_heatmap,
    overview_heatmap,
)

COLOURS = "Cividis"
ROW_HEIGHT = 20
SMALLEST, LARGEST = 230, 620
INK = {"light": "#1b2130", "dark": "#e8eaf0"}
LINE = {"light": "#e2e5eb", "dark": "#2a2f3a"}
BAR = {"light": "#4650c8", "dark": "#8b95ff"}
CONFIG: Any = {"displaylogo": False, "displayModeBar": False}


def layout(session: Session) -> Component:
    return html.Div(
        [
            html.P(id=ids.IMPORTANCE_NOTE, className="muted"),
            html.H3("Selected group: members by units"),
            html.P(
                "Each row is scaled to its own largest value: a unit may matter in one layer and not in another.",
                className="muted",
            ),
            dcc.Graph(
                id=ids.IMPORTANCE_GROUP,
                config=CONFIG,
                figure=empty("light", "Click a layer to see its group"),
            ),
            html.H3("All groups"),
            html.P(
                "Each row is a group, its units from the most to the least important. Click a row to select it.",
                className="muted",
            ),
            dcc.Graph(id=ids.IMPORTANCE_OVERVIEW, config=CONFIG, figure=empty("light", "")),
        ],
        className="panel-body",
    )


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.IMPORTANCE_GROUP, "figure"),
        Output(ids.IMPORTANCE_NOTE, "children"),
        Input(ids.SELECTION, "data"),
        Input(ids.SHOWN, "data"),
        Input(ids.CRITERION, "value"),
        Input(ids.SCHEME, "data"),
    )
    def show_group(selection: dict[str, Any] | None, shown: int, criterion: str, scheme: str) -> tuple[go.Figure, str]:
        return group_figure(session, selection, criterion, scheme), rated_by(criterion)

    @app.callback(
        Output(ids.IMPORTANCE_OVERVIEW, "figure"),
        Input(ids.SHOWN, "data"),
        Input(ids.CRITERION, "value"),
        Input(ids.SCHEME, "data"),
    )
    def show_overview(shown: int, criterion: str, scheme: str) -> go.Figure:
        return overview_figure(overview_heatmap(session.version.graph, session.scores(criterion)), scheme)

    @app.callback(
        Output(ids.FOCUS, "data", allow_duplicate=True),
        Input(ids.IMPORTANCE_OVERVIEW, "clickData"),
        State(ids.SHOWN, "data"),
        prevent_initial_call=True,
    )
    def pick(click: dict[str, Any] | None, shown: int) -> Any:
        return focus_of_group(session, click["points"][0]["y"]) if click else no_update


def rated_by(criterion: str) -> str:
    """How the units are rated, in one sentence."""
    row = CRITERIA[criterion]
    return f"Rated by {row.label}: {row.sentence[0].lower()}{row.sentence[1:]} Choose another under Cut."


def focus_of_group(session: Session, name: str) -> dict[str, str] | Any:
    """The layer and side to select so that this group is the selection; nothing where no layer shows it."""
    graph = session.version.graph
    group = graph.group(name)
    owners = [member.layer for member in group.members if member.side != "in"] or [group.members[0].layer]
    for layer in graph.layers:
        side = "out" if layer.module in owners and layer.is_module else None
        if side and graph.group_of(layer.name, "out") == group:
            return {"layer": layer.name, "side": "out"}
    for layer in graph.layers:
        for side in ("out", "in"):
            if graph.group_of(layer.name, side) == group:  # type: ignore[arg-type]
                return {"layer": layer.name, "side": side}
    return no_update


def group_figure(session: Session, selection: dict[str, Any] | None, criterion: str, scheme: str) -> go.Figure:
    group = selected_group(session, selection)
    if group is None:
        return empty(scheme, "Click a layer to see its group")
    if group.lock:
        return empty(scheme, "The selected group cannot be cut: its units are not rated")
    graph = session.version.graph
    heat = importance_heatmap(graph, group, session.scores(criterion)[group.name], criterion)
    return members_figure(heat, scheme)


def members_figure(heat: Heatmap, scheme: str) -> go.Figure:
    """The units' scores as a sorted curve over the heatmap of members by units."""
    height = max(SMALLEST, min(LARGEST, 130 + ROW_HEIGHT * len(heat.rows)))
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=[70 / height, 1 - 70 / height]
    )
    units = [f"unit {unit}" for unit in heat.columns]
    figure.add_bar(
        x=units,
        y=heat.totals,
        marker={"color": BAR[scheme], "line": {"width": 0}},
        row=1,
        col=1,
        hovertemplate="%{x}: %{y:.3f} of the group's mean<extra></extra>",
    )
    figure.add_heatmap(
        z=heat.values, x=units, y=heat.rows, colorscale=COLOURS, zmin=0, zmax=1, row=2, col=1,
        colorbar={"thickness": 8, "len": 0.6, "y": 0.3, "tickfont": {"size": 10}},
        hovertemplate="%{y}<br>%{x}: %{z:.2f} of the largest in this member<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(title={"text": "score", "font": {"size": 10}}, row=1, col=1, rangemode="tozero")
    figure.update_yaxes(autorange="reversed", automargin=True, tickfont={"size": 9}, row=2, col=1)
    figure.update_xaxes(showticklabels=False)
    figure.update_xaxes(title={"text": "units, most important first", "font": {"size": 10}}, row=2, col=1)
    return styled(figure, scheme, height)


def overview_figure(heat: Heatmap, scheme: str) -> go.Figure:
    height = max(SMALLEST, min(LARGEST, 70 + 13 * len(heat.rows)))
    figure = go.Figure()
    if not heat.rows:
        return empty(scheme, "No group of this model can be cut")
    share = [f"{(column + 0.5) / OVERVIEW_BINS:.0%}" for column in heat.columns]
    largest = sorted(value for row in heat.values for value in row)
    figure.add_heatmap(
        z=heat.values, x=share, y=heat.rows, colorscale=COLOURS, zmin=0, zmax=largest[int(len(largest) * 0.98)],
        colorbar={"thickness": 8, "title": {"text": "score", "font": {"size": 10}}, "tickfont": {"size": 10}},
        hovertemplate="%{y}<br>rank %{x}: score %{z:.2f}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", automargin=True, tickfont={"size": 9})
    figure.update_xaxes(title={"text": "units, most important first", "font": {"size": 10}}, nticks=5)
    return styled(figure, scheme, height)


def empty(scheme: str, text: str) -> go.Figure:
    """A figure with a sentence in the place of data."""
    figure = go.Figure()
    figure.add_annotation(text=text, showarrow=False, font={"size": 12})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return styled(figure, scheme, 120)


def styled(figure: go.Figure, scheme: str, height: int) -> go.Figure:
    """Transparent, with the ink of the colour scheme, so that the page's own surface shows."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK[scheme], "size": 11},
        showlegend=False,
        bargap=0.05,
    )
    figure.update_xaxes(gridcolor=LINE[scheme], zerolinecolor=LINE[scheme])
    figure.update_yaxes(gridcolor=LINE[scheme], zerolinecolor=LINE[scheme])
    return figure
