"""The list of all groups beside the graph: the way to a group without the mouse on the canvas."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, ctx, html, no_update
from dash.development.base_component import Component

from prunescope.core import Group
from prunescope.explorer import ids
from prunescope.explorer.actions import selected_group
from prunescope.explorer.aria import aria
from prunescope.explorer.panels.importance import focus_of_group
from prunescope.explorer.session import Session


def layout() -> Component:
    return html.Div(
        [
            html.H3("Groups"),
            dmc.TextInput(id=ids.GROUP_FILTER, placeholder="Find a group", size="xs", debounce=150,
                          **aria(label="Find a group")),
            html.Div(id=ids.GROUP_LIST, className="group-list"),
        ],
        className="side-body",
    )  # fmt: skip


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.GROUP_LIST, "children"),
        Input(ids.SHOWN, "data"),
        Input(ids.GROUP_FILTER, "value"),
        Input(ids.SELECTION, "data"),
    )
    def show(shown: int, text: str | None, selection: dict[str, Any] | None) -> list[Component]:
        graph = session.version.graph
        chosen = selected_group(session, selection)
        return listed((*graph.groups, *graph.locked_groups), text or "", chosen)

    @app.callback(
        Output(ids.FOCUS, "data", allow_duplicate=True),
        Input({"type": ids.GROUP_BUTTON, "index": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def pick(clicks: list[int | None]) -> Any:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update
        return focus_of_group(session, str(ctx.triggered_id["index"]))


def listed(groups: tuple[Group, ...], text: str, chosen: Group | None) -> list[Component]:
    """A button for each group whose name or layers contain the text."""
    wanted = text.strip().lower()
    found = [g for g in groups if wanted in g.name.lower() or any(wanted in layer.lower() for layer in g.layers)]
    if not found:
        return [html.Div(f"No group with “{text}” in its name or layers.", className="empty")]
    return [_button(group, chosen is not None and group.index == chosen.index) for group in found]


def _button(group: Group, chosen: bool) -> Component:
    what = f"{group.size} {group.kind}, {len(group.layers)} layers"
    return html.Button(
        [html.B(group.name), html.Span(f"locked, {group.size} {group.kind}" if group.lock else what)],
        id={"type": ids.GROUP_BUTTON, "index": group.name},
        className="group-button chosen" if chosen else "group-button",
        title=f"Cannot be cut: {group.lock.reason}" if group.lock else what,
        **aria(pressed="true" if chosen else "false"),
    )
