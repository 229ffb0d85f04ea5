"""The files of the version on screen: a button for each kind, and what was made."""

from __future__ import annotations

from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, ctx, dcc, html, no_update
from dash.dcc.express import send_bytes
from dash.development.base_component import Component

from prunescope.core.errors import PrunescopeError
from prunescope.explorer import ids
from prunescope.explorer.actions import export
from prunescope.explorer.export import KINDS
from prunescope.explorer.panels.words import error_note
from prunescope.explorer.session import Session
from prunescope.explorer.view import job_record, quantity


def layout(session: Session) -> Component:
    return html.Div(
        [
            html.H3("Take it along"),
            html.P(
                "Files of the version on screen. Weights and plan together make it of the original class again: "
                "prunescope.core.export.load_pruned.",
                className="muted",
            ),
            html.Div(
                [
                    html.Button(
                        kind.label,
                        id={"type": ids.EXPORT, "index": _key(ending)},
                        className="button",
                        title=f".{ending}: {kind.sentence}",
                    )
                    for ending, kind in KINDS.items()
                ],
                className="button-row",
            ),
            html.Div(
                [
                    html.Button("Figures as SVG", id=ids.FIGURES_SVG, className="button", title="All that were opened"),
                    html.Button("Figures as PNG", id=ids.FIGURES_PNG, className="button", title="All that were opened"),
                ],
                className="button-row",
            ),
            html.Div(id=ids.EXPORT_MESSAGE, role="alert"),
            html.Div(id=ids.EXPORT_READY, role="status"),
            dcc.Store(id=ids.EXPORT_KNOWN),
            dcc.Download(id=ids.DOWNLOAD),
        ]
    )


def _key(ending: str) -> str:
    """Ids of patterns take no dots."""
    return ending.replace(".", "-")


def register(app: Dash, session: Session) -> None:
    for button, form in ((ids.FIGURES_SVG, "svg"), (ids.FIGURES_PNG, "png")):
        app.clientside_callback(
            ClientsideFunction("figures", form), Input(button, "n_clicks"), prevent_initial_call=True
        )

    @app.callback(
        Output(ids.EXPORT_MESSAGE, "children"),
        Output(ids.EXPORT_KNOWN, "data", allow_duplicate=True),
        Output(ids.JOB_STATE, "data", allow_duplicate=True),
        Input({"type": ids.EXPORT, "index": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def start(clicks: list[int | None]) -> Any:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update, no_update, no_update
        ending = next(ending for ending in KINDS if _key(ending) == ctx.triggered_id["index"])
        try:
            known = len(session.files)
            return None, known, job_record(export(session, ending))
        except PrunescopeError as error:
            return error_note(error), no_update, no_update

    @app.callback(
        Output(ids.DOWNLOAD, "data"),
        Output(ids.EXPORT_KNOWN, "data"),
        Output(ids.EXPORT_READY, "children"),
        Input(ids.REVISION, "data"),
        # the file may be there before the answer to the click is
        Input(ids.EXPORT_KNOWN, "data"),
        prevent_initial_call=True,
    )
    def take(revision: int, known: int | None) -> Any:
        """Hand the person a file that this page has asked for."""
        if known is None or len(session.files) <= known:
            return no_update, no_update, no_update
        file = session.files[-1]
        text = f"{file.name}, {quantity(len(file.content))}B" + (f": {file.note}" if file.note else "")
        return send_bytes(file.content, file.name), None, html.P(text, className="muted")
