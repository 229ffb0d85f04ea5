"""Decide a cut, see what would be left while the slider moves, apply it."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from prunescope.core import CRITERIA
from prunescope.core.errors import PrunescopeError
from prunescope.explorer import ids
from prunescope.explorer.actions import apply, message, tune
from prunescope.explorer.aria import aria
from prunescope.explorer.jobs import JobState
from prunescope.explorer.session import Session
from prunescope.explorer.view import criteria_options, ledger_record

LARGEST_PERCENT = 95
START_PERCENT = 50


def layout(session: Session) -> Component:
    return html.Div(
        [
            html.P("Cut the least important units. Nothing is changed before you press Apply.", className="lead"),
            dmc.Select(
                id=ids.CRITERION,
                label="Rate units by",
                data=criteria_options(),
                value=next(iter(CRITERIA)),
                allowDeselect=False,
                size="xs",
                className="criterion",
            ),
            dmc.SegmentedControl(
                id=ids.SCOPE,
                value="all",
                data=[{"value": "group", "label": "Selected group"}, {"value": "all", "label": "All groups"}],
                fullWidth=True,
                size="xs",
            ),
            html.Label("Share of each group's units that goes", htmlFor=ids.RATIO, className="field-label"),
            dmc.Slider(
                id=ids.RATIO,
                min=0,
                max=LARGEST_PERCENT,
                step=1,
                value=START_PERCENT,
                updatemode="drag",
                marks=[{"value": value, "label": f"{value} %"} for value in (0, 25, 50, 75)],
                labelAlwaysOn=False,
                className="ratio",
                **aria(label="Share of units that goes, per cent"),
            ),
            html.Div(id=ids.PREVIEW, className="preview", **aria(live="polite")),
            html.Div(
                [
                    html.Button("Apply", id=ids.APPLY, className="button primary", n_clicks=0),
                    html.Button(
                        "Fine-tune",
                        id=ids.TUNE,
                        className="button",
                        n_clicks=0,
                        disabled=session.train is None,
                        title="Train the version on screen for a few epochs, as a new version"
                        if session.train
                        else "Needs a train function: explore(..., train=train)",
                    ),
                    html.Button("Cancel", id=ids.CANCEL, className="button", n_clicks=0, hidden=True),
                ],
                className="button-row",
            ),
            html.Div(id=ids.JOB, role="status"),
            html.Div(id=ids.MESSAGE, role="alert"),
            dcc.Store(id=ids.LEDGER),
        ],
        className="panel-body",
    )


def register(app: Dash, session: Session) -> None:
    app.clientside_callback(
        ClientsideFunction("cut", "preview"),
        Output(ids.PREVIEW, "children"),
        Input(ids.RATIO, "value"),
        Input(ids.SCOPE, "value"),
        Input(ids.SELECTION, "data"),
        Input(ids.LEDGER, "data"),
        State(ids.GROUPS, "data"),
    )

    @app.callback(Output(ids.LEDGER, "data"), Input(ids.SHOWN, "data"), Input(ids.CRITERION, "value"))
    def account(shown: int, criterion: str) -> dict[str, Any]:
        return ledger_record(session.version.graph, session.scores(criterion))

    @app.callback(
        Output(ids.MESSAGE, "children"),
        Input(ids.APPLY, "n_clicks"),
        State(ids.CRITERION, "value"),
        State(ids.RATIO, "value"),
        State(ids.SCOPE, "value"),
        State(ids.SELECTION, "data"),
        prevent_initial_call=True,
    )
    def cut(clicks: int, criterion: str, percent: float, scope: str, selection: dict[str, Any] | None) -> Any:
        try:
            apply(session, criterion, percent, "group" if scope == "group" else "all", selection)
        except PrunescopeError as error:
            return error_note(error)
        return None

    @app.callback(
        Output(ids.MESSAGE, "children", allow_duplicate=True),
        Input(ids.TUNE, "n_clicks"),
        prevent_initial_call=True,
    )
    def fine_tune(clicks: int) -> Any:
        try:
            tune(session)
        except PrunescopeError as error:
            return error_note(error)
        return None

    @app.callback(Output(ids.CANCEL, "n_clicks"), Input(ids.CANCEL, "n_clicks"), prevent_initial_call=True)
    def cancel(clicks: int) -> int:
        session.jobs.cancel()
        return clicks


def error_note(error: PrunescopeError) -> Component:
    """An error in its four parts."""
    parts = message(error)
    return html.Div(
        [
            html.B(parts["found"]),
            html.Dl(
                [
                    html.Dt("Asked"),
                    html.Dd(parts["asked"]),
                    html.Dt("Where"),
                    html.Dd(parts["where"]),
                    html.Dt("What to do"),
                    html.Dd(parts["what_to_do"]),
                ]
            ),
        ],
        className="note error",
    )


def job_note(job: JobState | None) -> Component | None:
    """How far the job is, or what became of it; nothing for one that ended well."""
    if job is None or job.status == "done":
        return None
    if job.status == "failed":
        return html.Div([html.B(f"{job.title}: failed"), html.Pre(job.error)], className="note error")
    if job.status == "cancelled":
        return html.Div(f"{job.title}: cancelled", className="note")
    share = 100 * job.done / job.of if job.of else 100
    step = f"{job.step} ({job.done} of {job.of})" if job.of else f"{job.step} …"
    return html.Div(
        [
            html.B(job.title),
            html.Span(step if job.status == "running" else "waiting …", className="muted"),
            dmc.Progress(value=share, size="sm", animated=not job.of, striped=not job.of),
        ],
        className="note job",
    )
