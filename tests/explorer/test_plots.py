"""The page's figures from code."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prunescope.core import plan
from prunescope.core.matrices import matrices
from prunescope.explorer import Session, figures
from tests.models import flattened, image


def test_each_figure_shows_what_the_core_says_of_the_version_on_screen() -> None:
    session = Session(flattened(), image())
    made = figures(session)
    assert set(made) == {"overview", "dependency", "grouping", "versions"}
    graph = session.version.graph
    assert list(made["overview"].data[0].y) == [group.name for group in graph.groups]
    assert np.array_equal(np.asarray(made["dependency"].data[0].z, dtype=bool), matrices(graph).dependency)
    group = graph.groups[0]
    session.select(group.layers[0])
    session.apply(plan(graph, session.scores(), ratio=0.5), "half")
    made = figures(session, scheme="dark")
    left = session.version.graph.group(group.name).size
    assert len(made["group"].data[0].x) == left < group.size
    assert list(made["versions"].data[-1].text) == ["original", "half"]


def test_a_figure_is_written_as_a_page(tmp_path: Path) -> None:
    path = tmp_path / "overview.html"
    session = Session(flattened(), image())
    figures(session)["overview"].write_html(path, include_plotlyjs=False)
    assert all(group.name in path.read_text() for group in session.version.graph.groups)
