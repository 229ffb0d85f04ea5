"""How much each group can lose by itself: the sweep's heatmap, filled as its results come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from prunescope.core.errors import PrunescopeError
from prunescope.core.sensitivity import Cut
from prunescope.explorer import ids
from prunescope.explorer.actions import sweep
from prunescope.explorer.panels.figure_style import (
    BOTTOM,
    COLOURS,
    CONFIG,
    TOP,
    colour_bar,
    empty,
    row_axis,
    row_height,
    styled,
)
from prunescope.explorer.panels.words import error_note
from prunescope.explorer.session import Session
from prunescope.explorer.view import job_record


def figures(session: Session) -> list[Component]:
    possible = session.evaluate is not None
    return [
        html.H3("Sensitivity"),
        html.P(
            "Accuracy when a group is cut by itself, without retraining: the darker a row stays, the more it can lose.",
            className="muted",
        ),
        html.Div(
            html.Button(
                "Measure",
                id=ids.SWEEP,
                className="button",
                n_clicks=0,
                disabled=not possible,
                title=None if possible else "Needs an evaluate function: explore(..., evaluate=evaluate)",
            ),
            className="button-row",
        ),
        html.Div(id=ids.SWEEP_MESSAGE, role="alert"),
        dcc.Graph(id=ids.SWEEP_FIGURE, config=CONFIG, figure=empty("light", "")),
    ]


def register(app: Dash, session: Session) -> None:
    @app.callback(Output(ids.SWEEP_FIGURE, "figure"), Input(ids.REVISION, "data"), Input(ids.OVERVIEW_WISH, "data"))
    def show(revision: int, wish: dict[str, Any] | None) -> go.Figure:
        if wish is None:
            return empty("light", "")
        sweep = session.sweep()
        return sweep_figure(sweep.cuts if sweep else (), session.version.accuracy, wish["scheme"])

    @app.callback(
        Output(ids.SWEEP_MESSAGE, "children"),
        Output(ids.JOB_STATE, "data", allow_duplicate=True),
        Input(ids.SWEEP, "n_clicks"),
        State(ids.CRITERION, "value"),
        prevent_initial_call=True,
    )
    def measure(clicks: int, criterion: str) -> Any:
        if not clicks:
            # the button was made, not pressed
            return no_update, no_update
        try:
            job = sweep(session, criterion)
        except PrunescopeError as error:
            return error_note(error), no_update
        return None, job_record(job)


def sweep_figure(cuts: Sequence[Cut], original: float | None, scheme: str) -> go.Figure:
    """Groups by ratios, coloured by accuracy; what is not measured yet stays empty."""
    if not cuts:
        return empty(scheme, "Not measured yet")
    groups = list(dict.fromkeys(cut.group for cut in cuts))
    ratios = sorted({cut.ratio for cut in cuts})
    found = {(cut.group, cut.ratio): cut.accuracy for cut in cuts}
    known = [value for value in (*found.values(), original) if value is not None]
    values = [[found.get((group, ratio)) for ratio in ratios] for group in groups]
    figure = go.Figure()
    figure.add_heatmap(
        z=values,
        x=[f"{100 * ratio:.3g} % cut" for ratio in ratios],
        y=groups,
        colorscale=f"{COLOURS}_r",
        zmin=min(known, default=None),
        zmax=max(known, default=None),
        text=[["" if value is None else f"{value:.1%}" for value in row] for row in values],
        texttemplate="%{text}",
        colorbar={**colour_bar("accuracy"), "tickformat": ".0%"},
        hovertemplate="%{y}<br>%{x}: accuracy %{z:.1%}<extra></extra>",
    )
    figure.update_yaxes(**row_axis(groups))
    return styled(figure, scheme, TOP + row_height(len(groups)) * len(groups) + BOTTOM, BOTTOM)
