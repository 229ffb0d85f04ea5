"""The group of the selected layer: one sentence, its members, its units and what one of them costs."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, html
from dash.development.base_component import Component

from prunescope.core import Group
from prunescope.core.cost import ledger
from prunescope.core.graph import DependencyGraph, Lock, Side
from prunescope.explorer import ids
from prunescope.explorer.actions import selected_group
from prunescope.explorer.locked import Padlock, padlocks
from prunescope.explorer.panels import naive, why
from prunescope.explorer.panels.words import breakable, capital
from prunescope.explorer.session import Session
from prunescope.explorer.view import (
    LayerRow,
    group_layers,
    group_notes,
    group_sentence,
    layer_rows,
    member_rows,
    quantity,
    shown_layer,
)

HEADINGS = ("Layer and parameters", "Dim", "Size", "Per unit", "Side")
SHOWN_ROWS = 300
SIDE_CLASSES = {"f\u207b": "side-in", "f\u207a": "side-out"}


def layout(session: Session) -> Component:
    head, rest = content(session, None)
    return html.Div(
        [html.Div(head, id=ids.GROUP_HEAD), why.layout(), html.Div(rest, id=ids.GROUP_REST), naive.layout()],
        id=ids.GROUP_PANEL,
        className="panel-body",
    )


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.GROUP_HEAD, "children"),
        Output(ids.GROUP_REST, "children"),
        Input(ids.SELECTION, "data"),
        Input(ids.SHOWN, "data"),
        prevent_initial_call=True,
    )
    def show(selection: dict[str, Any] | None, shown: int) -> tuple[list[Component], list[Component]]:
        return content(session, selection)


def content(session: Session, selection: dict[str, Any] | None) -> tuple[list[Component], list[Component]]:
    """What the panel shows for a selection: what it is and why it cannot be cut, then what it is made of."""
    if not selection or not selection.get("layer"):
        return [_invitation(session)], []
    graph, layer = session.version.graph, str(selection["layer"])
    side: Side = "in" if selection.get("side") == "in" else "out"
    group = selected_group(session, selection)
    notes = _padlock_notes(graph, layer, group)
    if group is None:
        return [*_no_group(graph, layer, side), *notes], []
    head = [
        html.H2([*_lock_icon(group), *breakable(group.name or "(model)")], className="panel-title"),
        html.P(breakable(group_sentence(graph, group, layer, side)), className="lead"),
        *notes,
    ]
    rest = [
        *_sides(graph, group, layer, side),
        *([] if group.lock else [_facts(session, group)]),
        *(html.P(breakable(note), className="muted") for note in group_notes(group)),
        _members(graph, group, layer),
    ]
    return head, rest


def _invitation(session: Session) -> Component:
    graph = session.version.graph
    count = len(graph.locked_groups)
    locked = f" {count} more {'is' if count == 1 else 'are'} locked." if count else ""
    groups = f"{len(graph.groups)} group{'' if len(graph.groups) == 1 else 's'}"
    others = [group.kind for group in graph.groups if group.option]
    kinds = " or ".join(sorted(set(others)))
    ways = f", {len(others)} of them another way to cut the same layers ({kinds})" if others else ""
    how = (
        f"{len(graph.layers)} layers form {groups} of units that can only be cut together{ways}."
        f"{locked} "
        "Click a layer to see its group; click it again for its input side; double-click a module to open it."
    )
    none = f"No unit of these {len(graph.layers)} layers can be cut. Click a layer to see why."
    return html.Div(
        [
            html.H2("Click a layer", className="panel-title"),
            html.P(how if graph.groups else none, className="lead"),
            *(html.P(note, className="muted") for note in graph.notes),
        ]
    )


def _no_group(graph: DependencyGraph, layer: str, side: Side) -> list[Component]:
    if all(each.name != layer for each in graph.layers):
        return [html.H2(breakable(layer), className="panel-title"), html.P("This version has no such layer.")]
    where = "output" if side == "out" else "input"
    return [
        html.H2(breakable(layer), className="panel-title"),
        html.P(f"Its {where} side has no units that go together with those of other layers.", className="lead"),
    ]


def _sides(graph: DependencyGraph, group: Group, layer: str, side: Side) -> list[Component]:
    """A button for each other group of the same side, and for the group of the other side."""
    here = [other for other in graph.groups_of(layer, side) if other.index != group.index]
    opposite: Side = "in" if side == "out" else "out"
    known = {group.index, *(other.index for other in here)}
    there = [other for other in graph.groups_of(layer, opposite) if other.index not in known]
    words = {"in": "Input side f\u207b", "out": "Output side f\u207a"}
    alone = not graph.groups_of(layer, opposite) and layer not in padlocks(graph)
    nothing = f"Its {'input' if opposite == 'in' else 'output'} side has no units that can be cut."
    return [html.P(nothing, className="muted")] * alone + [
        part
        for title, others, at in (
            (f"This side also holds {_counted(here)}", here, side),
            (f"{words[opposite]} of {layer}", there, opposite),
        )
        if others
        for part in (
            html.Div(breakable(title), className="field-label"),
            html.Div([_group_button(other, layer, at) for other in others], className="chips"),
        )
    ]


def _counted(groups: list[Group]) -> str:
    return f"{len(groups)} other group{'s' if len(groups) != 1 else ''}"


def _group_button(group: Group, layer: str, side: str) -> Component:
    return html.Button(
        [*_lock_icon(group), *breakable(group.name), html.Span(f" {group.size}", className="muted")],
        className="chip",
        title=f"{group.size} {group.kind}" + (f", locked: {group.lock.reason}" if group.lock else ""),
        **_way_to(layer, side, group),
    )


def _facts(session: Session, group: Group) -> Component:
    graph = session.version.graph
    cost, layers = ledger(graph).unit_costs(group), len(group_layers(graph, group))
    facts = (
        (f"{group.size:,}", group.kind),
        (f"{layers}", "layers" if layers != 1 else "layer"),
        (quantity(cost.parameters), "parameters a unit"),
        (quantity(cost.macs), "MACs a unit"),
    )
    return html.Div([html.Div([html.B(value), html.Span(what)]) for value, what in facts], className="facts")


def _lock_icon(group: Group) -> list[Component]:
    return [html.Span(className="lock-icon")] if group.lock else []


def _padlock_notes(graph: DependencyGraph, layer: str, group: Group | None) -> list[Component]:
    """Why the group cannot be cut, then what else of the layer cannot."""
    locks = padlocks(graph).get(layer, ())
    shown = [_of_group(group.lock)] if group and group.lock else []
    told = {lock.origin for lock in shown}
    return [_lock_note(graph, lock) for lock in (*shown, *(lock for lock in locks if lock.origin not in told))]


def _of_group(lock: Lock) -> Padlock:
    weight = f"{lock.parameter}, dimension {lock.dim}"
    return Padlock("group", lock.units, lock.units, lock.reason, lock.layer, lock.source, (weight,))


def _lock_note(graph: DependencyGraph, lock: Padlock) -> Component:
    """What cannot be cut and why, with the layer and the line where the reason arises."""
    weights = [html.Div(html.Code(breakable(weight))) for weight in lock.weights]
    return html.Div(
        [
            html.Div([html.Span(className="lock-icon"), html.B(capital(lock.text))]),
            html.P(f"{capital(lock.reason)}."),
            html.Dl(
                [
                    *([html.Dt("Arises in"), html.Dd(_layer(graph, lock.layer, "out"))] if lock.layer else []),
                    *([html.Dt("Source"), html.Dd(html.Code(lock.source))] if lock.source else []),
                    *([html.Dt("Weight" if len(weights) == 1 else "Weights"), html.Dd(weights)] if weights else []),
                ]
            ),
        ],
        className="lock-note",
    )


def _layer(graph: DependencyGraph, name: str, side: str, group: Group | None = None) -> Component:
    """A button that goes to a layer, where the graph shows one for this name."""
    shown = shown_layer(graph, name)
    if shown is None:
        return html.Span(breakable(name))
    return html.Button(breakable(name), className="link", title="Show it in the graph", **_way_to(shown, side, group))


def _way_to(layer: str, side: str, group: Group | None) -> dict[str, Any]:
    """What `assets/group.js` reads off a button that selects."""
    return {"data-layer": layer, "data-side": side} | ({"data-group": str(group.index)} if group else {})


def _members(graph: DependencyGraph, group: Group, selected: str) -> Component:
    rows = layer_rows(member_rows(group))
    table = html.Table(
        [
            html.Thead(html.Tr([html.Th(heading) for heading in HEADINGS])),
            html.Tbody([_row(graph, group, row, selected) for row in rows[:SHOWN_ROWS]]),
        ],
        className="members",
    )
    rest = len(rows) - SHOWN_ROWS
    return html.Div([table, html.P(f"… and {rest} more", className="muted")]) if rest > 0 else table


def _row(graph: DependencyGraph, group: Group, row: LayerRow, selected: str) -> Component:
    side = SIDE_CLASSES.get(row.side, "side-both")
    names = ", ".join((*row.weights, *row.statistics))
    return html.Tr(
        [
            html.Td(
                [
                    _layer(graph, row.layer, "in" if side == "side-in" else "out", group),
                    *why.asks(graph, row.layer, selected),
                    html.Div(breakable(names), className="muted"),
                ],
                className="path",
            ),
            html.Td(row.dim),
            html.Td(f"{row.size:,}"),
            html.Td(row.indices),
            html.Td(html.Span(row.side, className=f"side {side}")),
        ]
    )
