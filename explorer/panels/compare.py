"""Any two versions side by side: layer by layer, class by class, and the examples that they see differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
import numpy as np
import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from prunescope.core.errors import PrunescopeError
from prunescope.explorer import ids
from prunescope.explorer.aria import data
from prunescope.explorer.compared import LayerChange, layer_changes, pair
from prunescope.explorer.layers import widths_record
from prunescope.explorer.panels.figure_style import BAR, CONFIG, LINE_STRONG, mosaic, styled
from prunescope.explorer.panels.words import breakable
from prunescope.explorer.predictions import Change, ClassRow, Examples, by_class, changes, pictures
from prunescope.explorer.session import Session
from prunescope.explorer.version import Version
from prunescope.explorer.view import quantity

SHOWN_ROWS = 300
SHOWN_CHANGES = 40
ACROSS = 8  # pictures in a row
HEADINGS = ("Layer", "Width", "Parameters", "MACs")
NO_EXAMPLES = (
    "Give labelled examples to see accuracy by class and what changes: explore(..., examples=(inputs, labels))."
)


def layout(session: Session) -> Component:
    options = version_options(session)
    return html.Div(
        [
            html.H3("Two versions side by side"),
            html.Div(
                [
                    dmc.Select(id=ids.COMPARE_BEFORE, label="This", data=options, size="xs", placeholder="its parent",
                               clearable=True),
                    dmc.Select(id=ids.COMPARE_AFTER, label="beside this", data=options, size="xs",
                               placeholder="the version on screen", clearable=True),
                ],
                className="choices",
            ),
            html.Div(
                [
                    dmc.Switch(id=ids.COMPARE_ON_GRAPH, label="Widths of the two on the graph", size="xs"),
                    dmc.Switch(id=ids.COMPARE_ALL, label="Layers that are alike too", size="xs"),
                ],
                className="switches",
            ),
            html.Div(id=ids.COMPARE_PREDICTIONS),
            html.Div(id=ids.COMPARE_LAYERS),
            dcc.Store(id=ids.COMPARE_WISH),
        ],
        className="compare",
    )  # fmt: skip


def version_options(session: Session) -> list[dict[str, str]]:
    return [{"value": str(version.id), "label": version.name} for version in session.versions]


def register(app: Dash, session: Session) -> None:
    app.clientside_callback(
        ClientsideFunction("versions", "wish"),
        Output(ids.COMPARE_WISH, "data"),
        Input(ids.PANEL_TABS, "value"),
        Input(ids.COMPARE_BEFORE, "value"),
        Input(ids.COMPARE_AFTER, "value"),
        Input(ids.COMPARE_ALL, "checked"),
        Input(ids.SHOWN, "data"),
        Input(ids.SCHEME, "data"),
        Input(ids.REVISION, "data"),
        State(ids.COMPARE_WISH, "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(ids.COMPARE_BEFORE, "data"),
        Output(ids.COMPARE_AFTER, "data"),
        Input(ids.REVISION, "data"),
        prevent_initial_call=True,
    )
    def offer(revision: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        options = version_options(session)
        return options, options

    @app.callback(
        Output(ids.COMPARE_LAYERS, "children"),
        Output(ids.COMPARE_PREDICTIONS, "children"),
        Input(ids.COMPARE_WISH, "data"),
        prevent_initial_call=True,
    )
    def show(wish: dict[str, Any]) -> tuple[list[Component], list[Component]]:
        before, after = pair(session, wish["before"], wish["after"])
        return layers(before, after, wish["all"]), predictions(session, before, after, wish["scheme"])

    @app.callback(
        Output(ids.WIDTHS, "data", allow_duplicate=True),
        Input(ids.COMPARE_ON_GRAPH, "checked"),
        Input(ids.COMPARE_WISH, "data"),
        prevent_initial_call=True,
    )
    def widths(on: bool, wish: dict[str, Any] | None) -> dict[str, tuple[int, int]]:
        asked = wish if on and wish else {"before": 0, "after": None}
        before, after = pair(session, asked["before"], asked["after"])
        return widths_record(before.graph, after.graph)


def layers(before: Version, after: Version, alike: bool) -> list[Component]:
    """The table of layers, after a sentence on what it shows."""
    rows = layer_changes(before.graph, after.graph)
    changed = [row for row in rows if row.changed]
    shown = rows if alike else changed
    if before.id == after.id:
        return [html.P("One version: choose another, or cut something.", className="muted")]
    which = f"{len(changed)} of {len(rows)} layers with weights or MACs have another size"
    alike_only = "" if changed else "; their weights may differ"
    text = f"{before.name} → {after.name}: {which}{alike_only}."
    table = html.Table(
        [
            html.Thead(html.Tr([html.Th(heading) for heading in HEADINGS])),
            html.Tbody([_row(row) for row in shown[:SHOWN_ROWS]]),
        ],
        className="members compared",
    )
    rest = [html.P(f"… and {len(shown) - SHOWN_ROWS} more", className="muted")] if len(shown) > SHOWN_ROWS else []
    return [html.H3("Layer by layer"), html.P(text, className="muted"), *([table] if shown else []), *rest]


def _row(row: LayerChange) -> Component:
    name = html.Button(breakable(row.name), className="link", title="Show it in the graph", **data(layer=row.name))
    pairs = (row.width, row.parameters, row.macs)
    return html.Tr(
        [
            html.Td([name, html.Div(row.kind, className="muted")], className="path"),
            *(html.Td(_change(*pair)) for pair in pairs),
        ]
    )


def _change(before: int | None, now: int | None) -> list[Any]:
    if before == now:
        return [html.Span(_amount(now), className="muted")]
    share = f"{now / before:.0%}" if before and now is not None else ""
    return [f"{_amount(before)} → ", html.B(_amount(now)), html.Div(share, className="muted")]


def _amount(value: int | None) -> str:
    return "none" if value is None else quantity(value) if value >= 10_000 else f"{value:,}"


def predictions(session: Session, before: Version, after: Version, scheme: str) -> list[Component]:
    """Accuracy by class, and the examples whose prediction changed; or why there is nothing to show."""
    if session.examples is None:
        return [html.P(NO_EXAMPLES, className="muted")]
    if before.id == after.id:
        return []
    try:
        first, second = session.predictions(before.id), session.predictions(after.id)
    except PrunescopeError as error:
        return [html.Div(str(error), className="note error")]
    examples = session.examples
    found, classes = changes(examples, first, second), by_class(examples, first, second)
    wrong = sum(not change.right for change in found)
    sentence = f"{len(found)} of {len(examples.labels):,} examples change their class, {wrong} of them to a wrong one."
    return [
        html.H3("Accuracy by class"),
        dcc.Graph(figure=class_figure(classes, before.name, after.name, scheme), config=CONFIG),
        html.H3("What changes"),
        html.P(sentence, className="muted"),
        *_changed(examples, found[:SHOWN_CHANGES], scheme),
    ]


def class_figure(rows: Sequence[ClassRow], before: str, after: str, scheme: str) -> go.Figure:
    names = [f"{row.name}" for row in rows]
    figure = go.Figure()
    for label, values, colour in (
        (before, [row.before for row in rows], LINE_STRONG[scheme]),
        (after, [row.after for row in rows], BAR[scheme]),
    ):
        figure.add_bar(
            x=names, y=[100 * value for value in values], name=label, marker={"color": colour},
            customdata=[row.count for row in rows],
            hovertemplate="class %{x}: %{y:.1f} % of %{customdata} examples<extra>" + label + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(type="category", title={"text": "class", "font": {"size": 10}})
    figure.update_yaxes(title={"text": "right, %", "font": {"size": 10}}, range=[0, 100])
    styled(figure, scheme, 210, 40)
    figure.update_layout(
        showlegend=True, bargap=0.25, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "font": {"size": 10}},
        margin={"t": 30},
    )  # fmt: skip
    return figure


def _changed(examples: Examples, found: Sequence[Change], scheme: str) -> list[Component]:
    if not found:
        return []
    tiles = pictures(examples, [change.index for change in found])
    if tiles is not None:
        return [dcc.Graph(figure=pictures_figure(tiles, found, scheme), config=CONFIG)]
    rows = [html.Tr([html.Td(f"example {change.index}", className="path"), html.Td(_says(change))]) for change in found]
    return [html.Table(html.Tbody(rows), className="members")]


def _says(change: Change) -> str:
    return f"{change.label}: {change.before} → {change.after} {'✓' if change.right else '✗'}"


def pictures_figure(tiles: Any, found: Sequence[Change], scheme: str) -> go.Figure:
    """The examples as small pictures, with what the two versions say of each."""
    height, width = tiles.shape[1:3]
    gap = max(1, round(0.45 * height))
    values = mosaic(tiles, ACROSS, gap)
    figure = go.Figure()
    if values.ndim == 3:
        figure.add_image(z=_rgba(values), colormodel="rgba256", hoverinfo="skip")
    else:
        figure.add_heatmap(
            z=values, colorscale="Greys" if scheme == "light" else "gray", showscale=False, hoverinfo="skip"
        )
    for at, change in enumerate(found):
        figure.add_annotation(
            x=at % ACROSS * (width + gap) + width / 2 - 0.5,
            y=at // ACROSS * (height + gap) + height - 0.3,
            text=f"{change.before} → {change.after} {'✓' if change.right else '✗'}",
            showarrow=False,
            yanchor="top",
            font={"size": 10},
        )
    figure.update_yaxes(autorange=False, range=[values.shape[0] + gap, -0.5], scaleanchor="x", visible=False)
    figure.update_xaxes(range=[-0.5, values.shape[1] - 0.5], visible=False)
    return styled(figure, scheme, 20 + 72 * -(-len(found) // ACROSS))


def _rgba(values: Any) -> Any:
    """Colours 0 ... 1 with NaN where nothing is -> (H, W, 4) bytes, clear there."""
    there = ~np.isnan(values[..., :1])
    return np.rint(255 * np.concatenate([np.nan_to_num(values), there], axis=-1)).astype(np.uint8)
