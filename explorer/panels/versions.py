"""All versions: the tree below the graph, a table, a plot, and the files to take along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, html, no_update
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.aria import aria
from prunescope.explorer.panels import compare, take_along, tradeoff
from prunescope.explorer.session import Session
from prunescope.explorer.view import quantity, version_rows

HEADINGS = ("Version", "Parameters", "MACs", "Size", "Latency", "Accuracy")
DASH = "–"


def layout(session: Session) -> Component:
    return html.Div(
        [
            html.Div(
                [
                    dmc.TextInput(
                        id=ids.VERSION_NAME,
                        label="Version on screen",
                        value=session.version.name,
                        size="xs",
                        debounce=True,
                    ),
                    dmc.TextInput(
                        id=ids.VERSION_NOTE,
                        label="Note",
                        value=session.version.note,
                        size="xs",
                        debounce=True,
                        placeholder="What you think of it",
                    ),
                ],
                className="choices",
            ),
            html.Div(table(version_rows(session), session), id=ids.VERSION_TABLE),
            tradeoff.layout(),
            compare.layout(session),
            take_along.layout(session),
        ],
        className="panel-body",
    )


def strip(session: Session) -> Component:
    """The tree of versions below the graph."""
    return html.Div(
        strip_buttons(session), id=ids.VERSION_STRIP, className="strip", role="group", **aria(label="Versions")
    )


def strip_buttons(session: Session) -> list[Component]:
    places = tree_places([version.parent for version in session.versions])
    return [_version_button(row, places[row["id"]], places) for row in version_rows(session)]


def tree_places(parents: Sequence[int | None]) -> list[tuple[int, int]]:
    """(column, row) of every version: a first child goes on in its parent's row, each other one begins a row."""
    children: dict[int | None, list[int]] = {}
    for number, parent in enumerate(parents):
        children.setdefault(parent, []).append(number)
    places = [(0, 0)] * len(parents)
    waiting, rows = [(0, 0, 0)], 1
    while waiting:
        number, column, row = waiting.pop()
        places[number] = (column, row)
        for at, child in enumerate(children.get(number, [])):
            waiting.append((child, column + 1, rows if at else row))
            rows += bool(at)
    return places


def register(app: Dash, session: Session) -> None:
    for part in (tradeoff, compare, take_along):
        part.register(app, session)

    app.clientside_callback(ClientsideFunction("versions", "show"), Input(ids.VERSION_STRIP, "children"))

    @app.callback(
        Output(ids.VERSION_TABLE, "children"),
        Output(ids.VERSION_STRIP, "children"),
        Input(ids.REVISION, "data"),
        prevent_initial_call=True,
    )
    def show(revision: int) -> tuple[Component, list[Component]]:
        return table(version_rows(session), session), strip_buttons(session)

    @app.callback(
        Output(ids.VERSION_NAME, "value"),
        Output(ids.VERSION_NOTE, "value"),
        Input(ids.SHOWN, "data"),
        prevent_initial_call=True,
    )
    def named(shown: int) -> tuple[str, str]:
        return session.version.name, session.version.note

    @app.callback(Input(ids.VERSION_NAME, "value"), State(ids.SHOWN, "data"), prevent_initial_call=True)
    def rename(name: str | None, shown: int) -> None:
        if name and name != session.versions[shown].name:
            session.rename(shown, name)

    @app.callback(Input(ids.VERSION_NOTE, "value"), State(ids.SHOWN, "data"), prevent_initial_call=True)
    def annotate(note: str | None, shown: int) -> None:
        if (note or "") != session.versions[shown].note:
            session.annotate(shown, note or "")

    @app.callback(
        Output(ids.SHOWN, "data", allow_duplicate=True),
        Input({"type": ids.VERSION_BUTTON, "index": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def choose(clicks: list[int | None]) -> Any:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update
        return session.show(int(ctx.triggered_id["index"])).id


def table(rows: list[dict[str, Any]], session: Session) -> Component:
    """A line for each version; the one on screen is marked."""
    notes = [
        html.P([html.B(f"{row['name']}: "), row["problem"]], className="note error") for row in rows if row["problem"]
    ]
    if session.evaluate is None:
        why = session.note or "there is no evaluate function"
        notes.append(html.P(f"No accuracy: {why}.", className="muted"))
    notes += [html.P([html.B(f"{row['name']}: "), row["note"]], className="muted") for row in rows if row["note"]]
    verified = [html.P(f"{row['name']}: {row['exact']}", className="muted") for row in rows if row["exact"]]
    shown = len(HEADINGS) - (session.evaluate is None)
    return html.Div(
        [
            html.Table(
                [
                    html.Thead(html.Tr([html.Th(heading) for heading in HEADINGS[:shown]])),
                    html.Tbody(
                        [html.Tr(_cells(row)[:shown], className="shown" if row["shown"] else None) for row in rows]
                    ),
                ],
                className="versions",
            ),
            *notes,
            *verified,
        ]
    )


def _cells(row: dict[str, Any]) -> list[Component]:
    return [
        html.Td(row["name"], className="path"),
        html.Td([quantity(row["parameters"]), html.Br(), _share(row["parameters_share"])]),
        html.Td([quantity(row["macs"]), html.Br(), _share(row["macs_share"])]),
        html.Td(f"{quantity(row['bytes'])}B"),
        html.Td(_latency(row)),
        html.Td(DASH if row["accuracy"] is None else f"{row['accuracy']:.2%}"),
    ]


def _latency(row: dict[str, Any]) -> list[Any] | str:
    if row["latency"] is None:
        return DASH
    half = row["latency_spread"] / 2
    spread = html.Span(f"± {half:.0f} ms" if half >= 10 else f"± {half:.2g} ms", className="muted")
    return [f"{row['latency']:.3g} ms", html.Br(), spread]


def _share(share: float) -> Component:
    return html.Span(f"{share:.0%}", className="muted")


def _version_button(row: dict[str, Any], place: tuple[int, int], places: Sequence[tuple[int, int]]) -> Component:
    accuracy = "" if row["accuracy"] is None else f" · {row['accuracy']:.1%}"
    column, line = place
    up = 0 if row["parent"] is None else line - places[row["parent"]][1]
    return html.Button(
        [html.B(row["name"]), html.Span(f"{row['macs_share']:.0%} of MACs{accuracy}")],
        id={"type": ids.VERSION_BUTTON, "index": row["id"]},
        className="version" + " shown" * row["shown"] + " root" * (row["parent"] is None) + " branch" * bool(up),
        style={"gridColumn": column + 1, "gridRow": line + 1, "--up": up},
        title=": ".join(filter(None, (row["name"], row["note"]))),
        **aria(pressed="true" if row["shown"] else "false"),
    )
