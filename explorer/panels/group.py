"""The group of the selected layer: one sentence, its members, its units and what one of them costs."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, html
from dash.development.base_component import Component

from prunescope.core import Group
from prunescope.core.cost import ledger
from prunescope.core.graph import Side
from prunescope.explorer import ids
from prunescope.explorer.actions import selected_group
from prunescope.explorer.session import Session
from prunescope.explorer.view import MemberRow, group_sentence, member_rows, quantity

HEADINGS = ("Layer", "Parameter", "Dim", "Size", "Per unit", "Side")
SHOWN_MEMBERS = 400


def layout(session: Session) -> Component:
    return html.Div(id=ids.GROUP_PANEL, className="panel-body")


def register(app: Dash, session: Session) -> None:
    @app.callback(Output(ids.GROUP_PANEL, "children"), Input(ids.SELECTION, "data"), Input(ids.SHOWN, "data"))
    def show(selection: dict[str, Any] | None, shown: int) -> list[Component]:
        return content(session, selection)


def content(session: Session, selection: dict[str, Any] | None) -> list[Component]:
    """What the panel shows for a selection."""
    group = selected_group(session, selection)
    if selection and selection.get("layer") and group is None:
        return [
            html.Div(
                f"{selection['layer']} has no units on this side: nothing is coupled with it.",
                className="empty",
            )
        ]
    if group is None or selection is None:
        return [_invitation(session)]
    side: Side = "in" if selection.get("side") == "in" else "out"
    graph = session.version.graph
    parts: list[Component] = [
        html.H2(group.name, className="panel-title"),
        html.P(group_sentence(graph, group, selection["layer"], side), className="lead"),
    ]
    others = [other for other in graph.groups_of(selection["layer"], side) if other.index != group.index]
    if others:
        names = ", ".join(other.name for other in others[:4]) + (" …" if len(others) > 4 else "")
        parts.append(html.P(f"This side also holds units of {len(others)} other groups: {names}", className="muted"))
    parts.append(_lock(group) if group.lock else _facts(session, group))
    return [*parts, _members(member_rows(group))]


def _invitation(session: Session) -> Component:
    graph = session.version.graph
    return html.Div(
        [
            html.H2("Click a layer", className="panel-title"),
            html.P(
                f"{len(graph.layers)} layers form {len(graph.groups)} groups of units that can only be cut together. "
                "Click a layer to see its group; click it again for its input side; double-click a module to open it.",
                className="lead",
            ),
            *(html.P(note, className="muted") for note in graph.notes),
        ]
    )


def _facts(session: Session, group: Group) -> Component:
    cost = ledger(session.version.graph).unit_costs(group)
    facts = (
        (f"{group.size}", f"units ({group.kind})"),
        (f"{len(group.layers)}", "layers"),
        (f"{cost.parameters:,}", "parameters a unit"),
        (quantity(cost.macs), "MACs a unit"),
    )
    return html.Div([html.Div([html.B(value), html.Span(what)]) for value, what in facts], className="facts")


def _lock(group: Group) -> Component:
    lock = group.lock
    assert lock is not None
    where = f"{lock.layer}, {lock.source}" if lock.source else lock.layer
    return html.Div(
        [
            html.B("Cannot be cut: "),
            html.Span(f"{lock.reason}."),
            html.Div(f"Fixed by {where}", className="muted"),
        ],
        className="lock-note",
        id="lock-note",
    )


def _members(rows: tuple[MemberRow, ...]) -> Component:
    shown = rows[:SHOWN_MEMBERS]
    table = html.Table(
        [
            html.Thead(html.Tr([html.Th(heading) for heading in HEADINGS])),
            html.Tbody([_member(row) for row in shown]),
        ],
        className="members",
    )
    if len(shown) == len(rows):
        return table
    return html.Div([table, html.P(f"… and {len(rows) - len(shown)} more members", className="muted")])


def _member(row: MemberRow) -> Component:
    kind = {"f⁻": "side-in", "f⁺": "side-out"}.get(row.side, "side-both")
    return html.Tr(
        [
            html.Td(row.layer, className="path"),
            html.Td(row.parameter, className="muted" if row.kind == "statistic" else None),
            html.Td(row.dim),
            html.Td(row.size),
            html.Td(row.indices),
            html.Td(html.Span(row.side, className=f"side {kind}")),
        ]
    )
