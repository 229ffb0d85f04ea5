"""A page with nothing but the graph view; opening a module is answered as in the app."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html
from werkzeug.serving import make_server

from prunescope.explorer import ids
from prunescope.explorer.layout import Outline
from prunescope.explorer.panels import graph
from prunescope.explorer.picture import picture_record
from tests.explorer.graphs import Graph

Groups = dict[str, Any]


def create(drawn: Graph, groups: Groups, opened: Collection[str]) -> Dash:
    """An app that draws the graph with these modules opened at the start."""
    outline = Outline(*drawn)
    app = Dash("graph_page", assets_folder=str(files("prunescope.assets")))
    graph.register(app)
    view = graph.layout()
    app.layout = dmc.MantineProvider(
        html.Div(
            [view, dcc.Store(id="opened", data=sorted(opened)), html.Div(id="selected")],
            style={"height": "100vh"},
        )
    )

    @app.callback(Output(ids.PICTURE, "data"), Input("opened", "data"))
    def draw(modules: list[str]) -> dict[str, Any]:
        return picture_record(outline.arrange(modules))

    @app.callback(Output(ids.GROUPS, "data"), Input(ids.GRAPH, "id"))
    def send_groups(_: str) -> Groups:
        return groups

    @app.callback(
        Output("opened", "data"),
        Input(ids.TOGGLE, "data"),
        State("opened", "data"),
        prevent_initial_call=True,
    )
    def toggle(wish: dict[str, Any], modules: list[str]) -> list[str]:
        return sorted(set(modules) ^ {wish["module"]})

    @app.callback(Output("selected", "children"), Input(ids.SELECTION, "data"), prevent_initial_call=True)
    def select(selection: dict[str, Any]) -> str:
        return f"{selection['layer']} {selection['side']}"

    return app


@contextmanager
def served(app: Dash) -> Iterator[str]:
    """The address of the app while it is served from a thread."""
    server = make_server("127.0.0.1", 0, app.server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
