"""Importance as heatmaps: members by units of the selected group, and all groups on one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from plotly.subplots import make_subplots

from prunescope.core import CRITERIA, PrunescopeError
from prunescope.explorer import ids
from prunescope.explorer.actions import selected_group
from prunescope.explorer.panels import sensitivity, units
from prunescope.explorer.panels.figure_style import (
    BAR,
    BOTTOM,
    COLOURS,
    CONFIG,
    MARK,
    TOP,
    colour_bar,
    empty,
    row_axis,
    row_height,
    styled,
)
from prunescope.explorer.panels.lazy import fill_when_opened, host
from prunescope.explorer.session import Session
from prunescope.explorer.view import (
    OVERVIEW_BINS,
    Heatmap,
    importance_heatmap,
    overview_heatmap,
)

SCORE_HEIGHT = 80
PICKING: Any = {**CONFIG, "edits": {"shapePosition": True}}


def layout(session: Session) -> Component:
    return html.Div(
        [
            html.P(rated_by(next(iter(CRITERIA))), id=ids.IMPORTANCE_NOTE, className="muted"),
            host(ids.IMPORTANCE_FIGURES),
            *(dcc.Store(id=store) for store in (ids.IMPORTANCE_WISH, ids.OVERVIEW_WISH, ids.UNITS)),
        ],
        className="panel-body",
    )


def figures(session: Session) -> list[Component]:
    return [
        html.H3("Selected group: members by units"),
        html.P(
            "Units stand from the most to the least important of the group; each row is scaled to its own largest "
            "value. A light cell over a dark one is a unit that matters in one layer and not in the other. Drag the "
            "line: what is right of it goes. Click a unit, or drag over several, to cut it; again to keep it.",
            className="muted",
        ),
        html.Div(
            dcc.Graph(id=ids.IMPORTANCE_GROUP, config=PICKING, figure=empty("light", "")),
            className="figure-scroll",
        ),
        units.layout(),
        html.H3("All groups"),
        html.P(
            "Each row is a group, its units from the most to the least important. Click a row to select it.",
            className="muted",
        ),
        dcc.Graph(id=ids.IMPORTANCE_OVERVIEW, config=CONFIG, figure=empty("light", ""), className="pick-row"),
        *sensitivity.figures(session),
    ]


def register(app: Dash, session: Session) -> None:
    fill_when_opened(app, ids.IMPORTANCE_FIGURES, "importance", lambda: figures(session))
    sensitivity.register(app, session)
    units.register(app, session)

    app.clientside_callback(
        ClientsideFunction("importance", "wish"),
        Output(ids.IMPORTANCE_WISH, "data"),
        Output(ids.OVERVIEW_WISH, "data"),
        Input(ids.PANEL_TABS, "value"),
        Input(ids.IMPORTANCE_FIGURES, "children"),
        Input(ids.SELECTION, "data"),
        Input(ids.SHOWN, "data"),
        Input(ids.CRITERION, "value"),
        Input(ids.SCHEME, "data"),
        State(ids.IMPORTANCE_WISH, "data"),
        State(ids.OVERVIEW_WISH, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("importance", "mark"),
        Input(ids.SELECTION, "data"),
        State(ids.GROUPS, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("importance", "pick"),
        Input(ids.IMPORTANCE_OVERVIEW, "clickData"),
        State(ids.GROUPS, "data"),
        prevent_initial_call=True,
    )

    @app.callback(Output(ids.IMPORTANCE_NOTE, "children"), Input(ids.CRITERION, "value"), prevent_initial_call=True)
    def note(criterion: str) -> str:
        return rated_by(criterion)

    @app.callback(Output(ids.IMPORTANCE_GROUP, "figure"), Input(ids.IMPORTANCE_WISH, "data"))
    def show_group(wish: dict[str, Any] | None) -> go.Figure:
        if wish is None:
            return empty("light", "")
        return group_figure(session, wish, wish["criterion"], wish["scheme"])

    @app.callback(
        Output(ids.IMPORTANCE_OVERVIEW, "figure"),
        Input(ids.OVERVIEW_WISH, "data"),
        State(ids.SELECTION, "data"),
    )
    def show_overview(wish: dict[str, Any] | None, selection: dict[str, Any] | None) -> go.Figure:
        if wish is None:
            return empty("light", "")
        chosen = selected_group(session, selection)
        try:
            heat = overview_heatmap(session.version.graph, session.scores(wish["criterion"]))
        except PrunescopeError:
            return empty(wish["scheme"], "Units cannot be rated so: Cut says why")
        return overview_figure(heat, wish["scheme"], chosen.name if chosen else "")


def rated_by(criterion: str) -> str:
    """How the units are rated, in one sentence."""
    row = CRITERIA[criterion]
    return f"Rated by {row.label}: {row.sentence[0].lower()}{row.sentence[1:]} Choose another under Cut."


def group_figure(session: Session, selection: dict[str, Any] | None, criterion: str, scheme: str) -> go.Figure:
    group = selected_group(session, selection)
    if group is None:
        return empty(scheme, "Click a layer to see its group")
    if group.lock:
        return empty(scheme, f"{group.name} cannot be cut: its units are not rated")
    graph = session.version.graph
    heat = importance_heatmap(
        graph, group, session.scores(criterion)[group.name], criterion, session.evidence(criterion)
    )
    return members_figure(heat, scheme)


def members_figure(heat: Heatmap, scheme: str) -> go.Figure:
    """The units' scores as a sorted curve over the heatmap of members by units."""
    rows = row_height(len(heat.rows)) * len(heat.rows)
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=8 / (SCORE_HEIGHT + rows),
        row_heights=[SCORE_HEIGHT, rows],
    )  # fmt: skip
    names = [f"unit {unit}" for unit in heat.columns]
    places = list(range(len(names)))
    figure.add_bar(
        x=places,
        y=np.asarray(heat.totals, dtype=np.float32),
        customdata=heat.columns,
        marker={"color": [BAR[scheme]] * len(names), "line": {"width": 0}},
        unselected={"marker": {"opacity": 1}},
        row=1,
        col=1,
        hovertemplate="unit %{customdata}: %{y:.3f} × the group's mean<extra></extra>",
    )
    # whole per cents in one byte each: a large group has 100,000 cells
    figure.add_heatmap(
        z=np.rint(np.asarray(heat.values) * 100).astype(np.uint8), x=places, y=heat.rows, colorscale=COLOURS,
        zmin=0, zmax=100, row=2, col=1, colorbar=colour_bar("importance, % of the row's largest"),
        hovertemplate="%{y}<br>place %{x}: %{z} % of the largest in this member<extra></extra>",
    )  # fmt: skip
    # signs on what is picked: colour is never alone
    figure.add_scatter(
        x=[], y=[], mode="markers", marker={"size": 6, "color": "white"}, hoverinfo="skip",
        row=1, col=1,
    )  # fmt: skip
    figure.add_shape(
        type="line", xref="x2", yref="paper", x0=len(names) - 0.5, x1=len(names) - 0.5, y0=0, y1=1,
        line={"color": MARK[scheme], "width": 3},
    )  # fmt: skip
    figure.update_yaxes(title={"text": "score", "font": {"size": 10}}, nticks=3, row=1, col=1, rangemode="tozero")
    figure.update_yaxes(**row_axis(heat.rows), row=2, col=1)
    figure.update_xaxes(showticklabels=False, showgrid=False, range=[-0.5, len(names) - 0.5])
    figure.add_annotation(
        text=f"{len(names)} units, most important first", showarrow=False, font={"size": 10},
        xref="paper", x=0.5, yref="paper", y=0, yanchor="top", yshift=-4,
    )  # fmt: skip
    styled(figure, scheme, TOP + SCORE_HEIGHT + rows + BOTTOM, BOTTOM)
    figure.update_layout(
        dragmode="select", selectdirection="h", meta={"colours": {"free": BAR[scheme], **units.COLOURS[scheme]}}
    )
    return figure


def overview_figure(heat: Heatmap, scheme: str, chosen: str = "") -> go.Figure:
    """All groups on one scale; the row of the chosen one is framed, by a shape that `assets/importance.js` moves."""
    if not heat.rows:
        return empty(scheme, "No group of this model can be cut")
    figure = go.Figure()
    share = [f"{(column + 0.5) / OVERVIEW_BINS:.0%}" for column in heat.columns]
    ranked = sorted(value for row in heat.values for value in row)
    figure.add_heatmap(
        z=np.asarray(heat.values, dtype=np.float32), x=share, y=heat.rows, colorscale=COLOURS,
        zmin=ranked[int(len(ranked) * 0.02)], zmax=ranked[int(len(ranked) * 0.98)],
        colorbar=colour_bar("score, × the group's mean"),
        hovertemplate="%{y}<br>rank %{x}: score %{z:.2f}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(**row_axis(heat.rows))
    figure.update_xaxes(title={"text": "units, most important first", "font": {"size": 10}}, nticks=5)
    row = heat.rows.index(chosen) if chosen in heat.rows else -1
    figure.add_shape(
        type="rect", xref="paper", x0=0, x1=1, y0=row - 0.5, y1=row + 0.5, visible=row >= 0,
        line={"color": MARK[scheme], "width": 2.5},
    )  # fmt: skip
    rows = row_height(len(heat.rows)) * len(heat.rows)
    return styled(figure, scheme, TOP + rows + BOTTOM + 12, BOTTOM + 12)
