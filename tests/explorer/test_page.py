"""The page as it is put together: no two parts take each other's place."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest

from prunescope.explorer.app import create_app
from prunescope.explorer.compared import layer_changes, pair
from prunescope.explorer.keys import KEYS
from prunescope.explorer.panels.tradeoff import front
from prunescope.explorer.panels.versions import tree_places
from prunescope.explorer.session import Session
from prunescope.explorer.svg import colours
from tests.command import REPOSITORY
from tests.models import flattened, image


@pytest.fixture(scope="module")
def session() -> Session:
    from prunescope.core import plan

    session = Session(flattened(), image())
    session.apply(plan(session.version.graph, session.scores(), 0.5))
    return session


def test_no_two_callbacks_have_one_id(session: Session) -> None:
    """Dash names a callback without outputs by its inputs, and keeps the last of a name without a word."""
    counts = Counter(callback["output"] for callback in create_app(session)._callback_list)
    assert [name for name, count in counts.items() if count > 1] == []


def test_every_key_does_something_of_its_own_that_the_script_knows() -> None:
    assert max(Counter(key.press for key in KEYS).values()) == 1
    assert max(Counter(key.does for key in KEYS).values()) == 1
    script = (REPOSITORY / "assets" / "keys.js").read_text()
    table = script.partition("const ACTIONS = {")[2].partition("};")[0]
    assert set(re.findall(r"^\s+(\w+)[:,]", table, re.MULTILINE)) == {key.does for key in KEYS}


@pytest.mark.parametrize(
    ("parents", "places"),
    [
        ([None], [(0, 0)]),
        ([None, 0, 1], [(0, 0), (1, 0), (2, 0)]),
        ([None, 0, 0, 1, 2, 1], [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]),
    ],
)
def test_the_first_child_goes_on_in_its_parents_row_and_no_two_versions_share_a_place(
    parents: list[int | None], places: list[tuple[int, int]]
) -> None:
    found = tree_places(parents)
    assert len(set(found)) == len(parents)
    assert [column for column, _ in found] == [column for column, _ in places]
    for number, parent in enumerate(parents):
        if parent is not None and parents.index(parent) == number:
            assert found[number][1] == found[parent][1]


def test_the_front_is_what_no_other_point_beats() -> None:
    points = [(3.0, 90.0), (1.0, 50.0), (2.0, 40.0), (2.0, 80.0), (5.0, 90.0)]
    kept = [points[at] for at in front(points)]
    assert kept == [(1.0, 50.0), (2.0, 80.0), (3.0, 90.0)]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(kept))


def test_a_layers_change_is_what_the_two_graphs_say(session: Session) -> None:
    before, after = (version.graph for version in session.versions)
    rows = {row.name: row for row in layer_changes(before, after)}
    assert rows["0"].width == (8, 4)
    assert rows["0"].macs == (before.layer("0").macs, after.layer("0").macs)
    assert rows["5"].parameters == (12 * 16 * 5 + 5, 6 * 16 * 5 + 5)
    assert not any(row.changed for row in layer_changes(before, before))


def test_the_pair_is_the_version_on_screen_beside_its_parent_unless_chosen(session: Session) -> None:
    assert [version.id for version in pair(session, None, None)] == [0, 1]
    assert [version.id for version in pair(session, "1", "0")] == [1, 0]
    assert [version.id for version in pair(session, "77", "x")] == [0, 1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "paper"),
    [("text", "surface"), ("text-muted", "surface"), ("text-muted", "page"), ("graph-text", "graph-canvas"),
     ("graph-muted", "kind-conv"), ("graph-on-accent", "accent"), ("danger", "surface"), ("text", "accent-soft"),
     ("graph-box-text", "graph-found"), ("graph-on-accent", "graph-in"), ("graph-on-accent", "graph-out")],
)  # fmt: skip
def test_text_can_be_read_on_what_it_stands_on(scheme: str, ink: str, paper: str) -> None:
    """WCAG 2.1 AA: a contrast of 4.5 to 1."""
    table = colours("light" if scheme == "light" else "dark")
    light, dark = sorted((luminance(table[ink]), luminance(table[paper])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
