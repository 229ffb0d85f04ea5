"""The dialog of keys; `assets/keys.js` does what they do."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, html
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.keys import KEYS

MOUSE = (
    ("Click", "Select a layer; again for its other side"),
    ("Shift-click", "Why this layer goes with the selected one"),
    ("Double-click", "Open or close a module"),
    ("Wheel, drag", "Move; with Ctrl the wheel zooms"),
)


def dialog() -> Component:
    rows = [*((key.shown or key.press, key.text) for key in KEYS), *MOUSE]
    table = html.Dl([html.Div([html.Dt(html.Kbd(key)), html.Dd(text)]) for key, text in rows], className="keys")
    made: Component = dmc.Modal(
        [table, html.Button("Show the first steps again", id=ids.TOUR_AGAIN, className="button")],
        id=ids.HELP_DIALOG,
        title="Keys and mouse",
        size="lg",
        centered=True,
    )
    return made


def register(app: Dash) -> None:
    app.clientside_callback(ClientsideFunction("keys", "learn"), Input(ids.KEYS, "data"))
    app.clientside_callback(
        ClientsideFunction("keys", "again"),
        Output(ids.HELP_DIALOG, "opened", allow_duplicate=True),
        Input(ids.TOUR_AGAIN, "n_clicks"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("keys", "help"),
        Output(ids.HELP_DIALOG, "opened"),
        Input(ids.HELP, "n_clicks"),
        prevent_initial_call=True,
    )
