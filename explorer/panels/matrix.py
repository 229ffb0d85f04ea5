"""The paper's dependency matrix D and grouping matrix G; a click on a cell shows its two layers in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from prunescope.core.matrices import NONE, Matrices, matrices
from prunescope.explorer import ids
from prunescope.explorer.panels.figure_style import BAR, CONFIG, LINE, LINE_STRONG, empty, styled
from prunescope.explorer.panels.lazy import fill_when_opened, host
from prunescope.explorer.session import Session

ZOOMING: Any = {**CONFIG, "scrollZoom": True}
MOST_SIDES = 1600  # that a browser draws and moves at once
FEW_SIDES = 46  # whose names are written out
HUES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#997700", "#44aa99", "#882255", "#999933")
SIZE = 440  # pixels


def layout(session: Session) -> Component:
    return html.Div([host(ids.MATRIX_HOST), dcc.Store(id=ids.MATRIX_WISH)], className="panel-body")


def figures() -> list[Component]:
    return [
        html.H3("Dependency matrix D"),
        html.P(
            "Rows and columns are the input (f⁻) and output (f⁺) sides of the layers, in the order of the run. A cell "
            "is filled where data flows between two layers, or where one scheme cuts both sides of a layer. Click a "
            "cell to see its layers in the graph; drag and scroll to zoom.",
            className="muted",
        ),
        dcc.Graph(id=ids.MATRIX_D, config=ZOOMING, figure=empty("light", "")),
        html.H3("Grouping matrix G"),
        html.P(
            "What is reached through D: a filled cell is a pair of sides whose units go together, one colour a group.",
            className="muted",
        ),
        dcc.Graph(id=ids.MATRIX_G, config=ZOOMING, figure=empty("light", "")),
    ]


def register(app: Dash, session: Session) -> None:
    fill_when_opened(app, ids.MATRIX_HOST, "matrix", figures)

    app.clientside_callback(
        ClientsideFunction("matrix", "wish"),
        Output(ids.MATRIX_WISH, "data"),
        Input(ids.PANEL_TABS, "value"),
        Input(ids.MATRIX_HOST, "children"),
        Input(ids.SHOWN, "data"),
        Input(ids.SCHEME, "data"),
        State(ids.MATRIX_WISH, "data"),
        prevent_initial_call=True,
    )
    for figure in (ids.MATRIX_D, ids.MATRIX_G):
        app.clientside_callback(
            ClientsideFunction("matrix", "pick"), Input(figure, "clickData"), prevent_initial_call=True
        )

    @app.callback(
        Output(ids.MATRIX_D, "figure"),
        Output(ids.MATRIX_G, "figure"),
        Input(ids.MATRIX_WISH, "data"),
        prevent_initial_call=True,
    )
    def show(wish: dict[str, Any] | None) -> tuple[go.Figure, go.Figure]:
        if wish is None:
            return empty("light", ""), empty("light", "")
        found = matrices(session.version.graph)
        count = len(found.sides)
        if not 0 < count <= MOST_SIDES:
            text = f"{count} sides are too many to draw" if count else "No layer has units that go together"
            return empty(wish["scheme"], text), empty(wish["scheme"], text)
        return dependency_figure(found, wish["scheme"]), grouping_figure(found, session, wish["scheme"])


def side_names(found: Matrices) -> list[str]:
    return [f"{layer} {'f⁻' if side == 'in' else 'f⁺'}" for layer, side in found.sides]


def dependency_figure(found: Matrices, scheme: str) -> go.Figure:
    scale = [[0, LINE[scheme]], [1, BAR[scheme]]]
    return _figure(found, found.dependency.astype(np.uint8), scale, "%{y}<br>%{x}<extra></extra>", scheme)


def grouping_figure(found: Matrices, session: Session, scheme: str) -> go.Figure:
    groups = (*session.version.graph.groups, *session.version.graph.locked_groups)
    values = np.where(found.grouping == NONE, 0, found.grouping % len(HUES) + 1).astype(np.uint8)
    steps = [LINE[scheme], *HUES]
    scale = [[at / len(steps), colour] for n, colour in enumerate(steps) for at in (n, n + 1)]
    figure = _figure(found, values, scale, "%{y}<br>%{x}<br>%{text}<extra></extra>", scheme, top=len(HUES) + 1)
    names = np.array(["", *(f"group {group.index}: {group.name}" for group in groups)])
    figure.data[0].text = names[found.grouping + 1] if len(found.sides) <= MOST_SIDES // 4 else None
    return figure


def _figure(
    found: Matrices, values: np.ndarray[Any, Any], scale: Any, hover: str, scheme: str, top: int = 2
) -> go.Figure:
    names = side_names(found)
    figure = go.Figure()
    figure.add_heatmap(
        z=values, x=names, y=names, colorscale=scale, zmin=0, zmax=top if top > 2 else 1, showscale=False,
        hovertemplate=hover, xgap=0.4 if len(names) < 120 else 0, ygap=0.4 if len(names) < 120 else 0,
    )  # fmt: skip
    styled(figure, scheme, SIZE)
    written = len(names) <= FEW_SIDES
    figure.update_xaxes(showticklabels=False, fixedrange=False, showgrid=False)
    figure.update_yaxes(
        autorange="reversed", showticklabels=written, tickfont={"size": 8}, fixedrange=False, showgrid=False,
        linecolor=LINE_STRONG[scheme],
    )  # fmt: skip
    figure.update_layout(dragmode="zoom")
    return figure
