"""Units picked by hand: what would go, and a closer look at the group: how its members differ, and its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from torch import Tensor

from prunescope.core import DependencyGraph, Group, Member
from prunescope.core.errors import PrunescopeError
from prunescope.core.importance import member_importance
from prunescope.core.plan import predicted
from prunescope.explorer import ids
from prunescope.explorer.actions import apply_picked, by_hand, picked, selected_group
from prunescope.explorer.aria import aria
from prunescope.explorer.panels.figure_style import (
    BAR,
    BOTTOM,
    CONFIG,
    MARK,
    colour_bar,
    empty,
    mosaic,
    row_axis,
    styled,
)
from prunescope.explorer.panels.words import error_note
from prunescope.explorer.session import Session
from prunescope.explorer.view import job_record, quantity

COLOURS = {"light": {"cut": MARK["light"], "keep": "#0f7b6c"}, "dark": {"cut": MARK["dark"], "keep": "#2fb8ab"}}
SHOWN_MEMBERS = 40
SHOWN_UNITS = 64  # whose weights are shown as pictures
ACROSS = 8
TILE_WIDTH = 50  # about, pixels on the screen
LABEL_ROOM = 0.3  # of a picture's height, above it
LARGEST_PICTURE = 64  # of a unit's weights, pixels a side


def layout() -> Component:
    return html.Div(
        [
            dcc.Store(id=ids.UNITS_STROKE),
            html.Div(id=ids.UNITS_NOTE, **aria(live="polite")),
            html.Div(
                [
                    html.Button(
                        "Cut these units", id=ids.UNITS_CUT, className="button primary", n_clicks=0, disabled=True
                    ),
                    html.Button("Forget the picks", id=ids.UNITS_CLEAR, className="button", n_clicks=0, disabled=True),
                ],
                className="button-row",
            ),
            html.Div(id=ids.UNITS_MESSAGE, role="alert"),
            html.Details(
                [
                    html.Summary("How the members differ"),
                    html.P("Importance of the units in each member, by the member's mean.", className="muted"),
                    dcc.Graph(id=ids.UNITS_DISTRIBUTION, config=CONFIG, figure=empty("light", "")),
                ]
            ),
            html.Details(
                [
                    html.Summary("Weights of the units as pictures"),
                    html.P(
                        "The weights of each unit in the layer that makes it, the most important unit first. Red is "
                        "negative, blue positive.",
                        className="muted",
                    ),
                    dcc.Graph(id=ids.UNITS_WEIGHTS, config=CONFIG, figure=empty("light", "")),
                ]
            ),
        ],
        className="units",
    )


def register(app: Dash, session: Session) -> None:
    app.clientside_callback(
        ClientsideFunction("units", "pick"),
        Output(ids.UNITS, "data"),
        Input(ids.UNITS_STROKE, "data"),
        Input(ids.IMPORTANCE_GROUP, "relayoutData"),
        Input(ids.UNITS_CLEAR, "n_clicks"),
        State(ids.SHOWN, "data"),
        State(ids.SELECTION, "data"),
        State(ids.GROUPS, "data"),
        State(ids.UNITS, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("units", "paint"),
        Input(ids.UNITS, "data"),
        Input(ids.IMPORTANCE_GROUP, "figure", allow_optional=True),
        State(ids.SELECTION, "data"),
        State(ids.GROUPS, "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(ids.UNITS_NOTE, "children"),
        Output(ids.UNITS_CUT, "disabled"),
        Output(ids.UNITS_CLEAR, "disabled"),
        Input(ids.UNITS, "data"),
        prevent_initial_call=True,
    )
    def tell(record: dict[str, Any] | None) -> tuple[Component | None, bool, bool]:
        return note(session, record)

    @app.callback(
        Output(ids.UNITS_MESSAGE, "children"),
        Output(ids.JOB_STATE, "data", allow_duplicate=True),
        Input(ids.UNITS_CUT, "n_clicks"),
        State(ids.UNITS, "data"),
        prevent_initial_call=True,
    )
    def cut(clicks: int | None, record: dict[str, Any] | None) -> Any:
        if not clicks:  # the button has just come
            return no_update, no_update
        try:
            job = apply_picked(session, picked(session, record))
        except PrunescopeError as error:
            return error_note(error), no_update
        return None, job_record(job)

    @app.callback(
        Output(ids.UNITS_DISTRIBUTION, "figure"),
        Output(ids.UNITS_WEIGHTS, "figure"),
        Input(ids.IMPORTANCE_WISH, "data"),
        prevent_initial_call=True,
    )
    def closer(wish: dict[str, Any] | None) -> tuple[go.Figure, go.Figure]:
        group = selected_group(session, wish)
        scheme = wish["scheme"] if wish else "light"
        if wish is None or group is None or group.lock:
            nothing = empty(scheme, "Click a layer whose group can be cut")
            return nothing, nothing
        graph = session.version.graph
        try:
            order = session.scores(wish["criterion"])[group.name].argsort(descending=True, stable=True)
            importance = member_importance(graph, group, wish["criterion"], session.evidence(wish["criterion"]))
        except PrunescopeError:
            nothing = empty(scheme, "Units cannot be rated so: Cut says why")
            return nothing, nothing
        return distribution_figure(group, importance, scheme), weights_figure(graph, group, order.tolist(), scheme)


def note(session: Session, record: dict[str, Any] | None) -> tuple[Component | None, bool, bool]:
    """What is picked and what a cut of it leaves, whether there is nothing to cut, and nothing to forget."""
    picks = picked(session, record)
    kept = sum(map(len, picks.keep.values()))
    stay = f" {kept} stay whatever is cut." if kept else ""
    if not picks.cut:
        return (html.P(f"No unit is picked to go.{stay}", className="muted") if kept else None), True, not kept
    graph = session.version.graph
    try:
        made = by_hand(session, picks)
    except PrunescopeError as error:
        return error_note(error), True, False
    before, after = session.version, predicted(graph, made)
    groups = [f"{len(r.units)} of {graph.group(r.group).size} in {r.group}" for r in made.removals]
    return (
        html.P(
            [
                html.B(f"Picked to go: {', '.join(groups)}."),
                f"{stay} Parameters {quantity(before.parameters)} → {quantity(after.parameters)}, MACs "
                f"{quantity(before.macs)} → {quantity(after.macs)}.",
            ]
        ),
        False,
        False,
    )


def distribution_figure(group: Group, importance: Tensor, scheme: str) -> go.Figure:
    """A box for each member: how far its units are apart.

    Args:
        importance: (members, K).
    """
    rows = [n for n, member in enumerate(group.members) if not member.is_buffer][:SHOWN_MEMBERS]
    shown = importance[rows]
    values = (shown / shown.mean(1, keepdim=True).clamp_min(1e-30)).numpy()
    low, first, middle, third, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1), axis=1).tolist()
    names = [f"{group.members[n].parameter} [{group.members[n].dim}]" for n in rows]
    figure = go.Figure()
    figure.add_box(
        y=names, q1=first, median=middle, q3=third, lowerfence=low, upperfence=high, orientation="h",
        marker={"color": BAR[scheme]}, line={"width": 1.2},
    )  # fmt: skip
    figure.update_yaxes(**row_axis(names))
    figure.update_xaxes(title={"text": "× the member's mean; whiskers to the extremes", "font": {"size": 10}})
    styled(figure, scheme, 30 + 24 * len(names) + BOTTOM, BOTTOM + 8)
    figure.update_layout(boxgap=0.35)
    return figure


def weights_figure(graph: DependencyGraph, group: Group, order: list[int], scheme: str) -> go.Figure:
    """The weights of the units in the layer that makes them, as small pictures."""
    member = _maker(graph, group)
    if member is None:
        return empty(scheme, "No weight of two dimensions or more makes these units")
    shown = order[:SHOWN_UNITS]
    tiles = [_picture(graph, member, unit) for unit in shown]
    height, width = tiles[0].shape
    gap = max(1, round(LABEL_ROOM * height))
    values = mosaic([tile.numpy() for tile in tiles], ACROSS, gap)
    extent = float(np.nanmax(np.abs(values))) or 1.0
    figure = go.Figure()
    figure.add_heatmap(
        z=values, colorscale="RdBu", zmin=-extent, zmax=extent, hoverinfo="skip", colorbar=colour_bar(member.parameter)
    )
    for at, unit in enumerate(shown):
        figure.add_annotation(
            x=at % ACROSS * (width + gap) - 0.5, y=at // ACROSS * (height + gap) - 0.5, text=str(unit), showarrow=False,
            xanchor="left", yanchor="bottom", font={"size": 9},
        )  # fmt: skip
    figure.update_yaxes(range=[values.shape[0] - 0.5, -0.5 - gap], visible=False)
    figure.update_xaxes(visible=False)
    rows = -(-len(shown) // ACROSS)
    return styled(figure, scheme, 60 + rows * max(34, min(70, int(TILE_WIDTH * (height + gap) / width))))


def _maker(graph: DependencyGraph, group: Group) -> Member | None:
    """The member in whose first dimension the units stand: a layer's weights by output."""
    tensors = graph.record.parameters
    made = [m for m in group.members if not m.is_buffer and m.side == "out" and tensors[m.parameter].tensor.dim() > 1]
    return next(iter(made), None)


def _picture(graph: DependencyGraph, member: Member, unit: int) -> Tensor:
    """(H, W) float32: a filter over one or three channels as an image, anything else as rows by all that follows."""
    index = torch.as_tensor(np.asarray(member.indices[unit]), dtype=torch.long)
    weight = graph.record.parameters[member.parameter].tensor.detach().float().cpu()
    part = weight.index_select(member.dim, index).movedim(member.dim, 0)[0]
    if part.dim() >= 2 and part.shape[0] <= 4:
        part = part.mean(0).flatten(1) if part.dim() > 2 else part
    flat = part.reshape(part.shape[0], -1) if part.dim() > 1 else _squarish(part)
    return flat[:LARGEST_PICTURE, :LARGEST_PICTURE]


def _squarish(row: Tensor) -> Tensor:
    """(n,) as rows of about its square root; what does not fill the last one is left out of the picture's shape."""
    across = max(d for d in range(1, int(row.numel() ** 0.5) + 1) if row.numel() % d == 0)
    return row.reshape(across, -1)
