"""What cannot be cut: a table with a row for each reason, in a dialog over the page."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import Dash, Input, Output, html
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.aria import data
from prunescope.explorer.locked import Locked, ReasonRow, what_is_locked
from prunescope.explorer.panels.words import breakable, capital
from prunescope.explorer.session import Session
from prunescope.explorer.view import quantity

TITLE = "What cannot be cut"
HEADINGS = ("Reason", "Layers", "Stay", "Held one way")
COLUMNS_NOTE = (
    "Stay: parameters that no cut removes. Held one way: parameters that the reason holds along one dimension and that "
    "can go along another. A parameter counts in the row of each reason that holds it."
)
SHOWN_LAYERS = 200
_KEEP_ONE = "Of every group one unit or more stays too."


def opener() -> Component:
    """The button that opens the table."""
    return html.Button(
        [html.Span(className="lock-icon"), TITLE], id=ids.LOCKED_OPEN, className="button wide locked-open"
    )


def dialog() -> Component:
    made: Component = dmc.Modal(id=ids.LOCKED_DIALOG, title=TITLE, size=760, opened=False)
    return made


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.LOCKED_DIALOG, "opened"),
        Output(ids.LOCKED_DIALOG, "children"),
        Input(ids.LOCKED_OPEN, "n_clicks"),
        prevent_initial_call=True,
    )
    def show(clicks: int) -> tuple[bool, list[Component]]:
        return True, content(what_is_locked(session.version.graph))


def content(locked: Locked) -> list[Component]:
    """A sentence, then the table."""
    table = [_table(locked), html.P(COLUMNS_NOTE, className="muted")] if locked.rows else []
    return [html.P(sentence(locked), className="lead"), *table]


def sentence(locked: Locked) -> str:
    """How much of the model can be cut, in words."""
    if not locked.parameters:
        return "This model has no parameters."
    if not locked.stays:
        return f"All {quantity(locked.parameters)} parameters are in units that can be cut. {_KEEP_ONE}"
    return (
        f"Of {quantity(locked.parameters)} parameters {quantity(locked.stays)} "
        f"({share(locked.stays, locked.parameters)}) stay whatever is cut; all others are in units that can go. "
        f"{_KEEP_ONE}"
    )


def share(part: int, whole: int) -> str:
    """3, 1000 -> "0.3 %"; what is not nothing is never shown as 0 %, nor what is not all as 100 %."""
    percent = 100 * part / max(whole, 1)
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")


def _table(locked: Locked) -> Component:
    heads = [html.Th(heading, scope="col") for heading in HEADINGS]
    return html.Table(
        [html.Thead(html.Tr(heads)), html.Tbody([_row(locked, row) for row in locked.rows])],
        className="members reasons",
    )


def _row(locked: Locked, row: ReasonRow) -> Component:
    return html.Tr(
        [
            html.Th([html.Div(f"{capital(row.reason)}."), *_places(row)], scope="row", className="path"),
            html.Td(f"{len(row.layers):,}"),
            *(html.Td(_amount(part, locked.parameters)) for part in (row.stays, row.partly)),
        ]
    )


def _amount(part: int, whole: int) -> list[str | Component]:
    return [share(part, whole), html.Div(quantity(part), className="muted")] if part else ["–"]


def _places(row: ReasonRow) -> list[Component]:
    """The layers with a padlock for this reason, each a button that selects it."""
    if not row.layers:
        return []
    what = f"{len(row.layers)} layers" if len(row.layers) > 1 else "layer"
    arises = ", ".join(dict.fromkeys(row.sources[:3])) + (" …" if len(row.sources) > 3 else "")
    rest = len(row.layers) - SHOWN_LAYERS
    buttons = [html.Button(breakable(name), className="chip", **data(layer=name)) for name in row.layers[:SHOWN_LAYERS]]
    return [
        *([html.Div(["Arises in ", *breakable(arises)], className="muted")] if arises else []),
        html.Details(
            [
                html.Summary(f"Show the {what}"),
                html.Div(buttons, className="chips"),
                *([html.P(f"… and {rest} more", className="muted")] if rest > 0 else []),
            ]
        ),
    ]
