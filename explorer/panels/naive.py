"""'Cut only this layer': what breaks, in torch's own words; beside it the cut of the whole group, which works."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, html
from dash.development.base_component import Component

from prunescope.core import DependencyGraph, Group, plan_units, prune
from prunescope.core.errors import PrunescopeError
from prunescope.core.naive import NaiveCut, cut_alone
from prunescope.explorer import ids
from prunescope.explorer.actions import selected_group
from prunescope.explorer.aria import aria
from prunescope.explorer.panels.words import breakable
from prunescope.explorer.session import Session

LABEL = "Cut only this layer"


def layout() -> Component:
    return html.Div(
        [
            html.Button(LABEL, id=ids.NAIVE, className="button", n_clicks=0, title="On a copy: nothing is changed"),
            html.Span(" and see what happens without the layers that go with it.", className="muted"),
            html.Div(id=ids.NAIVE_ANSWER, **aria(live="polite")),
        ],
        id=ids.NAIVE_PART,
        className="naive",
        hidden=True,
    )


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.NAIVE_ANSWER, "children"),
        Input(ids.NAIVE, "n_clicks"),
        State(ids.SELECTION, "data"),
        running=[
            (Output(ids.NAIVE, "disabled"), True, False),
            (Output(ids.NAIVE, "children"), "Cutting a copy …", LABEL),
        ],
        prevent_initial_call=True,
    )
    def show(clicks: int, selection: dict[str, Any] | None) -> list[Component]:
        group = selected_group(session, selection)
        if not selection or group is None or group.lock:
            return []
        return content(session, group, str(selection["layer"]))

    @app.callback(
        Output(ids.NAIVE_PART, "hidden"),
        Output(ids.NAIVE_ANSWER, "children", allow_duplicate=True),
        Input(ids.SELECTION, "data"),
        Input(ids.SHOWN, "data"),
        prevent_initial_call=True,
    )
    def offer(selection: dict[str, Any] | None, shown: int) -> tuple[bool, list[Component]]:
        group = selected_group(session, selection)
        return group is None or group.lock is not None or group.size < 2, []


def layer_to_cut(graph: DependencyGraph, group: Group, selected: str) -> str:
    """The module whose weights are cut: the selected layer's if it has some in the group, else the first that has."""
    chosen = graph.layer(selected).module
    return chosen if chosen in group.layers else group.layers[0]


def content(session: Session, group: Group, selected: str) -> list[Component]:
    """Both cuts of the same units, side by side."""
    graph = session.version.graph
    layer = layer_to_cut(graph, group, selected)
    units = session.scores()[group.name].argsort(stable=True)[: max(group.size // 2, 1)].tolist()
    naive = cut_alone(graph, group, layer, units)
    what = f"{len(units)} of {group.size} {group.kind}, the least important"
    return [
        html.P(f"The same {what}, cut both ways on a copy:", className="muted"),
        html.Div([_naive_card(naive), _coupled_card(graph, group, units)], className="both-ways"),
    ]


def _naive_card(naive: NaiveCut) -> Component:
    shapes = [f"{each.parameter} {_shape(each.before)} → {_shape(each.after)}" for each in naive.sliced]
    return html.Div(
        [
            html.B(["Only ", *breakable(naive.layer or "the model's own weights")]),
            html.Ul([html.Li(breakable(shape)) for shape in shapes]),
            *_verdict(naive),
        ],
        className="card fine" if naive.runs else "card broken",
    )


def _verdict(naive: NaiveCut) -> list[Component]:
    if naive.alone:
        return [html.P("It runs: no other layer is coupled with this one.")]
    if naive.runs:
        return [html.P("It runs, but the layers that go with it still have the old number of units.")]
    where = ", ".join(filter(None, (naive.module, naive.source)))
    return [html.Pre(naive.error), html.P(["Breaks in ", *breakable(where)], className="muted")]


def _coupled_card(graph: DependencyGraph, group: Group, units: list[int]) -> Component:
    count = len(group.layers)
    title = html.B(f"All {count} layers of the group" if count > 1 else "The whole group")
    try:
        made = prune(graph.model, plan_units(graph, {group.name: units}))
    except PrunescopeError as error:
        return html.Div([title, html.P(error.found)], className="card broken")
    return html.Div(
        [title, html.Ul([html.Li(breakable(path)) for path in group.layers[:6]]), html.P(f"Works: {made}.")],
        className="card fine",
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
