"""Search, keys, the tree of layers and what the graph shows besides, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from prunescope.core import DependencyGraph
from prunescope.explorer import ids
from prunescope.explorer.layers import trivial
from prunescope.explorer.session import Session
from tests.browser.explorer_page import CY, Explorer, visited
from tests.browser.opened import cut, digits


@pytest.fixture(scope="module")
def session() -> Session:
    return digits()


@pytest.fixture
def explorer(page: Page, session: Session) -> Iterator[Explorer]:
    session.show(0)
    with visited(page, session) as explorer:
        yield explorer


def marks(explorer: Explorer) -> dict[str, Any]:
    found: dict[str, Any] = explorer.page.evaluate("prunescope.marks.state()")
    return found


def search(explorer: Explorer, text: str) -> list[str]:
    explorer.part(ids.SEARCH).fill(text)
    expect(explorer.part(ids.SEARCH_STATE)).to_contain_text("layer")
    return sorted(marks(explorer)["found"])


def wanted(graph: DependencyGraph, text: str) -> list[str]:
    """What the core says of these words."""
    wide = [layer.name for layer in graph.layers if layer.kind == "Conv2d" and layer.output_shape[1] > 32]
    group = graph.groups[3]
    members = {layer.name for layer in graph.layers if layer.is_module and layer.module in group.layers}
    held = {
        layer.name for layer in graph.layers for side in ("in", "out") if group in graph.groups_of(layer.name, side)
    }
    norms = [layer.name for layer in graph.layers if layer.kind == "BatchNorm2d" and layer.name.startswith("layer3")]
    return sorted({"conv channels>32": wide, "group:3": members | held, "norm layer3": norms}[text])


@pytest.mark.parametrize("text", ["conv channels>32", "group:3", "norm layer3"])
def test_a_search_finds_and_marks_what_the_core_says(explorer: Explorer, session: Session, text: str) -> None:
    assert search(explorer, text) == wanted(session.version.graph, text)


def test_enter_goes_through_what_was_found_and_opens_the_modules_around_it(explorer: Explorer) -> None:
    found = search(explorer, "layer3 conv2")
    for _ in found:
        explorer.part(ids.SEARCH).press("Enter")
        explorer.page.wait_for_function(
            "() => prunescope.graph.state().visible.includes(prunescope.graph.state().selected)"
        )
        assert explorer.state()["selected"] in found
    explorer.part(ids.SEARCH).press("Escape")
    expect(explorer.part(ids.SEARCH)).to_have_value("")
    explorer.page.wait_for_function("() => prunescope.marks.state().found.length === 0")


def test_the_graph_is_walked_selected_and_left_by_keys_alone(explorer: Explorer) -> None:
    press = explorer.page.keyboard.press
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        press(key)
    explorer.page.wait_for_function("() => prunescope.graph.state().selected === 'conv1'")
    press("]")
    explorer.page.wait_for_function("() => prunescope.graph.state().group === 1")
    press("3")
    expect(explorer.page.get_by_role("tab", name="Cut")).to_have_attribute("aria-selected", "true")
    press("Escape")
    explorer.page.wait_for_function("() => prunescope.graph.state().selected === null")
    press("?")
    expect(explorer.page.get_by_role("dialog", name="Keys and mouse")).to_be_visible()


def test_keys_are_heard_where_a_tab_or_a_switch_was_pressed_last(explorer: Explorer) -> None:
    explorer.tab("Cut")
    explorer.page.keyboard.press("1")
    expect(explorer.page.get_by_role("tab", name="Group")).to_have_attribute("aria-selected", "true")
    explorer.page.evaluate("prunescope.graph.select('conv1')")
    explorer.page.get_by_text("Layers", exact=True).click()
    explorer.page.keyboard.press("Escape")
    explorer.page.wait_for_function("prunescope.graph.state().selected === null")


def test_the_view_menu_closes_by_a_press_elsewhere_and_by_escape(explorer: Explorer) -> None:
    menu = explorer.page.locator("details.view[open]")
    for leave in (lambda: explorer.page.mouse.click(500, 850), lambda: explorer.page.keyboard.press("Escape")):
        explorer.page.get_by_text("View", exact=True).click()
        expect(menu).to_have_count(1)
        leave()
        expect(menu).to_have_count(0)


@pytest.mark.parametrize("text", ["macs>abc", "channels>", "colour=3", "group:"])
def test_a_search_that_says_nothing_is_not_taken_for_one_that_finds_nothing(explorer: Explorer, text: str) -> None:
    explorer.part(ids.SEARCH).fill(text)
    expect(explorer.part(ids.SEARCH_STATE)).to_contain_text(f"{text} is not understood")


def test_the_graph_behind_a_dialog_hears_no_key(explorer: Explorer) -> None:
    explorer.page.evaluate("prunescope.graph.select('conv1')")
    explorer.page.keyboard.press("?")
    dialog = explorer.page.get_by_role("dialog", name="Keys and mouse")
    expect(dialog).to_be_visible()
    escape = "new KeyboardEvent('keydown', { key: 'Escape', bubbles: true })"
    explorer.page.evaluate(f"document.activeElement.blur(); document.body.dispatchEvent({escape})")
    expect(dialog).to_be_hidden()
    assert explorer.state()["selected"] == "conv1"


def test_keys_are_letters_where_something_is_typed(explorer: Explorer) -> None:
    explorer.page.keyboard.press("/")
    explorer.page.keyboard.type("norm1")
    expect(explorer.part(ids.SEARCH)).to_have_value("norm1")
    expect(explorer.page.get_by_role("tab", name="Group")).to_have_attribute("aria-selected", "true")


def test_the_tree_mirrors_the_graph_and_opens_and_selects_by_keys(explorer: Explorer) -> None:
    explorer.page.get_by_text("Layers", exact=True).click()
    tree = explorer.part(ids.LAYER_TREE)
    expect(tree.get_by_role("treeitem").first).to_contain_text("input")
    names = tree.get_by_role("treeitem").count()
    state = explorer.state()
    assert names == len(state["visible"]) + len(state["opened"])
    closed = tree.get_by_role("treeitem", name="layer1.0", expanded=False)
    closed.focus()
    closed.press("ArrowRight")
    explorer.page.wait_for_function("() => prunescope.graph.state().visible.includes('layer1.0.conv1')")
    layer = tree.locator("[data-at]").filter(has=explorer.page.get_by_text("conv2", exact=True)).first
    layer.focus()
    layer.press("Enter")
    explorer.page.wait_for_function("() => prunescope.graph.state().selected === 'layer1.0.conv2'")
    expect(layer).to_have_attribute("aria-selected", "true")


def switch(explorer: Explorer, key: str) -> None:
    explorer.page.keyboard.press(key)


def test_trivial_layers_go_and_come_back_and_stay_part_of_their_group(explorer: Explorer, session: Session) -> None:
    hidden = trivial(session.version.graph)
    switch(explorer, "h")
    explorer.page.wait_for_function("() => !prunescope.graph.state().visible.includes('relu')")
    assert not hidden & set(explorer.state()["visible"])
    switch(explorer, "h")
    explorer.page.wait_for_function("() => prunescope.graph.state().visible.includes('relu')")


def test_the_switches_change_what_is_painted(explorer: Explorer) -> None:
    def pixels() -> str:
        content: str = explorer.page.evaluate("document.querySelector('.graph-overlay').toDataURL()")
        return content

    for key, name in (("g", "coloured"), ("s", "shaped")):
        before = pixels()
        switch(explorer, key)
        explorer.page.wait_for_function("name => prunescope.marks.state()[name]", arg=name)
        assert pixels() != before
        switch(explorer, key)
        explorer.page.wait_for_function("name => !prunescope.marks.state()[name]", arg=name)
    small = explorer.page.locator(".graph-map")
    expect(small).to_be_visible()
    switch(explorer, "m")
    expect(small).to_be_hidden()


def test_a_press_on_the_small_map_goes_there(explorer: Explorer) -> None:
    def top() -> float:
        extent: float = explorer.page.evaluate(f"{CY}.extent().y1")
        return extent

    before = top()
    box = explorer.page.locator(".graph-map").bounding_box()
    assert box is not None
    explorer.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 0.9 * box["height"])
    explorer.page.wait_for_function(
        "before => document.getElementById('graph')._cyreg.cy.extent().y1 > before", arg=before
    )


def test_the_boxes_of_a_cut_version_say_their_widths_before_and_now(explorer: Explorer, session: Session) -> None:
    cut(session, 0.5, "half")
    explorer.page.wait_for_function("() => 'conv1' in prunescope.marks.state().widths")
    assert marks(explorer)["widths"]["layer1.0.conv1"] == [16, 8]
    explorer.part(ids.UNDO).click()
    explorer.page.wait_for_function("() => Object.keys(prunescope.marks.state().widths).length === 0")


def test_the_widths_that_a_cut_would_leave_follow_the_slider(explorer: Explorer) -> None:
    explorer.tab("Cut")
    explorer.page.wait_for_function("() => prunescope.marks.state().planned")
    explorer.slide_to(25)
    explorer.page.wait_for_function("() => prunescope.marks.state().planned.conv1[1] === 12")
    explorer.tab("Group")
    explorer.page.wait_for_function("() => prunescope.marks.state().planned === null")
