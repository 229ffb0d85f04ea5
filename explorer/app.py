"""The page: the one place where its parts are put together."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.aria import aria
from prunescope.explorer.layout import Outline
from prunescope.explorer.panels import cut, graph, group, groups, importance, versions
from prunescope.explorer.picture import picture_record
from prunescope.explorer.session import Session, Version
from prunescope.explorer.view import coupling_record, layer_boxes, quantity

POLL_MS = 400
TABS = (("group", "Group", group), ("importance", "Importance", importance), ("cut", "Cut", cut),
        ("compare", "Compare", versions))  # fmt: skip


def create_app(session: Session, prefix: str = "/") -> Dash:
    """The Dash application of one session.

    Args:
        session: What the page shows and changes.
        prefix: Path under which it is served.
    """
    app = Dash(
        __name__,
        title=f"{session.title} - prunescope",
        update_title="",
        assets_folder=str(files("prunescope.assets")),
        url_base_pathname=prefix,
        serve_locally=True,
        enable_mcp=False,
    )
    app.layout = lambda: page(session)
    graph.register(app)
    for panel in (group, importance, cut, versions, groups):
        panel.register(app, session)
    _register_graph_data(app, session)
    _register_shell(app, session)
    return app


def page(session: Session) -> Any:
    """The whole page as it is when it is opened."""
    return dmc.MantineProvider(
        html.Div(
            [
                _head(session),
                html.Aside(groups.layout(), className="page-side", **aria(label="Groups")),
                html.Main(graph.layout(), className="page-stage"),
                html.Div(versions.strip(), className="page-versions"),
                html.Aside(_panel(session), className="page-panel", **aria(label="Inspector")),
                dcc.Interval(id=ids.POLL, interval=POLL_MS),
                dcc.Store(id=ids.SHOWN, data=session.version.id),
                dcc.Store(id=ids.REVISION, data=session.revision),
                dcc.Store(id=ids.OPENED),
                dcc.Store(id=ids.SCHEME, data="light"),
            ],
            className="page",
        ),
        id=ids.PROVIDER,
        forceColorScheme="light",
        theme={"primaryColor": "indigo"},
    )


def _head(session: Session) -> Component:
    return html.Header(
        [
            html.Strong("prunescope", className="brand"),
            html.Span(session.title, className="model-title", title=session.note),
            html.Div(id=ids.HEAD_NUMBERS, className="head-numbers"),
            html.Div(
                [
                    html.Button("Undo", id=ids.UNDO, className="button", disabled=True),
                    html.Button("Redo", id=ids.REDO, className="button", disabled=True),
                    html.Button("◐", id=ids.SCHEME_TOGGLE, className="button", title="Light or dark",
                                **aria(label="Light or dark")),
                ],
                className="head-buttons",
            ),
        ],
        className="page-head",
    )  # fmt: skip


def _panel(session: Session) -> Any:
    return dmc.Tabs(
        [
            dmc.TabsList([dmc.TabsTab(label, value=value) for value, label, _ in TABS], grow=True),
            *(dmc.TabsPanel(panel.layout(session), value=value) for value, _, panel in TABS),
        ],
        id=ids.PANEL_TABS,
        value="group",
        keepMounted=True,
    )


def _register_graph_data(app: Dash, session: Session) -> None:
    outlines: dict[int, Outline] = {}

    def outline(version: Version) -> Outline:
        if version.id not in outlines:
            outlines[version.id] = Outline(layer_boxes(version.graph), version.graph.edges)
        return outlines[version.id]

    @app.callback(
        Output(ids.PICTURE, "data"),
        Output(ids.OPENED, "data"),
        Input(ids.TOGGLE, "data"),
        Input(ids.SHOWN, "data"),
        State(ids.OPENED, "data"),
    )
    def draw(
        toggle: dict[str, Any] | None, shown: int, opened: Sequence[str] | None
    ) -> tuple[dict[str, Any], list[str]]:
        drawn = outline(session.version)
        now = set(drawn.initial_open() if opened is None else opened)
        if ctx.triggered_id == ids.TOGGLE and toggle:
            now ^= {str(toggle["module"])}
        return picture_record(drawn.arrange(now)), sorted(now)

    @app.callback(Output(ids.GROUPS, "data"), Input(ids.SHOWN, "data"))
    def couple(shown: int) -> dict[str, Any]:
        return coupling_record(session.version.graph)


def _register_shell(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.REVISION, "data"),
        Output(ids.SHOWN, "data"),
        Output(ids.JOB, "children"),
        Output(ids.APPLY, "disabled"),
        Output(ids.CANCEL, "hidden"),
        Input(ids.POLL, "n_intervals"),
        State(ids.REVISION, "data"),
        State(ids.SHOWN, "data"),
    )
    def poll(ticks: int, revision: int, shown: int) -> tuple[Any, ...]:
        active = session.jobs.active
        job = active[0] if active else next(reversed(session.jobs.states), None)
        now, current = session.revision, session.version.id
        return (
            no_update if now == revision else now,
            no_update if current == shown else current,
            cut.job_note(job),
            bool(active),
            not active,
        )

    @app.callback(
        Output(ids.SHOWN, "data", allow_duplicate=True),
        Input(ids.UNDO, "n_clicks"),
        Input(ids.REDO, "n_clicks"),
        prevent_initial_call=True,
    )
    def step(undo: int | None, redo: int | None) -> int:
        version = session.undo() if ctx.triggered_id == ids.UNDO else session.redo()
        return version.id

    @app.callback(
        Output(ids.HEAD_NUMBERS, "children"),
        Output(ids.UNDO, "disabled"),
        Output(ids.REDO, "disabled"),
        Input(ids.REVISION, "data"),
    )
    def head(revision: int) -> tuple[list[Component], bool, bool]:
        numbers = head_numbers(session.versions[0], session.version)
        return numbers, not session.can_undo, not session.can_redo

    app.clientside_callback(
        ClientsideFunction("shell", "toggleScheme"),
        Output(ids.SCHEME, "data"),
        Output(ids.PROVIDER, "forceColorScheme"),
        Input(ids.SCHEME_TOGGLE, "n_clicks"),
        State(ids.SCHEME, "data"),
        prevent_initial_call=True,
    )


def head_numbers(original: Version, version: Version) -> list[Component]:
    """What was and what is, each with its unit."""
    rows = [
        ("parameters", quantity(original.parameters), quantity(version.parameters)),
        ("MACs", quantity(original.macs), quantity(version.macs)),
        ("latency", _latency(original), _latency(version)),
        ("accuracy", _accuracy(original), _accuracy(version)),
    ]
    cut = version.id != original.id
    return [
        html.Span([f"{name} ", *([before, " → "] if cut else []), html.B(after)], className="head-number")
        for name, before, after in rows
        if after or before
    ]


def _latency(version: Version) -> str:
    return f"{version.latency.median_ms:.2f} ms" if version.latency else ""


def _accuracy(version: Version) -> str:
    return "" if version.accuracy is None else f"{version.accuracy:.1%}"
