"""The files of the version on screen."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, ctx, dcc, html
from dash.dcc.express import send_bytes, send_string
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.actions import plan_file, weights_file
from prunescope.explorer.session import Session


def layout(session: Session) -> Component:
    return html.Div(
        [
            html.H3("Take it along"),
            html.P(
                "The weights of the version on screen, and the plans that make it of the original: "
                "prunescope.core.prune applies them to the original class again.",
                className="muted",
            ),
            html.Div(
                [
                    html.Button("Weights (.safetensors)", id=ids.DOWNLOAD_WEIGHTS, className="button"),
                    html.Button("Plan (.json)", id=ids.DOWNLOAD_PLAN, className="button"),
                ],
                className="button-row",
            ),
            dcc.Download(id=ids.DOWNLOAD),
        ]
    )


def register(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.DOWNLOAD, "data"),
        Input(ids.DOWNLOAD_WEIGHTS, "n_clicks"),
        Input(ids.DOWNLOAD_PLAN, "n_clicks"),
        prevent_initial_call=True,
    )
    def download(weights: int | None, plan: int | None) -> Any:
        if ctx.triggered_id == ids.DOWNLOAD_WEIGHTS:
            name, content = weights_file(session)
            return send_bytes(content, name)
        name, text = plan_file(session)
        return send_string(text, name)
