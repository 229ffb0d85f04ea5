"""The page: the one place where its parts are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from itertools import compress
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from prunescope.explorer import ids
from prunescope.explorer.aria import aria
from prunescope.explorer.drawing import Drawings, drawn, opened_after
from prunescope.explorer.keys import keys_record
from prunescope.explorer.layers import widths_record
from prunescope.explorer.panels import cut, graph, group, importance, keys, locked, matrix, naive, side, versions, why
from prunescope.explorer.session import Session
from prunescope.explorer.version import Version
from prunescope.explorer.view import job_record, latency_text, quantity

POLL_MS = 400
THEME_SCRIPT = "theme.js"
UNREACHABLE = (
    "Prunescope does not answer any more: the program that serves this page has probably ended. "
    "Start it again and reload the page; until then nothing here can change."
)
TABS = (("group", "Group", group), ("importance", "Importance", importance), ("cut", "Cut", cut),
        ("compare", "Compare", versions), ("matrix", "Matrix", matrix))  # fmt: skip


def create_app(session: Session, prefix: str = "/") -> Dash:
    """The Dash application of one session.

    Args:
        session: What the page shows and changes.
        prefix: Path under which the browser finds it: that of a proxy, which takes it off again.
    """
    app = Dash(
        __name__,
        title=f"{session.title} - prunescope",
        update_title="",
        assets_folder=str(files("prunescope.assets")),
        assets_ignore=THEME_SCRIPT,
        requests_pathname_prefix=prefix,
        routes_pathname_prefix="/",
        serve_locally=True,
        enable_mcp=False,
        # figures are put into their panels when these are opened
        suppress_callback_exceptions=True,
    )
    # before the styles, so that the page is never painted in the other scheme
    theme = f'<script src="{app.get_asset_url(THEME_SCRIPT)}"></script>'
    app.index_string = app.index_string.replace("{%css%}", theme + "{%css%}")
    drawings = Drawings()
    app.layout = lambda: page(session, drawings)
    graph.register(app)
    side.register(app)
    keys.register(app)
    for panel in (group, naive, why, locked, importance, cut, versions, matrix):
        panel.register(app, session)
    _register_graph_data(app, session, drawings)
    _register_shell(app, session)
    return app


def page(session: Session, drawings: Drawings) -> Any:
    """The whole page as it is when it is opened: what each part shows is sent with it, and not asked for again."""
    # first: what changes while the page is made, is seen as a change by the page
    revision = session.revision
    version, job = session.version, session.last_job
    outline = drawings.outline(version)
    picture, opened, *off = drawn(outline, outline.initial_open())
    levels = (ids.GRAPH_OPEN_LEVEL, ids.GRAPH_CLOSE_LEVEL)
    sent = {
        ids.PICTURE: picture,
        ids.GROUPS: drawings.groups(version),
        ids.LAYERS: drawings.layers(version),
        ids.WIDTHS: widths_record(session.versions[0].graph, version.graph),
        ids.KEYS: keys_record(),
    }
    return dmc.MantineProvider(
        html.Div(
            [
                _head(session),
                html.Div(UNREACHABLE, id=ids.UNREACHABLE, className="unreachable", hidden=True, role="status"),
                html.Aside(side.layout(), className="page-side", **aria(label="Groups and layers")),
                html.Main(graph.layout(sent, list(compress(levels, off))), className="page-stage"),
                html.Div(versions.strip(session), className="page-versions"),
                html.Aside(_panel(session), className="page-panel", **aria(label="Inspector")),
                locked.dialog(),
                keys.dialog(),
                dcc.Interval(id=ids.POLL, interval=POLL_MS),
                dcc.Store(id=ids.SHOWN, data=version.id),
                dcc.Store(id=ids.REVISION, data=revision),
                dcc.Store(id=ids.OPENED, data=opened),
                dcc.Store(id=ids.JOB_STATE, data=job_record(job)),
                dcc.Store(id=ids.SCHEME),
                dcc.Store(id=ids.ADDRESS),
                html.Div(id=ids.TOUR, className="tour", hidden=True, role="dialog", **aria(label="First steps")),
            ],
            className="page",
        ),
        id=ids.PROVIDER,
        defaultColorScheme="auto",
        theme={"primaryColor": "indigo"},
    )


def _head(session: Session) -> Component:
    return html.Header(
        [
            html.Strong("prunescope", className="brand"),
            html.Span(session.title, className="model-title", title=session.note),
            html.Div(
                head_numbers(session.versions[0], session.version), id=ids.HEAD_NUMBERS, className="head-numbers"
            ),
            html.Button(cut.job_pill(session.last_job), id=ids.HEAD_JOB, className="head-job", title="Open Cut"),
            html.Div(
                [
                    html.Button("Undo", id=ids.UNDO, className="button", disabled=not session.can_undo),
                    html.Button("Redo", id=ids.REDO, className="button", disabled=not session.can_redo),
                    html.Button("◐", id=ids.SCHEME_TOGGLE, className="button", title="Light or dark (t)",
                                **aria(label="Light or dark")),
                    html.Button("?", id=ids.HELP, className="button", title="Keys and help (?)",
                                **aria(label="Keys and help")),
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


def _register_graph_data(app: Dash, session: Session, drawings: Drawings) -> None:
    @app.callback(
        Output(ids.PICTURE, "data"),
        Output(ids.OPENED, "data"),
        Output(ids.GRAPH_OPEN_LEVEL, "disabled"),
        Output(ids.GRAPH_CLOSE_LEVEL, "disabled"),
        Input(ids.TOGGLE, "data"),
        Input(ids.REVEAL, "data"),
        Input(ids.GRAPH_OPEN_LEVEL, "n_clicks"),
        Input(ids.GRAPH_CLOSE_LEVEL, "n_clicks"),
        Input(ids.SHOWN, "data"),
        Input(ids.PLAIN, "checked"),
        Input(ids.ADDRESS, "data"),
        State(ids.OPENED, "data"),
        prevent_initial_call=True,
    )
    def draw(
        toggle: Any,
        reveal: Any,
        more: int | None,
        less: int | None,
        shown: int,
        plain: bool,
        address: Any,
        opened: Sequence[str],
    ) -> tuple[dict[str, Any], list[str], bool, bool]:
        outline = drawings.outline(session.version, bool(plain))
        wishes = {ids.TOGGLE: toggle, ids.REVEAL: reveal, ids.ADDRESS: address}
        data = wishes.get(str(ctx.triggered_id))
        made = drawn(outline, opened_after(outline, opened, ctx.triggered_id, data))
        session.opened = tuple(made[1])
        return made

    @app.callback(
        Output(ids.GROUPS, "data"),
        Output(ids.LAYERS, "data"),
        Output(ids.WIDTHS, "data"),
        Input(ids.SHOWN, "data"),
        prevent_initial_call=True,
    )
    def couple(shown: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        version = session.version
        widths = widths_record(session.versions[0].graph, version.graph)
        return drawings.groups(version), drawings.layers(version), widths


def _register_shell(app: Dash, session: Session) -> None:
    @app.callback(
        Output(ids.REVISION, "data"),
        Output(ids.SHOWN, "data"),
        Output(ids.FOCUS, "data"),
        Output(ids.JOB_STATE, "data"),
        Input(ids.POLL, "n_intervals"),
        State(ids.DRAWN, "data"),
        State(ids.REVISION, "data"),
        State(ids.SHOWN, "data"),
        State(ids.FOCUS, "data"),
        State(ids.JOB_STATE, "data"),
        # the page as it is sent is up to date; a first call would hold back whatever waits for these
        prevent_initial_call=True,
    )
    def poll(ticks: int, drawn: bool | None, *seen: Any) -> tuple[Any, ...]:
        if drawn:
            session.seen()
        chosen = session.wanted
        now = (session.revision, session.version.id, chosen and asdict(chosen), job_record(session.last_job))
        return tuple(no_update if new == old else new for new, old in zip(now, seen, strict=True))

    @app.callback(
        Output(ids.JOB, "children"),
        Output(ids.HEAD_JOB, "children"),
        Input(ids.JOB_STATE, "data"),
        prevent_initial_call=True,
    )
    def tell(state: dict[str, Any] | None) -> tuple[Component | None, Component | None]:
        return cut.job_note(session.last_job), cut.job_pill(session.last_job)

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
        Output(ids.SHOWN, "data", allow_duplicate=True),
        Input(ids.ADDRESS, "data"),
        prevent_initial_call=True,
    )
    def go_to(address: dict[str, Any]) -> Any:
        """The version that the address names, where there is one."""
        wanted = address.get("version")
        if not isinstance(wanted, int) or not 0 <= wanted < len(session.versions) or wanted == session.version.id:
            return no_update
        return session.show(wanted).id

    @app.callback(
        Output(ids.HEAD_NUMBERS, "children"),
        Output(ids.UNDO, "disabled"),
        Output(ids.REDO, "disabled"),
        Input(ids.REVISION, "data"),
        prevent_initial_call=True,
    )
    def head(revision: int) -> tuple[list[Component], bool, bool]:
        numbers = head_numbers(session.versions[0], session.version)
        return numbers, not session.can_undo, not session.can_redo

    app.clientside_callback(
        ClientsideFunction("shell", "scheme"),
        Output(ids.SCHEME, "data"),
        Output(ids.PROVIDER, "forceColorScheme"),
        Input(ids.SCHEME_TOGGLE, "n_clicks"),
        State(ids.SCHEME, "data"),
    )
    app.clientside_callback(ClientsideFunction("shell", "drawn"), Input(ids.DRAWN, "data"), prevent_initial_call=True)

    @app.callback(Input(ids.SELECTION, "data"), Input(ids.SHOWN, "data"), prevent_initial_call=True)
    def hear(selection: dict[str, Any] | None, shown: int) -> None:
        found = selection or {}
        session.clicked(found.get("layer"), "in" if found.get("side") == "in" else "out")

    app.clientside_callback(
        ClientsideFunction("shell", "selected"), Input(ids.SELECTION, "data"), State(ids.GROUPS, "data")
    )
    app.clientside_callback(
        ClientsideFunction("address", "write"),
        Input(ids.SHOWN, "data"),
        Input(ids.SELECTION, "data"),
        Input(ids.OPENED, "data"),
        Input(ids.PANEL_TABS, "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("shell", "openCut"),
        Output(ids.PANEL_TABS, "value"),
        Input(ids.HEAD_JOB, "n_clicks"),
        prevent_initial_call=True,
    )


def head_numbers(original: Version, version: Version) -> list[Component]:
    """What was and what is, each with its unit."""
    rows = (
        ("parameters", quantity(original.parameters), quantity(version.parameters)),
        ("MACs", quantity(original.macs), quantity(version.macs)),
        ("latency", latency_text(original), latency_text(version)),
        ("accuracy", _accuracy(original), _accuracy(version)),
    )
    changed = version.id != original.id
    return [
        html.Div(
            [html.Span(name), html.Div([*([f"{before} → "] if changed and before else []), html.B(after or "…")])],
            className="head-number",
        )
        for name, before, after in rows
        if after or before
    ]


def _accuracy(version: Version) -> str:
    return "" if version.accuracy is None else f"{version.accuracy:.1%}"
