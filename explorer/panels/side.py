"""Beside the graph: the search, the list of groups, and the layers as a tree that mirrors the graph.

All of it is made in the browser of what the graph has: see `assets/groups.js`, `assets/tree.js`, `assets/search.js`.
"""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, html
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.aria import aria
from prunescope.explorer.panels import locked

HINT = "Search layers"
HOW = (
    "Words that must all fit: part of a name or kind; a family (conv, linear, norm, activation, pool); locked, free; "
    "group:3 or group:name; and channels, parameters or macs with >, <, >=, <= or =, as in channels>256 macs>1M. "
    "Enter goes to the next layer found."
)


def layout() -> Component:
    return html.Div(
        [
            dmc.TextInput(id=ids.SEARCH, placeholder=HINT, size="xs", **aria(label="Search layers and groups"),
                          **aria(description=HOW)),
            html.Div(id=ids.SEARCH_STATE, className="search-state", title=HOW, **aria(live="polite")),
            dmc.SegmentedControl(
                id=ids.SIDE_VIEW,
                value="groups",
                data=[{"value": "groups", "label": "Groups"}, {"value": "layers", "label": "Layers"}],
                fullWidth=True,
                size="xs",
            ),
            html.Div(
                [locked.opener(), html.Div(id=ids.GROUP_LIST, className="group-list")], className="side-groups"
            ),
            html.Div(
                id=ids.LAYER_TREE, className="layer-tree", role="tree", hidden=True, **aria(label="Layers by module")
            ),
        ],
        className="side-body",
    )  # fmt: skip


def register(app: Dash) -> None:
    # first: the lists show what the search has found
    app.clientside_callback(
        ClientsideFunction("search", "run"),
        Input(ids.SEARCH, "value"),
        Input(ids.LAYERS, "data"),
        Input(ids.GROUPS, "data"),
    )
    app.clientside_callback(ClientsideFunction("tree", "view"), Input(ids.SIDE_VIEW, "value"))
