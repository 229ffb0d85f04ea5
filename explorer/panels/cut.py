"""Decide a cut, see what would be left while the slider moves, apply it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from prunescope.core import CRITERIA
from prunescope.core.errors import PrunescopeError
from prunescope.core.latency import LatencyModel
from prunescope.explorer import ids
from prunescope.explorer.account import ledger_record
from prunescope.explorer.actions import (
    AIMS,
    Ranked,
    Wish,
    apply,
    picked,
    predict_latency,
    swept,
    tied_cut,
)
from prunescope.explorer.aria import aria
from prunescope.explorer.jobs import JobState
from prunescope.explorer.panels import fading, training
from prunescope.explorer.panels.curves import curves
from prunescope.explorer.panels.words import error_note
from prunescope.explorer.session import Session
from prunescope.explorer.version import Version
from prunescope.explorer.view import criteria_options, exact, job_record, latency_text, quantity

LARGEST_PERCENT = 95
START_PERCENT = 50
NOT_YET = "not measured yet"
RANKED_OPTIONS = (
    {"value": "local", "label": "in each group"},
    {"value": "global", "label": "across all groups"},
    {"value": "isomorphic", "label": "across alike groups"},
)
AIM_OPTIONS = tuple(
    {"value": aim, "label": f"{name} that go" if aim == "ratio" else f"{name} left"} for aim, name in AIMS.items()
)
ROUND_OPTIONS = (
    {"value": "1", "label": "any number"},
    *({"value": n, "label": f"multiples of {n}"} for n in ("4", "8", "16")),
)


def layout(session: Session) -> Component:
    return html.Div(
        [
            html.P("Cut the least important units. Nothing is changed before you press Apply.", className="lead"),
            dmc.SegmentedControl(
                id=ids.SCOPE,
                value="all",
                data=[{"value": "group", "label": "Selected group"}, {"value": "all", "label": "All groups"}],
                fullWidth=True,
                size="xs",
            ),
            html.Div(
                [
                    _choice(ids.CRITERION, "Rate units by", criteria_options(session), next(iter(CRITERIA))),
                    _choice(ids.RANKED, "Rank units", ranked_options(session), "local"),
                    _choice(ids.AIM, "Aim at a share of", AIM_OPTIONS, "ratio"),
                    _choice(ids.ROUND_TO, "Round sizes to", ROUND_OPTIONS, "1"),
                ],
                className="choices",
            ),
            html.Div(id=ids.RATING_MESSAGE, role="alert"),
            html.Div(id=ids.RATIO_LABEL, className="field-label"),
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
                **aria(label="Share, per cent"),
            ),
            html.Div(id=ids.PREVIEW, className="preview", **aria(live="polite")),
            html.Button(
                "Predict latency too",
                id=ids.PREDICT,
                className="link ask",
                n_clicks=0,
                title="Times a few cuts beside this version; then the preview says the latency while the slider moves",
            ),
            html.Div(
                [
                    html.Button("Apply", id=ids.APPLY, className="button primary", n_clicks=0),
                    training.tune_button(session),
                    html.Button("Cancel", id=ids.CANCEL, className="button", n_clicks=0, hidden=True),
                ],
                className="button-row",
            ),
            html.Div(id=ids.APPLY_NOTE, className="muted"),
            training.layout(session),
            html.Div(job_note(session.last_job), id=ids.JOB, role="status"),
            fading.layout(),
            html.Div(id=ids.MESSAGE, role="alert"),
            html.Div(result_note(session), id=ids.RESULT, **aria(live="polite")),
            dcc.Store(id=ids.LEDGER),
            dcc.Store(id=ids.CUT_WISH),
            dcc.Store(id=ids.TIED_WISH),
            dcc.Store(id=ids.TIED_CUT),
            dcc.Store(id=ids.FITTED),
            dcc.Store(id=ids.OUT_OF_REACH),
        ],
        className="panel-body",
    )


def _choice(name: str, label: str, options: Sequence[Mapping[str, Any]], value: str) -> Component:
    select: Component = dmc.Select(
        id=name, label=label, data=list(options), value=value, allowDeselect=False, size="xs"
    )
    return select


def ranked_options(session: Session) -> list[dict[str, Any]]:
    """How units can be ranked; what a sweep would allow is listed, but cannot be chosen before it is done."""
    sweep = session.sweep()
    done = sweep is not None and sweep.original is not None
    label = "as the sweep allows" if done else "as a sweep allows: measure the sensitivity first"
    return [*RANKED_OPTIONS, {"value": "sensitivity", "label": label, "disabled": not done}]


def register(app: Dash, session: Session) -> None:
    training.register(app, session)
    fading.register(app, session)
    _register_preview(app, session)
    app.clientside_callback(
        ClientsideFunction("cut", "wish"),
        Output(ids.CUT_WISH, "data"),
        Input(ids.RATIO, "value"),
        Input(ids.SCOPE, "value"),
        Input(ids.CRITERION, "value"),
        Input(ids.AIM, "value"),
        Input(ids.RANKED, "value"),
        Input(ids.ROUND_TO, "value"),
    )
    app.clientside_callback(
        ClientsideFunction("cut", "aimed"),
        Output(ids.RATIO_LABEL, "children"),
        Input(ids.AIM, "value"),
        Input(ids.RANKED, "value"),
        Input(ids.RATIO, "value"),
    )
    app.clientside_callback(
        ClientsideFunction("cut", "said"), Input(ids.MESSAGE, "children"), prevent_initial_call=True
    )
    app.clientside_callback(
        ClientsideFunction("cut", "buttons"),
        Output(ids.APPLY, "disabled"),
        Output(ids.APPLY_NOTE, "children"),
        Output(ids.CANCEL, "hidden"),
        Input(ids.CUT_WISH, "data"),
        Input(ids.SELECTION, "data"),
        Input(ids.GROUPS, "data"),
        Input(ids.JOB_STATE, "data"),
        Input(ids.OUT_OF_REACH, "data"),
    )

    @app.callback(
        Output(ids.RESULT, "children"),
        Output(ids.FITTED, "data"),
        Output(ids.PREDICT, "hidden"),
        Input(ids.REVISION, "data"),
        State(ids.FITTED, "data"),
        prevent_initial_call=True,
    )
    def result(revision: int, known: Any) -> tuple[Component | None, Any, bool]:
        fitted = latency_record(session.latency_model())
        return result_note(session), no_update if fitted == known else fitted, fitted is not None

    @app.callback(Output(ids.RANKED, "data"), Input(ids.REVISION, "data"), prevent_initial_call=True)
    def offer(revision: int) -> list[dict[str, Any]]:
        return ranked_options(session)

    @app.callback(
        Output(ids.LEDGER, "data"),
        Output(ids.RATING_MESSAGE, "children"),
        Input(ids.SHOWN, "data"),
        Input(ids.CRITERION, "value"),
        Input(ids.RANKED, "value"),
        Input(ids.ROUND_TO, "value"),
        Input(ids.FITTED, "data"),
    )
    def account(
        shown: int, criterion: str, ranked: Ranked, round_to: str, fitted: Any
    ) -> tuple[dict[str, Any], Component | None]:
        try:
            found = swept(session, criterion) if ranked == "sensitivity" else None
            scope = "global" if ranked == "sensitivity" else ranked
            record = ledger_record(session.version.graph, session.scores(criterion), scope, int(round_to), found)
            return {**record, "version": session.version.id, "latency": latency_record(session.latency_model())}, None
        except PrunescopeError as error:
            return {}, error_note(error)

    @app.callback(
        Output(ids.MESSAGE, "children"),
        Output(ids.JOB_STATE, "data", allow_duplicate=True),
        Input(ids.APPLY, "n_clicks"),
        State(ids.CUT_WISH, "data"),
        State(ids.SELECTION, "data"),
        State(ids.UNITS, "data"),
        prevent_initial_call=True,
    )
    def cut(clicks: int, wish: dict[str, Any], selection: dict[str, Any] | None, units: dict[str, Any] | None) -> Any:
        try:
            job = apply(session, Wish(**wish), selection, picked(session, units))
        except PrunescopeError as error:
            return error_note(error), no_update
        return None, job_record(job)

    @app.callback(
        Output(ids.MESSAGE, "children", allow_duplicate=True),
        Output(ids.JOB_STATE, "data", allow_duplicate=True),
        Input(ids.PREDICT, "n_clicks"),
        prevent_initial_call=True,
    )
    def fit(clicks: int) -> Any:
        try:
            job = predict_latency(session)
        except PrunescopeError as error:
            return error_note(error), no_update
        return None, job_record(job)

    @app.callback(Output(ids.CANCEL, "n_clicks"), Input(ids.CANCEL, "n_clicks"), prevent_initial_call=True)
    def cancel(clicks: int) -> int:
        session.jobs.cancel()
        return clicks


def _register_preview(app: Dash, session: Session) -> None:
    app.clientside_callback(
        ClientsideFunction("cut", "preview"),
        Output(ids.PREVIEW, "children"),
        Output(ids.OUT_OF_REACH, "data"),
        Input(ids.CUT_WISH, "data"),
        Input(ids.SELECTION, "data"),
        Input(ids.LEDGER, "data"),
        Input(ids.UNITS, "data"),
        Input(ids.PANEL_TABS, "value"),
        Input(ids.TIED_CUT, "data"),
        State(ids.GROUPS, "data"),
    )

    @app.callback(Output(ids.TIED_CUT, "data"), Input(ids.TIED_WISH, "data"), prevent_initial_call=True)
    def fit_sizes(asked: dict[str, Any]) -> dict[str, Any]:
        return tied_cut(session, asked)


def latency_record(model: LatencyModel | None) -> dict[str, Any] | None:
    """{ms, weights}: what the page predicts latency with."""
    return {"ms": model.original_ms, "weights": list(model.weights)} if model else None


def result_note(session: Session) -> Component | None:
    """What the version on screen became of the one that it was made from; nothing for the original."""
    after = session.version
    if after.parent is None:
        return None
    before = session.versions[after.parent]
    rows = (
        ("Parameters", quantity(before.parameters), quantity(after.parameters)),
        ("MACs", quantity(before.macs), quantity(after.macs)),
        ("Latency", latency_text(before) or NOT_YET, latency_text(after) or NOT_YET),
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


def _accuracy(version: Version) -> str:
    if version.accuracy is not None:
        return f"{version.accuracy:.1%}"
    return "failed" if version.problem else NOT_YET


def verified(version: Version) -> str:
    return f"Verified: {exact(version)}" if version.pruned else "Fine-tuned: same structure, new weights"


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
    if job is None or (job.status == "done" and not job.curve):
        return None
    if job.status == "done":
        return html.Div([html.B(f"{job.title}: done"), curves(job.curve)], className="note job")
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
            curves(job.curve),
        ],
        className="note job",
    )
