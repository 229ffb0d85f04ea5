"""Why two layers go together: the choice of the second one, and the chain that ties them, in words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, html
from dash.development.base_component import Component

from prunescope.core.graph import DependencyGraph
from prunescope.explorer import ids
from prunescope.explorer.actions import asked_tie
from prunescope.explorer.aria import aria, data
from prunescope.explorer.chains import Step, Tie
from prunescope.explorer.locked import padlocks
from prunescope.explorer.panels.words import breakable
from prunescope.explorer.session import Session
from prunescope.explorer.view import shown_layer

LABEL = "Why does it go with …"
HINT = "Choose a second layer, or Shift-click it"
MOST_OPTIONS = 60  # that are listed at once; typing finds the others


def layout() -> Component:
    return html.Div(
        [
            dmc.Select(
                id=ids.WHY_SECOND,
                label=LABEL,
                placeholder=HINT,
                nothingFoundMessage="No layer of this name",
                searchable=True,
                clearable=True,
                limit=MOST_OPTIONS,
                size="xs",
            ),
            html.Div(id=ids.WHY_ANSWER, **aria(live="polite")),
        ],
        id=ids.WHY_PART,
        className="why",
        hidden=True,
    )


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.CHAIN, "data"),
        Output(ids.WHY_ANSWER, "children"),
        Input(ids.WHY, "data"),
        prevent_initial_call=True,
    )
    def answer(wish: dict[str, Any] | None) -> tuple[dict[str, Any] | None, list[Component]]:
        found = asked_tie(session, wish)
        return (asdict(found), content(found, padlocks(session.version.graph))) if found else (None, [])

    app.clientside_callback(
        ClientsideFunction("why", "options"),
        Output(ids.WHY_SECOND, "data"),
        Input(ids.GROUPS, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("why", "hidden"),
        Output(ids.WHY_PART, "hidden"),
        Input(ids.SELECTION, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(ClientsideFunction("why", "ask"), Input(ids.WHY_SECOND, "value"), prevent_initial_call=True)


def content(found: Tie, locked: Collection[str] = ()) -> list[Component]:
    """What ties the two layers, in words; `locked`: names of layers of which something cannot be cut."""
    return [
        html.P(breakable(sentence(found, locked)), className="why-sentence"),
        *([html.Ol([_step(step) for step in found.steps], className="why-steps")] if found.steps else []),
        html.Button("Leave the chain", className="button", title="Escape", **data(leave="true")),
    ]


def sentence(found: Tie, locked: Collection[str] = ()) -> str:
    """The answer in one sentence."""
    first, second = found.first, found.second
    if not found.tied:
        apart = f"Nothing ties {first} and {second}: no unit of the one has to go with a unit of the other."
        # what is locked is told beside it
        return apart if first in locked or second in locked else f"{apart} They can be cut apart from each other."
    if not found.steps:
        return f"The same units run through {first} and {second}: what goes in the one goes in the other."
    count = len(found.steps)
    what = "one operation ties them" if count == 1 else f"{count} operations tie them, one after the other"
    return f"Units of {first} go with units of {second}: {what}."


def _step(step: Step) -> Component:
    return html.Li(
        [
            _place(step.layer),
            html.Div([html.Code(step.operation), f" {step.words}."]),
            *([html.Code(step.source, className="muted")] if step.source else []),
        ]
    )


def _place(layer: str) -> Component:
    """A button that brings the layer into view, and leaves the selection as it is."""
    if not layer:
        return html.B("Between weights, outside any layer")
    return html.Button(breakable(layer), className="link strong", title="Show it in the graph", **data(reveal=layer))


def asks(graph: DependencyGraph, layer: str, selected: str) -> list[Component]:
    """A button that asks why a member's layer goes with the selected one, where the graph shows two layers."""
    shown = shown_layer(graph, layer)
    if shown is None or shown == selected:
        return []
    label = f"Why does {layer} go with the selected layer?"
    return [html.Button("why?", className="link ask", title=label, **data(second=shown), **aria(label=label))]
