"""What is done to weights beside a cut: sparse training before it, recovery after it, or both in steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, html, no_update
from dash.development.base_component import Component

from prunescope.core.errors import PrunescopeError
from prunescope.explorer import ids
from prunescope.explorer.actions import Wish, apply_in_steps, recalibrate, sparsify, tune
from prunescope.explorer.jobs import JobState
from prunescope.explorer.panels.words import error_note
from prunescope.explorer.session import Session
from prunescope.explorer.training import EPOCHS, STRENGTH, unteachable
from prunescope.explorer.view import job_record

STEPS = 3
STEP_EPOCHS = 1
NEEDS_DATA = "Needs data: explore(..., batches=batches, loss=loss)"


def tune_button(session: Session) -> Component:
    return html.Button(
        "Fine-tune",
        id=ids.TUNE,
        className="button",
        n_clicks=0,
        disabled=not session.can_tune,
        title="Train the version on screen for a few epochs, as a new version"
        if session.can_tune
        else "Needs a train function: explore(..., train=train), or batches and loss",
    )


def layout(session: Session) -> Component:
    """Folded away at first."""
    return html.Details(
        [
            html.Summary("Train and recover"),
            html.P(
                "Sparse training drives the units that matter least to zero before a cut, so that the cut costs less. "
                "After a cut, fine-tune, or measure the normalisation statistics anew. Each makes a new version.",
                className="muted",
            ),
            html.Div(
                [
                    _number(ids.EPOCHS, "Epochs", EPOCHS),
                    dmc.NumberInput(
                        id=ids.STRENGTH,
                        label="Strength of sparsity",
                        value=STRENGTH,
                        min=0,
                        step=STRENGTH,
                        decimalScale=6,
                        size="xs",
                    ),
                ],
                className="choices",
            ),
            _teacher(session),
            html.Div(
                [
                    _button(session, ids.SPARSIFY, "Train sparsely", "Train with group sparsity, as a new version"),
                    _button(session, ids.RECALIBRATE, "Recalibrate", "Measure running means and variances anew"),
                ],
                className="button-row",
            ),
            html.H4("In steps"),
            html.P(
                "The cut chosen above, a part at a time: every step is rated anew, cut, verified and fine-tuned, and "
                "is a version of its own.",
                className="muted",
            ),
            html.Div(
                [
                    _number(ids.STEPS, "Steps", STEPS),
                    _number(
                        ids.STEP_EPOCHS,
                        "Epochs after each",
                        STEP_EPOCHS if session.can_tune else 0,
                        least=0,
                        off=not session.can_tune,
                    ),
                ],
                className="choices",
            ),
            html.Div(
                html.Button("Cut in steps", id=ids.APPLY_IN_STEPS, className="button", n_clicks=0),
                className="button-row",
            ),
        ],
        className="training",
    )


def _teacher(session: Session) -> Component:
    problem = unteachable(session)
    return html.Div(
        [
            dmc.Switch(id=ids.TAUGHT, label="Learn from the original’s answers", size="xs", disabled=bool(problem)),
            html.P(
                f"Not to be had: {problem}."
                if problem
                else "Fine-tuning then also asks for the original’s classes, softened (distillation).",
                className="muted",
            ),
        ],
        className="teacher",
    )


def _number(name: str, label: str, value: int, least: int = 1, off: bool = False) -> Component:
    made: Component = dmc.NumberInput(
        id=name, label=label, value=value, min=least, max=1000, allowDecimal=False, disabled=off, size="xs"
    )
    return made


def _button(session: Session, name: str, label: str, title: str) -> Component:
    off = not session.has_data
    return html.Button(label, id=name, className="button", n_clicks=0, disabled=off, title=NEEDS_DATA if off else title)


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.MESSAGE, "children", allow_duplicate=True),
        Output(ids.JOB_STATE, "data", allow_duplicate=True),
        Input(ids.TUNE, "n_clicks"),
        Input(ids.SPARSIFY, "n_clicks"),
        Input(ids.RECALIBRATE, "n_clicks"),
        Input(ids.APPLY_IN_STEPS, "n_clicks"),
        State(ids.EPOCHS, "value"),
        State(ids.STRENGTH, "value"),
        State(ids.TAUGHT, "checked"),
        State(ids.STEPS, "value"),
        State(ids.STEP_EPOCHS, "value"),
        State(ids.CUT_WISH, "data"),
        State(ids.SELECTION, "data"),
        prevent_initial_call=True,
    )
    def train(*given: Any) -> Any:
        epochs, strength, taught, steps, step_epochs, wish, selection = given[4:]
        learns = bool(taught)
        jobs: dict[str, Callable[[], JobState]] = {
            ids.TUNE: lambda: tune(session, int(epochs or 0), learns),
            ids.SPARSIFY: lambda: sparsify(session, int(epochs or 0), float(strength or 0)),
            ids.RECALIBRATE: lambda: recalibrate(session),
            ids.APPLY_IN_STEPS: lambda: apply_in_steps(
                session, Wish(**wish), selection, int(steps or 0), int(step_epochs or 0), learns
            ),
        }
        try:
            job = jobs[ctx.triggered_id]()
        except PrunescopeError as error:
            return error_note(error), no_update
        return None, job_record(job)
