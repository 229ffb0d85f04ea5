"""Why not, and why these two: padlocks, the chain between two layers and the table of reasons in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from prunescope.core.graph import Lock
from prunescope.core.why import chain
from prunescope.explorer import ids
from prunescope.explorer.gallery import OpenedModel, open_model
from prunescope.explorer.session import Session
from tests.browser.explorer_page import CY, Explorer, visited

FIRST, SECOND = "conv1", "layer1.2.bn2"  # the ends of a chain along the residual stream

# Whether the canvas has the padlock's colour just inside its disc, on a corner of a box.
PADLOCK = """async ([id, place]) => {
    for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
    const cy = CY, box = cy.getElementById(id), at = box.renderedPosition(), ratio = window.devicePixelRatio;
    const sign = { in: -1, out: 1 }[place] || 0;
    const size = Math.min(Math.max(0.8 / cy.zoom(), 1), 1.7) * cy.zoom();
    const x = at.x + (box.data("width") / 2 + 2) * cy.zoom() + 6 * size;
    const y = at.y + sign * (box.data("height") / 2) * cy.zoom();
    const canvas = document.querySelector(".graph-overlay");
    const pixel = canvas.getContext("2d").getImageData(Math.floor(x * ratio), Math.floor(y * ratio), 1, 1).data;
    const swatch = document.createElement("canvas").getContext("2d");
    swatch.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--graph-lock").trim();
    swatch.fillRect(0, 0, 1, 1);
    const colour = swatch.getImageData(0, 0, 1, 1).data;
    return [0, 1, 2, 3].every((part) => Math.abs(pixel[part] - colour[part]) < 24);
}""".replace("CY", CY)


@pytest.fixture(scope="module", params=["digits-resnet", "digits-vit"])
def opened(request: pytest.FixtureRequest) -> OpenedModel:
    return open_model(request.param)


@pytest.fixture
def session(opened: OpenedModel) -> Session:
    return Session(opened.model, opened.example_inputs, title=opened.title)


@pytest.fixture
def explorer(page: Page, session: Session) -> Iterator[Explorer]:
    with visited(page, session) as explorer:
        yield explorer


@pytest.fixture
def resnet(page: Page) -> Iterator[tuple[Explorer, Session]]:
    opened = open_model("digits-resnet")
    session = Session(opened.model, opened.example_inputs, title=opened.title)
    with visited(page, session) as explorer:
        yield explorer, session


def locks_by_layer(session: Session) -> dict[str, list[Lock]]:
    """What the core cannot cut of each layer: the group of its output, and the parameters that it reads."""
    graph = session.version.graph
    found: dict[str, list[Lock]] = {}
    for layer in graph.layers:
        group = graph.group_of(layer.name)
        own = [group.lock] if group and group.lock else []
        own += [lock for lock in graph.locks if lock.parameter in layer.parameters]
        if own:
            found[layer.name] = own
    return found


def test_every_layer_that_cannot_be_cut_carries_a_padlock_and_no_other(explorer: Explorer, session: Session) -> None:
    locked = locks_by_layer(session)
    marks = explorer.state()["padlocks"]
    layers = {name: places for name, places in marks.items() if not name.startswith("module:")}
    assert {name for name, places in layers.items() if places} == set(locked) & set(layers)
    assert set(locked) <= set(layers)
    for scheme in ("light", "dark"):
        explorer.page.evaluate(f"document.documentElement.setAttribute('data-mantine-color-scheme', '{scheme}')")
        for name, places in layers.items():
            explorer.place(name)
            drawn = [place for place in ("in", "weight", "out") if explorer.page.evaluate(PADLOCK, [name, place])]
            assert (name, sorted(drawn)) == (name, sorted(place for place, _ in places))


def test_a_locked_layer_says_its_reason_and_where_it_arises_on_hover_and_in_the_panel(
    explorer: Explorer, session: Session
) -> None:
    panel = explorer.part(ids.GROUP_PANEL)
    for name, locks in locks_by_layer(session).items():
        explorer.page.mouse.move(**explorer.place(name))
        tip = explorer.page.locator(".graph-tip[data-shown]")
        for lock in locks:
            for text in (lock.reason, lock.layer, lock.source):
                expect(tip).to_contain_text(text)
        explorer.click(name)
        expect(panel.locator(".lock-note").first).to_be_visible()
        for lock in locks:
            for text in (lock.reason[1:], lock.layer, lock.source):
                expect(panel.locator(".lock-note", has_text=lock.reason[1:])).to_contain_text(text)


def check_chain(explorer: Explorer, session: Session, first: str, second: str) -> None:
    """Graph and panel show the core's chain, in order; a layer in a closed module is shown by the module."""
    links = chain(session.version.graph, first, second)
    explorer.page.wait_for_function("() => prunescope.graph.state().chain?.steps")
    shown = explorer.state()["chain"]
    assert (shown["first"], shown["second"]) == (first, second)
    homes = {
        layer: next(box for box in shown["steps"] if holds(box, layer)) for layer in (link.layer for link in links)
    }
    for number, link in enumerate(links, 1):
        assert number in shown["steps"][homes[link.layer]]
    assert sum(map(len, shown["steps"].values())) == len(links)
    steps = explorer.part(ids.WHY_ANSWER).locator("li")
    expect(steps).to_have_count(len(links))
    for number, link in enumerate(links):
        for text in (link.layer, link.operation.removeprefix("aten."), link.source):
            expect(steps.nth(number)).to_contain_text(text)


def holds(box: str, layer: str) -> bool:
    return box == layer or f"module:{layer}".startswith(f"{box}.")


def leave(explorer: Explorer, selected: str) -> None:
    """Escape leaves the chain, and the selection stays."""
    explorer.page.keyboard.press("Escape")
    explorer.page.wait_for_function("() => prunescope.graph.state().chain === null")
    expect(explorer.part(ids.WHY_ANSWER)).to_be_empty()
    assert explorer.state()["selected"] == selected


def shift_click(explorer: Explorer, layer: str) -> None:
    at = explorer.place(layer)
    explorer.page.keyboard.down("Shift")
    explorer.page.mouse.click(**at, delay=10)
    explorer.page.keyboard.up("Shift")


def choose(explorer: Explorer, second: str) -> None:
    """Type the name into the choice, and take the only layer that is listed then."""
    explorer.part(ids.WHY_SECOND).fill(second)
    expect(explorer.page.get_by_role("option", name=second, exact=True)).to_be_visible()
    explorer.page.keyboard.press("ArrowDown")
    explorer.page.keyboard.press("Enter")


def test_a_shift_click_on_a_second_layer_shows_what_ties_it_to_the_first(resnet: tuple[Explorer, Session]) -> None:
    explorer, session = resnet
    explorer.reveal(SECOND)
    explorer.click(FIRST)
    shift_click(explorer, SECOND)
    check_chain(explorer, session, FIRST, SECOND)
    edges = explorer.state()["chain"]["edges"]
    assert "layer1.2.bn2 > layer1.2.add" in edges
    assert "layer1.2.conv2 > layer1.2.bn2" not in edges
    leave(explorer, FIRST)
    explorer.part(ids.GRAPH).focus()
    explorer.page.keyboard.press("Escape")
    explorer.page.wait_for_function("() => prunescope.graph.state().selected === null")


def test_the_second_layer_can_be_chosen_by_the_keyboard_and_is_found_in_its_closed_module(
    resnet: tuple[Explorer, Session],
) -> None:
    explorer, session = resnet
    assert SECOND not in explorer.state()["visible"]
    expect(explorer.part(ids.WHY_PART)).to_be_hidden()
    explorer.click(FIRST)
    choice = explorer.part(ids.WHY_SECOND)
    choice.focus()
    for second in (SECOND, "layer1.0.conv2"):
        choose(explorer, second)
        explorer.page.wait_for_function("name => prunescope.graph.state().chain?.second === name", arg=second)
        check_chain(explorer, session, FIRST, second)
    leave(explorer, FIRST)
    expect(choice).to_have_value("")
    choose(explorer, FIRST)
    expect(choice).to_have_value("")  # a layer does not ask about itself
    assert explorer.state()["chain"] is None


def test_a_member_asks_why_it_goes_with_the_selected_layer_and_a_step_is_brought_into_view(
    resnet: tuple[Explorer, Session],
) -> None:
    explorer, session = resnet
    explorer.click(FIRST)
    explorer.page.get_by_role("button", name=f"Why does {SECOND} go with the selected layer?").click()
    check_chain(explorer, session, FIRST, SECOND)
    explorer.part(ids.WHY_ANSWER).get_by_role("button", name="layer1.1.add").click()
    explorer.page.wait_for_function("() => prunescope.graph.state().visible.includes('layer1.1.add')")
    check_chain(explorer, session, FIRST, SECOND)
    assert explorer.state()["chain"]["steps"]["layer1.1.add"] == [2]
    explorer.part(ids.WHY_ANSWER).get_by_role("button", name="Leave the chain").click()
    explorer.page.wait_for_function("() => prunescope.graph.state().chain === null")


def test_where_nothing_ties_two_layers_the_page_says_so(resnet: tuple[Explorer, Session]) -> None:
    explorer, session = resnet
    assert chain(session.version.graph, FIRST, "fc") == ()
    explorer.click(FIRST)
    shift_click(explorer, "fc")
    expect(explorer.part(ids.WHY_ANSWER)).to_contain_text(f"Nothing ties {FIRST} and fc")
    assert explorer.state()["chain"]["edges"] == []
    explorer.click("fc")
    assert explorer.state()["chain"] is None
    expect(explorer.part(ids.WHY_ANSWER)).to_be_empty()


def test_the_table_of_what_cannot_be_cut_has_a_row_for_each_reason_and_leads_to_its_layers(
    explorer: Explorer, session: Session
) -> None:
    locked = locks_by_layer(session)
    reasons = {lock.reason for locks in locked.values() for lock in locks}
    opener = explorer.page.get_by_role("button", name="What cannot be cut")
    opener.focus()
    explorer.page.keyboard.press("Enter")
    dialog = explorer.page.get_by_role("dialog")
    for reason in reasons:
        row = dialog.get_by_role("row").filter(has_text=reason[1:])
        layers = [name for name, locks in locked.items() if reason in {lock.reason for lock in locks}]
        expect(row.get_by_role("cell").first).to_have_text(str(len(layers)))
    row = dialog.get_by_role("row").filter(has_text="model's output")
    row.locator("summary").click()
    layer = next(name for name, locks in locked.items() if "it is the model's output" in {lk.reason for lk in locks})
    row.get_by_role("button", name=layer).click()
    expect(dialog).to_be_hidden()
    assert explorer.state()["selected"] == layer
    opener.click()
    expect(dialog).to_be_visible()
    explorer.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert explorer.state()["selected"] == layer
