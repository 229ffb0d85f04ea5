"""The graph view: its parts and its wires. What it does in the browser is in `assets/graph.js`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dash_cytoscape as cyto
from dash import ClientsideFunction, Dash, Input, dcc, html
from dash.development.base_component import Component

from prunescope.explorer import ids

# store -> function of window.dash_clientside.graph that is given its data
READERS = {ids.PICTURE: "draw", ids.GROUPS: "groups", ids.HEAT: "heat", ids.FOCUS: "focus"}

# button -> function, what it says, what it does
TOOLS = {
    ids.GRAPH_FIT_WIDTH: ("fitWidth", "Fit width", "Fit the picture to the width of the window"),
    ids.GRAPH_FIT_ALL: ("fitAll", "Fit all", "Show the whole picture"),
    ids.GRAPH_ZOOM_OUT: ("zoomOut", "−", "Zoom out"),
    ids.GRAPH_ZOOM_IN: ("zoomIn", "+", "Zoom in"),
}

LEGEND = {
    "graph-key-in": "input side f−",
    "graph-key-out": "output side f+",
    "graph-key-skip": "skips layers",
    "graph-key-concat": "concatenated",
}


def layout() -> Component:
    """The stage with the canvas, its tools, and the stores through which the graph talks to the server."""
    return html.Div(
        className="graph-stage",
        children=[
            _canvas(),
            html.Div("Drawing the graph …", className="graph-empty"),
            html.Div(
                [html.Button(label, id=tool, title=title) for tool, (_, label, title) in TOOLS.items()],
                className="graph-tools",
                role="toolbar",
                **_aria(label="View of the graph"),
            ),
            html.Div([html.Span(text, className=key) for key, text in LEGEND.items()], className="graph-legend"),
            html.Div(id=ids.GRAPH_LIVE, className="visually-hidden", **_aria(live="polite")),
            *(dcc.Store(id=store) for store in (*READERS, ids.SELECTION, ids.TOGGLE)),
        ],
    )


def register(app: Dash) -> None:
    """Let the browser answer what the graph can answer by itself."""
    answer: Callable[..., None] = app.clientside_callback
    for store, function in READERS.items():
        answer(ClientsideFunction("graph", function), Input(store, "data"))
    for tool, (function, _, _) in TOOLS.items():
        answer(ClientsideFunction("graph", function), Input(tool, "n_clicks"), prevent_initial_call=True)


def _canvas() -> Component:
    """Mounted once and empty: elements and styles belong to the script, and no drag may write them back."""
    canvas: Component = cyto.Cytoscape(
        id=ids.GRAPH,
        elements=[],
        layout={"name": "preset", "fit": False},
        stylesheet=[],
        style={"width": "100%", "height": "100%"},
        autoungrabify=True,
        autounselectify=True,
        boxSelectionEnabled=False,
    )
    return canvas


def _aria(**values: str) -> dict[str, Any]:
    return {f"aria-{name}": value for name, value in values.items()}
