"""The page's figures, from code: for a paper, a report or a notebook."""

from __future__ import annotations

from typing import Literal

import plotly.graph_objects as go

from prunescope.core.matrices import matrices
from prunescope.explorer.actions import selected_group
from prunescope.explorer.panels.importance import group_figure, overview_figure
from prunescope.explorer.panels.matrix import MOST_SIDES, dependency_figure, grouping_figure
from prunescope.explorer.panels.sensitivity import sweep_figure
from prunescope.explorer.panels.tradeoff import versions_figure
from prunescope.explorer.session import Session
from prunescope.explorer.view import overview_heatmap, version_rows


def figures(
    session: Session, *, criterion: str = "magnitude", scheme: Literal["light", "dark"] = "light"
) -> dict[str, go.Figure]:
    """The figures that the page shows of the version on screen, by name; each only where there is something to show.

    "group" (the members and units of the selected layer's group), "overview" (all groups), "dependency" and "grouping"
    (the paper's matrices D and G), "sensitivity" (what was swept so far) and "versions" (what each of them costs).
    `figure.write_html` writes any of them; `figure.write_image("name.png")` needs `pip install kaleido`.

    Args:
        session: What `explore` gave.
        criterion: How units are rated, a name of `prunescope.core.CRITERIA`.
        scheme: Ink for light or for dark paper; the background is transparent.

    Raises:
        PrunescopeError: the units cannot be rated so.
    """
    graph = session.version.graph
    found: dict[str, go.Figure] = {}
    where = session.selection
    selection = {"layer": where.layer, "side": where.side} if where else None
    group = selected_group(session, selection)
    if group is not None and not group.lock:
        found["group"] = group_figure(session, selection, criterion, scheme)
    if graph.groups:
        found["overview"] = overview_figure(overview_heatmap(graph, session.scores(criterion)), scheme)
    sides = matrices(graph)
    if 0 < len(sides.sides) <= MOST_SIDES:
        found["dependency"] = dependency_figure(sides, scheme)
        found["grouping"] = grouping_figure(sides, session, scheme)
    sweep = session.sweep()
    if sweep is not None and sweep.cuts:
        found["sensitivity"] = sweep_figure(sweep.cuts, sweep.original, scheme)
    rows = version_rows(session)
    measured = all(row["latency"] is not None for row in rows)
    return {**found, "versions": versions_figure(rows, scheme, "latency" if measured else "macs")}
