"""What is done to weights beside a cut: sparse training before it, recovery after it, or both in steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from prunescope.core.errors import BadInput, PrunescopeError
from prunescope.explorer import ids
from prunescope.explorer.actions import Wish, apply_in_steps, recalibrate, sparsify, tune
from prunescope.explorer.jobs import JobState
from prunescope.explorer.panels.words import error_note
from prunescope.explorer.session import Session
from prunescope.explorer.training import EPOCHS, STRENGTH, unteachable
from prunescope.explorer.view import job_record

STEPS = 3
MOST = 1000  # epochs or steps that can be asked for
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
                        clampBehavior="none",
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
            _trainable(session),
        ],
        className="training",
    )


def _trainable(session: Session) -> Component:
    able = (session.can_tune, session.has_data, session.has_data, True)
    return dcc.Store(id=ids.TRAINABLE, data=list(able))


def _teacher(session: Session) -> Component:
    problem = unteachable(session)
    return html.Div(
        [
            dmc.Switch(id=ids.TAUGHT, label="Learn from the original’s answers", size="xs", disabled=bool(problem)),
            html.P(
                f"Not available: {problem}."
                if problem
                else "Fine-tuning then also asks for the original’s classes, softened (distillation).",
                className="muted",
            ),
        ],
        className="teacher",
    )


def _number(name: str, label: str, value: int, least: int = 1, off: bool = False) -> Component:
    made: Component = dmc.NumberInput(
        id=name, label=label, value=value, min=least, max=MOST, clampBehavior="none", disabled=off, size="xs"
    )
    return made


def _button(session: Session, name: str, label: str, title: str) -> Component:
    off = not session.has_data
    return html.Button(label, id=name, className="button", n_clicks=0, disabled=off, title=NEEDS_DATA if off else title)


def register(app: Dash, session: Session) -> None:
    app.clientside_callback(
        ClientsideFunction("cut", "idle"),
        *(Output(button, "disabled") for button in (ids.TUNE, ids.SPARSIFY, ids.RECALIBRATE, ids.APPLY_IN_STEPS)),
        Input(ids.JOB_STATE, "data"),
        State(ids.TRAINABLE, "data"),
    )

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
            ids.TUNE: lambda: tune(session, _whole("Epochs", epochs), learns),
            ids.SPARSIFY: lambda: sparsify(session, _whole("Epochs", epochs), _strength(strength)),
            ids.RECALIBRATE: lambda: recalibrate(session),
            ids.APPLY_IN_STEPS: lambda: apply_in_steps(
                session,
                Wish(**wish),
                selection,
                _whole("Steps", steps),
                _whole("Epochs after each", step_epochs, least=0),
                learns,
            ),
        }
        try:
            job = jobs[ctx.triggered_id]()
        except PrunescopeError as error:
            return error_note(error), no_update
        return None, job_record(job)


def _whole(label: str, value: Any, least: int = 1) -> int:
    """What a field for a whole number has."""
    if isinstance(value, int | float) and float(value).is_integer() and least <= value <= MOST:
        return int(value)
    raise _not_so(label, value, f"it takes a whole number from {least} to {MOST}")


def _strength(value: Any) -> float:
    if isinstance(value, int | float) and value >= 0:
        return float(value)
    raise _not_so("Strength of sparsity", value, "it takes a number from 0 up")


def _not_so(label: str, value: Any, takes: str) -> BadInput:
    return BadInput(
        asked=f"{label}: {'nothing' if value in (None, '') else value}",
        found=takes,
        where="Cut, Train and recover",
        what_to_do="correct the field and press again",
    )
