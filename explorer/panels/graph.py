"""The graph view: its parts and its wires. What it does in the browser is in `assets/graph.js`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import dash_cytoscape as cyto
import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, dcc, html
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.aria import aria

# store -> function of window.dash_clientside.graph that is given its data
READERS = {ids.PICTURE: "draw", ids.GROUPS: "groups", ids.HEAT: "heat", ids.FOCUS: "focus", ids.CHAIN: "chain"}

# store -> function of window.dash_clientside.marks that is given its data
MARKS = {ids.WIDTHS: "widths"}

# switch of the View menu -> function of window.dash_clientside.marks that hears it, what it says
SWITCHES = {
    ids.COLOURED: ("coloured", "All groups in colour"),
    ids.SHAPED: ("shaped", "Shapes on the edges"),
    ids.PLAIN: ("", "Hide trivial operations"),  # the server draws without them
    ids.MAPPED: ("mapped", "Small map"),
}
ON_AT_FIRST = (ids.MAPPED,)

# stores that other parts of the page read
READ = (ids.LAYERS, ids.KEYS)

# stores that the graph writes
WRITTEN = (ids.SELECTION, ids.TOGGLE, ids.REVEAL, ids.WHY, ids.DRAWN)

# button -> function, what it says, what it does
TOOLS = {
    ids.GRAPH_FIT_WIDTH: ("fitWidth", "Fit width", "Fit the picture to the width of the window"),
    ids.GRAPH_FIT_ALL: ("fitAll", "Fit all", "Show the whole picture"),
    ids.GRAPH_ZOOM_OUT: ("zoomOut", "−", "Zoom out"),
    ids.GRAPH_ZOOM_IN: ("zoomIn", "+", "Zoom in"),
}

# button that the server answers -> what it says, what it does
LEVELS = {
    ids.GRAPH_CLOSE_LEVEL: ("Close level", "Close the modules of the deepest level that is open"),
    ids.GRAPH_OPEN_LEVEL: ("Open level", "Open all modules one level deeper"),
}

LEGEND = {
    "graph-key-in": "input side f−",
    "graph-key-out": "output side f+",
    "graph-key-skip": "skips layers",
    "graph-key-concat": "concatenated",
    "graph-key-lock": "cannot be cut",
}


def layout(sent: Mapping[str, Any] | None = None, off: Collection[str] = ()) -> Component:
    """The stage with the canvas, its tools, and the stores through which the graph talks to the server.

    Args:
        sent: What some of the stores hold from the start, so that the first picture needs no request.
        off: Ids of the buttons that cannot be pressed at the start.
    """
    given = sent or {}
    return html.Div(
        className="graph-stage",
        children=[
            _canvas(),
            html.Div("Drawing the graph …", className="graph-empty"),
            html.Div(
                [
                    *(
                        html.Button(label, id=tool, title=title, disabled=tool in off)
                        for tool, (label, title) in LEVELS.items()
                    ),
                    *(html.Button(label, id=tool, title=title) for tool, (_, label, title) in TOOLS.items()),
                    _view_menu(),
                ],
                className="graph-tools",
                role="toolbar",
                **aria(label="View of the graph"),
            ),
            html.Div([html.Span(text, className=key) for key, text in LEGEND.items()], className="graph-legend"),
            html.Div(id=ids.GRAPH_LIVE, className="visually-hidden", **aria(live="polite")),
            *(dcc.Store(id=store) for store in (*READERS, *MARKS, *WRITTEN, *READ) if store not in given),
            *(dcc.Store(id=store, data=data) for store, data in given.items()),
        ],
    )


def register(app: Dash) -> None:
    """Let the browser answer what the graph can answer by itself."""
    answer: Callable[..., None] = app.clientside_callback
    for store, function in READERS.items():
        answer(ClientsideFunction("graph", function), Input(store, "data"))
    for store, function in MARKS.items():
        answer(ClientsideFunction("marks", function), Input(store, "data"))
    for switch, (function, _) in SWITCHES.items():
        if function:
            answer(ClientsideFunction("marks", function), Input(switch, "checked"))
    for tool, (function, _, _) in TOOLS.items():
        answer(ClientsideFunction("graph", function), Input(tool, "n_clicks"), prevent_initial_call=True)


def _view_menu() -> Component:
    """What else the graph shows, each with a switch."""
    return html.Details(
        [
            html.Summary("View", title="What the graph shows"),
            html.Div(
                [
                    dmc.Switch(id=switch, label=label, checked=switch in ON_AT_FIRST, size="xs")
                    for switch, (_, label) in SWITCHES.items()
                ],
                className="view-menu",
            ),
        ],
        className="view",
    )


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
