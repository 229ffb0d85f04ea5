"""The graph view in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.graph_page import Groups, create, served
from tests.explorer.graphs import residual

OPENED = ("layer1", "layer1.0", "layer1.1")
SHARED = [
    ("conv1", "out"),
    ("layer1.0.conv1", "in"),
    ("layer1.0.add", "both"),
    ("layer1.0.relu", "both"),
    ("layer1.1.conv1", "in"),
    ("layer2.0.conv1", "in"),
    ("layer2.0.downsample.0", "in"),
]


def groups() -> Groups:
    """The channels along the shortcuts, the channels between two convolutions, and a lock on the output."""
    inner = [("layer1.0.conv1", "out"), ("layer1.0.bn1", "both"), ("layer1.0.conv2", "in")]
    found = [
        {
            "name": name,
            "kind": "channels",
            "size": 64,
            "members": [{"layer": i, "side": s} for i, s in members],
        }
        for name, members in (("conv1", SHARED), ("layer1.0.conv1", inner))
    ]
    sides: dict[str, dict[str, int | None]] = {layer.id: {"in": None, "out": None} for layer in residual()[0]}
    for number, members in enumerate((SHARED, inner)):
        for layer, side in members:
            sides[layer].update(dict.fromkeys(("in", "out") if side == "both" else (side,), number))
    padlock = {"place": "out", "whole": True, "text": "output side", "reason": "output of the model", "where": "fc"}
    return {"layers": sides, "groups": found, "locked": {"fc": [padlock]}}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(create(residual(), groups(), OPENED)) as url:
        yield url


@pytest.fixture
def graph(page: Page, address: str) -> Page:
    page.goto(address)
    page.wait_for_selector("#graph[data-drawn]")
    page.wait_for_function("prunescope.graph.state().visible.length > 0")
    return page


def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("prunescope.graph.state()")
    return found


def place(page: Page, element: str) -> dict[str, float]:
    """Where the middle of an element is in the window, after it was brought into view."""
    page.evaluate("id => prunescope.graph.show(id)", element.removeprefix("module:"))
    found: dict[str, float] = page.evaluate(
        "id => document.getElementById('graph')._cyreg.cy.getElementById(id).renderedPosition()", element
    )
    return found


def bounds(page: Page, element: str) -> dict[str, float]:
    found: dict[str, float] = page.evaluate(
        "id => document.getElementById('graph')._cyreg.cy.getElementById(id).renderedBoundingBox()", element
    )
    return found


def tap(page: Page, element: str, times: int = 1) -> None:
    page.mouse.click(**place(page, element), click_count=times, delay=10)


def test_tapping_a_layer_lights_its_group_and_names_it(graph: Page) -> None:
    tap(graph, "layer1.0.conv1")
    now = state(graph)
    assert (now["selected"], now["side"], now["group"]) == ("layer1.0.conv1", "out", 1)
    assert sorted(now["lit"]) == ["layer1.0.bn1", "layer1.0.conv1", "layer1.0.conv2"]
    expect(graph.locator("#graph-live")).to_have_text("layer1.0.conv1: group of 3 layers, 64 channels")
    expect(graph.locator("#selected")).to_have_text("layer1.0.conv1 out")


def test_tapping_the_same_layer_again_turns_to_its_other_side_and_back(graph: Page) -> None:
    tap(graph, "layer1.0.conv1")
    graph.wait_for_timeout(400)
    tap(graph, "layer1.0.conv1")
    assert (state(graph)["side"], state(graph)["group"]) == ("in", 0)
    expect(graph.locator("#selected")).to_have_text("layer1.0.conv1 in")
    graph.wait_for_timeout(400)
    tap(graph, "layer1.0.conv1")
    assert (state(graph)["side"], state(graph)["group"]) == ("out", 1)


def test_members_in_closed_modules_light_the_module(graph: Page) -> None:
    graph.evaluate("prunescope.graph.select('conv1')")
    now = state(graph)
    assert sorted(now["lit"]) == sorted(layer for layer, _ in SHARED)
    assert "module:layer2" in now["litBoxes"]
    assert len(now["litBoxes"]) == 6


def test_a_tap_beside_everything_clears_the_selection(graph: Page) -> None:
    tap(graph, "layer1.0.conv1")
    graph.mouse.click(20, 450)
    assert state(graph)["selected"] is None
    assert state(graph)["lit"] == []
    expect(graph.locator("#selected")).to_have_text("None None")


def test_a_locked_layer_says_why(graph: Page) -> None:
    tap(graph, "fc")
    assert state(graph)["group"] is None
    expect(graph.locator("#graph-live")).to_have_text("fc: output side: output of the model")


def test_selecting_what_is_selected_changes_nothing(graph: Page) -> None:
    graph.evaluate("prunescope.graph.select('conv1', 'out')")
    graph.evaluate("performance.clearMarks(); prunescope.graph.select('conv1', 'out')")
    assert graph.evaluate("performance.getEntriesByName('graph-lit').length") == 0


def test_a_double_tap_opens_a_module_in_place_and_keeps_the_selection(graph: Page) -> None:
    graph.evaluate("prunescope.graph.select('conv1')")
    before = place(graph, "module:layer1.2")
    graph.mouse.dblclick(**before, delay=10)
    graph.wait_for_function("prunescope.graph.state().opened.includes('layer1.2')")
    now = state(graph)
    assert "layer1.2.conv1" in now["visible"]
    assert "module:layer1.2" not in now["visible"]
    assert now["selected"] == "conv1"
    frame = bounds(graph, "frame:layer1.2")
    assert (frame["x1"] + frame["x2"]) / 2 == pytest.approx(before["x"], abs=3)


def test_a_tap_on_a_title_closes_the_module(graph: Page) -> None:
    graph.evaluate("prunescope.graph.show('layer1.0')")
    frame = bounds(graph, "frame:layer1.0")
    graph.mouse.click(frame["x1"] + 30, frame["y1"] + 14)
    graph.wait_for_function("prunescope.graph.state().visible.includes('module:layer1.0')")
    assert "layer1.0" not in state(graph)["opened"]


def test_the_pointer_over_a_layer_shows_what_it_is(graph: Page) -> None:
    graph.mouse.move(**place(graph, "layer1.0.conv1"))
    tip = graph.locator(".graph-tip[data-shown]")
    expect(tip).to_contain_text("layer1.0.conv1")
    expect(tip).to_contain_text("Conv2d · 64 × 56 × 56")
    expect(tip).to_contain_text("output f+: 64 channels, 3 layers")


def test_the_start_is_readable_and_the_tools_change_the_zoom(graph: Page) -> None:
    zoom = "document.getElementById('graph')._cyreg.cy.zoom()"
    start = graph.evaluate(zoom)
    assert start >= 0.6
    graph.locator("#graph-zoom-in").click()
    graph.wait_for_function(f"{zoom} > {start} * 1.2")
    graph.locator("#graph-fit-all").click()
    graph.wait_for_function(f"{zoom} < {start}")
    graph.locator("#graph-fit-width").click()
    graph.wait_for_function(f"Math.abs({zoom} - {start}) < 0.001")


def test_the_dark_scheme_recolours_the_graph(graph: Page) -> None:
    colour = "document.getElementById('graph')._cyreg.cy.getElementById('conv1').style('background-color')"
    light = graph.evaluate(colour)
    graph.evaluate("document.documentElement.setAttribute('data-mantine-color-scheme', 'dark')")
    graph.wait_for_function(f"{colour} !== '{light}'")


def test_the_canvas_can_be_reached_and_is_named(graph: Page) -> None:
    canvas = graph.locator("#graph")
    expect(canvas).to_have_attribute("role", "img")
    expect(canvas).to_have_attribute("tabindex", "0")
    expect(canvas).to_have_attribute("aria-label", "Layers of the model and the data that flows between them")


def test_heat_is_painted_and_taken_away(graph: Page) -> None:
    picture = "document.querySelector('.graph-overlay').toDataURL()"
    plain = graph.evaluate(picture)
    graph.evaluate("prunescope.graph.heat({conv1: 0.7})")
    assert graph.evaluate(picture) != plain
    graph.evaluate("prunescope.graph.heat(null)")
    assert graph.evaluate(picture) == plain
