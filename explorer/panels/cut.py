"""Decide a cut, see what would be left while the slider moves, apply it."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from prunescope.core import CRITERIA
from prunescope.core.errors import PrunescopeError
from prunescope.explorer import ids
from prunescope.explorer.actions import apply, message, tune
from prunescope.explorer.aria import aria
from prunescope.explorer.jobs import JobState
from prunescope.explorer.session import Session, Version
from prunescope.explorer.view import criteria_options, job_record, ledger_record, quantity

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
            html.Div("Share of each group's units that goes", className="field-label"),
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
            html.Div(id=ids.APPLY_NOTE, className="muted"),
            html.Div(job_note(session.last_job), id=ids.JOB, role="status"),
            html.Div(id=ids.MESSAGE, role="alert"),
            html.Div(result_note(session), id=ids.RESULT, **aria(live="polite")),
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
    )
    app.clientside_callback(
        ClientsideFunction("cut", "buttons"),
        Output(ids.APPLY, "disabled"),
        Output(ids.APPLY_NOTE, "children"),
        Output(ids.CANCEL, "hidden"),
        Input(ids.RATIO, "value"),
        Input(ids.SCOPE, "value"),
        Input(ids.SELECTION, "data"),
        Input(ids.GROUPS, "data"),
        Input(ids.JOB_STATE, "data"),
    )

    @app.callback(Output(ids.RESULT, "children"), Input(ids.REVISION, "data"), prevent_initial_call=True)
    def result(revision: int) -> Component | None:
        return result_note(session)

    @app.callback(Output(ids.LEDGER, "data"), Input(ids.SHOWN, "data"), Input(ids.CRITERION, "value"))
    def account(shown: int, criterion: str) -> dict[str, Any]:
        return ledger_record(session.version.graph, session.scores(criterion))

    @app.callback(
        Output(ids.MESSAGE, "children"),
        Output(ids.JOB_STATE, "data", allow_duplicate=True),
        Input(ids.APPLY, "n_clicks"),
        State(ids.CRITERION, "value"),
        State(ids.RATIO, "value"),
        State(ids.SCOPE, "value"),
        State(ids.SELECTION, "data"),
        prevent_initial_call=True,
    )
    def cut(clicks: int, criterion: str, percent: float, scope: str, selection: dict[str, Any] | None) -> Any:
        try:
            job = apply(session, criterion, percent, "group" if scope == "group" else "all", selection)
        except PrunescopeError as error:
            return error_note(error), no_update
        return None, job_record(job)

    @app.callback(
        Output(ids.MESSAGE, "children", allow_duplicate=True),
        Output(ids.JOB_STATE, "data", allow_duplicate=True),
        Input(ids.TUNE, "n_clicks"),
        prevent_initial_call=True,
    )
    def fine_tune(clicks: int) -> Any:
        try:
            job = tune(session)
        except PrunescopeError as error:
            return error_note(error), no_update
        return None, job_record(job)

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


def result_note(session: Session) -> Component | None:
    """What the version on screen became of the one that it was made from; nothing for the original."""
    after = session.version
    if after.parent is None:
        return None
    before = session.versions[after.parent]
    rows = (
        ("Parameters", quantity(before.parameters), quantity(after.parameters)),
        ("MACs", quantity(before.macs), quantity(after.macs)),
        ("Latency", _latency(before), _latency(after)),
        *((("Accuracy", _accuracy(before), _accuracy(after)),) if session.evaluate else ()),
    )
    return html.Div(
        [
            html.Div([html.B(after.name), html.Span(f" beside {before.name}", className="muted")]),
            html.Dl([part for name, was, now in rows for part in (html.Dt(name), html.Dd([f"{was} → ", html.B(now)]))]),
            html.Div(verified(after), className="muted"),
            *([html.Div(after.problem, className="note error")] if after.problem else []),
        ],
        className="result",
    )


def _latency(version: Version) -> str:
    return f"{version.latency.median_ms:.3g} ms" if version.latency else "not measured yet"


def _accuracy(version: Version) -> str:
    if version.accuracy is not None:
        return f"{version.accuracy:.1%}"
    return "failed" if version.problem else "not measured yet"


def verified(version: Version) -> str:
    return f"Verified: {version.pruned}" if version.pruned else "Fine-tuned: same structure, new weights"


def job_pill(job: JobState | None) -> Component | None:
    """A running job in the head line, or one that failed."""
    if job is None or job.status in ("done", "cancelled"):
        return None
    if job.status == "failed":
        return html.Span(f"Failed: {job.title}", className="pill failed")
    share = f"{100 * job.done / job.of:.0f} %" if job.of else "…"
    return html.Span(
        [html.Span(className="spinner"), html.Span(job.title, className="pill-title"), share], className="pill"
    )


def job_note(job: JobState | None) -> Component | None:
    """How far the job is, or what became of it; nothing for one that ended well."""
    if job is None or job.status == "done":
        return None
    if job.status == "failed":
        return html.Div([html.B(f"{job.title}: failed"), html.Pre(job.error)], className="note error", role="alert")
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
