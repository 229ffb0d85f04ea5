"""Figures come into a panel when it is opened for the first time: Plotly's script is large, the graph comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import Dash, Input, Output, State, html, no_update
from dash.development.base_component import Component

from prunescope.explorer import ids


def host(place: str) -> Component:
    """Where the figures go."""
    return html.Div(html.Div("Preparing the figures …", className="empty"), id=place)


def fill_when_opened(app: Dash, place: str, tab: str, content: Callable[[], list[Component]]) -> None:
    """Put `content()` into a host once the panel of this tab is opened."""

    @app.callback(
        Output(place, "children"),
        Input(ids.PANEL_TABS, "value"),
        State(place, "children"),
        prevent_initial_call=True,
    )
    def fill(opened: str, children: Any) -> Any:
        return content() if opened == tab and not isinstance(children, list) else no_update
