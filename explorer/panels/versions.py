"""All versions side by side: a table, a plot, and the files to take along."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from dash import ALL, ClientsideFunction, Dash, Input, Output, ctx, dcc, html, no_update
from dash.dcc.express import send_bytes, send_string
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.actions import plan_file, weights_file
from prunescope.explorer.aria import aria
from prunescope.explorer.panels.figure_style import BAR, CONFIG, empty, styled
from prunescope.explorer.panels.lazy import fill_when_opened, host
from prunescope.explorer.session import Session
from prunescope.explorer.view import quantity, version_rows

HEADINGS = ("Version", "Parameters", "MACs", "Size", "Latency", "Accuracy")
DASH = "–"


def layout(session: Session) -> Component:
    return html.Div(
        [
            html.Div(table(version_rows(session), session), id=ids.VERSION_TABLE),
            host(ids.VERSION_FIGURES),
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
        ],
        className="panel-body",
    )


def figures() -> list[Component]:
    return [dcc.Graph(id=ids.VERSION_PLOT, config=CONFIG, figure=empty("light", ""))]


def strip(session: Session) -> Component:
    """The row of versions below the graph."""
    buttons = [_version_button(row) for row in version_rows(session)]
    return html.Div(buttons, id=ids.VERSION_STRIP, className="strip", role="group", **aria(label="Versions"))


def register(app: Dash, session: Session) -> None:
    fill_when_opened(app, ids.VERSION_FIGURES, "compare", figures)

    app.clientside_callback(ClientsideFunction("versions", "show"), Input(ids.VERSION_STRIP, "children"))

    @app.callback(
        Output(ids.VERSION_TABLE, "children"),
        Output(ids.VERSION_STRIP, "children"),
        Input(ids.REVISION, "data"),
        prevent_initial_call=True,
    )
    def show(revision: int) -> tuple[Component, list[Component]]:
        rows = version_rows(session)
        return table(rows, session), [_version_button(row) for row in rows]

    @app.callback(Output(ids.VERSION_PLOT, "figure"), Input(ids.REVISION, "data"), Input(ids.SCHEME, "data"))
    def plot(revision: int, scheme: str) -> go.Figure:
        return versions_figure(version_rows(session), scheme)

    @app.callback(
        Output(ids.SHOWN, "data", allow_duplicate=True),
        Input({"type": ids.VERSION_BUTTON, "index": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def choose(clicks: list[int | None]) -> Any:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update
        return session.show(int(ctx.triggered_id["index"])).id

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


def table(rows: list[dict[str, Any]], session: Session) -> Component:
    """A line for each version; the one on screen is marked."""
    notes = [
        html.P([html.B(f"{row['name']}: "), row["problem"]], className="note error") for row in rows if row["problem"]
    ]
    if session.evaluate is None:
        why = session.note or "there is no evaluate function"
        notes.append(html.P(f"No accuracy: {why}.", className="muted"))
    verified = [html.P(f"{row['name']}: {row['exact']}", className="muted") for row in rows if row["exact"]]
    return html.Div(
        [
            html.Table(
                [
                    html.Thead(html.Tr([html.Th(heading) for heading in HEADINGS])),
                    html.Tbody([html.Tr(_cells(row), className="shown" if row["shown"] else None) for row in rows]),
                ],
                className="versions",
            ),
            *notes,
            *verified,
        ]
    )


def _cells(row: dict[str, Any]) -> list[Component]:
    return [
        html.Td(row["name"], className="path"),
        html.Td([quantity(row["parameters"]), html.Br(), _share(row["parameters_share"])]),
        html.Td([quantity(row["macs"]), html.Br(), _share(row["macs_share"])]),
        html.Td(f"{quantity(row['bytes'])}B"),
        html.Td(_latency(row)),
        html.Td(DASH if row["accuracy"] is None else f"{row['accuracy']:.2%}"),
    ]


def _latency(row: dict[str, Any]) -> list[Any] | str:
    if row["latency"] is None:
        return DASH
    spread = html.Span(f"± {row['latency_spread'] / 2:.2g} ms", className="muted")
    return [f"{row['latency']:.3g} ms", html.Br(), spread]


def _share(share: float) -> Component:
    return html.Span(f"{share:.0%}", className="muted")


def _version_button(row: dict[str, Any]) -> Component:
    accuracy = "" if row["accuracy"] is None else f" · {row['accuracy']:.1%}"
    return html.Button(
        [html.B(row["name"]), html.Span(f"{row['macs_share']:.0%} of MACs{accuracy}")],
        id={"type": ids.VERSION_BUTTON, "index": row["id"]},
        className="version shown" if row["shown"] else "version",
        title=row["name"],
        **aria(pressed="true" if row["shown"] else "false"),
    )


def _ranks(values: list[Any]) -> list[int]:
    """The place of each value, the largest first."""
    order = sorted(range(len(values)), key=lambda at: -values[at])
    return [order.index(at) for at in range(len(values))]


def versions_figure(rows: list[dict[str, Any]], scheme: str) -> go.Figure:
    """Accuracy against latency where both were measured; parameters against latency where there is no accuracy."""
    measured = [row for row in rows if row["latency"] is not None]
    if not measured:
        return empty(scheme, "Latency is being measured …")
    with_accuracy = [row for row in measured if row["accuracy"] is not None]
    shown = with_accuracy or measured
    values = [row["accuracy"] * 100 if with_accuracy else row["parameters"] for row in shown]
    figure = go.Figure()
    figure.add_scatter(
        x=[row["latency"] for row in shown],
        y=values,
        error_x={
            "type": "data",
            "array": [row["latency_spread"] / 2 for row in shown],
            "thickness": 1,
            "width": 3,
        },
        mode="markers+text",
        text=[row["name"] for row in shown],
        # neighbours in height get their names on different sides
        textposition=[("top center", "bottom center")[rank % 2] for rank in _ranks(values)],
        cliponaxis=False,
        textfont={"size": 10},
        marker={
            "size": [13 if row["shown"] else 9 for row in shown],
            "color": BAR[scheme],
            "symbol": ["diamond" if row["parent"] is None else "circle" for row in shown],
        },
        hovertemplate="%{text}<br>%{x:.2f} ms, %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(
        title={"text": "latency, ms (median; bar: half the interquartile range)", "font": {"size": 10}},
        rangemode="tozero",
    )
    figure.update_yaxes(
        title={"text": "accuracy, %" if with_accuracy else "parameters", "font": {"size": 10}},
        rangemode="normal" if with_accuracy else "tozero",
        tickformat="" if with_accuracy else "~s",
    )
    return styled(figure, scheme, 260, 44)
