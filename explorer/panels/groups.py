"""The list of all groups beside the graph: the way to a group without the mouse on the canvas.

The list is made in the browser of the groups that the graph has: see `assets/groups.js`.
"""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, html
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.aria import aria
from prunescope.explorer.panels import locked


def layout() -> Component:
    return html.Div(
        [
            html.H3("Groups"),
            locked.opener(),
            dmc.TextInput(id=ids.GROUP_FILTER, placeholder="Find a group or layer", size="xs",
                          **aria(label="Find a group or layer")),
            html.Div(id=ids.GROUP_LIST, className="group-list"),
        ],
        className="side-body",
    )  # fmt: skip


def register(app: Dash) -> None:
    app.clientside_callback(
        ClientsideFunction("groups", "list"),
        Input(ids.GROUPS, "data"),
        Input(ids.GROUP_FILTER, "value"),
    )
    app.clientside_callback(ClientsideFunction("groups", "mark"), Input(ids.SELECTION, "data"))
