"""The way through the explorer in a real browser: open, click, cut, compare."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, Route, expect
from safetensors.torch import load
from torch import nn

from prunescope.core import Plan, plan, predicted, prune
from prunescope.core.cost import Cost
from prunescope.core.graph import Side
from prunescope.explorer import ids
from prunescope.explorer.gallery import OpenedModel, open_model
from prunescope.explorer.gallery.fit import fit
from prunescope.explorer.gallery.models import DigitsResNet
from prunescope.explorer.server import serve
from prunescope.explorer.session import Session
from prunescope.explorer.view import group_layers, quantity
from tests.browser.explorer_page import PATIENCE, Explorer, layers_of, visited
from tests.command import running
from tests.models import NoNarrower, image

SECONDS = 1000.0
INNER = "layer3.2.conv1"  # a convolution whose two sides are in different groups
SIDES: tuple[Side, Side] = ("out", "in")


def one_epoch(model: nn.Module, report: Callable[[int, int, float, float], None]) -> None:
    fit(model, report, epochs=1, learning_rate=3e-4, seed=0)


@pytest.fixture(scope="module")
def opened() -> OpenedModel:
    return open_model("digits-resnet")


@pytest.fixture
def session(opened: OpenedModel) -> Session:
    return Session(opened.model, opened.example_inputs, evaluate=opened.evaluate, train=one_epoch, title=opened.title)


@pytest.fixture
def explorer(page: Page, session: Session) -> Iterator[Explorer]:
    with visited(page, session) as explorer:
        yield explorer


def check_selection(explorer: Explorer, session: Session, layer: str, side: Side) -> None:
    """The page's highlight is the core's group, and every member that is visible shows its sides."""
    graph = session.version.graph
    group, now = graph.group_of(layer, side), explorer.state()
    assert (now["selected"], now["side"]) == (layer, side)
    assert sorted(now["lit"]) == layers_of(graph, group)
    assert (now["group"] is None) == (group is None)
    sides = group_layers(graph, group) if group else {}
    for name in now["visible"]:
        if not name.startswith("module:"):
            assert (name, explorer.ports(name)) == (name, sides.get(name, "none"))


def test_a_click_lights_the_cores_group_a_second_that_of_the_other_side_and_one_beside_everything_none(
    explorer: Explorer, session: Session
) -> None:
    explorer.reveal(INNER)
    explorer.click(INNER)
    check_selection(explorer, session, INNER, "out")
    explorer.click(INNER)
    check_selection(explorer, session, INNER, "in")
    stage = explorer.part(ids.GRAPH).bounding_box()
    assert stage is not None
    explorer.page.mouse.click(stage["x"] + 8, stage["y"] + stage["height"] / 2)
    explorer.page.wait_for_function("prunescope.graph.state().selected === null")
    assert explorer.state()["lit"] == []
    assert explorer.ports(INNER) == "none"


def test_a_click_on_any_layer_lights_what_the_core_says(explorer: Explorer, session: Session) -> None:
    graph = session.version.graph
    layers = [name for name in explorer.state()["visible"] if not name.startswith("module:")]
    assert len(layers) > 5
    for layer in layers:
        explorer.click(layer)
        now = explorer.state()
        assert sorted(now["lit"]) == layers_of(graph, graph.group_of(layer, now["side"]))


def test_a_double_click_opens_a_module_whose_layers_can_then_be_clicked(explorer: Explorer, session: Session) -> None:
    closed = next(box for box in explorer.state()["visible"] if box.startswith("module:"))
    module = closed.removeprefix("module:")
    inside = [layer.name for layer in session.version.graph.layers if layer.name.startswith(f"{module}.")]
    assert not set(inside) & set(explorer.state()["visible"])
    explorer.double_click(closed)
    explorer.page.wait_for_function("name => prunescope.graph.state().opened.includes(name)", arg=module)
    shown = [layer for layer in inside if layer in explorer.state()["visible"]]
    assert shown
    explorer.click(shown[0])
    check_selection(explorer, session, shown[0], explorer.state()["side"])


def test_what_the_browser_counts_as_a_double_click_is_one_however_late_its_second_half_comes(
    explorer: Explorer,
) -> None:
    closed = next(box for box in explorer.state()["visible"] if box.startswith("module:"))
    place, mouse = explorer.place(closed), explorer.page.mouse
    mouse.move(place["x"], place["y"])
    for count in (1, 2):
        mouse.down(click_count=count)
        mouse.up(click_count=count)
        explorer.page.wait_for_timeout(1000)
    assert closed.removeprefix("module:") in explorer.state()["opened"]


def check_preview(explorer: Explorer, before: Cost, after: Cost) -> None:
    rows = explorer.part(ids.PREVIEW).locator(".preview-row")
    for name in ("parameters", "macs"):
        was, left = getattr(before, name), getattr(after, name)
        row = rows.filter(has_text=name.replace("macs", "MACs").replace("para", "Para"))
        expect(row).to_contain_text(f"{quantity(was)} → {quantity(left)}")
        expect(row).to_contain_text(f"{100 * left / was:.0f} % left")


def test_the_slider_shows_what_the_core_predicts_before_anything_is_cut(explorer: Explorer, session: Session) -> None:
    graph, scores = session.version.graph, session.scores()
    before = predicted(graph, plan(graph, scores, ratio=0))
    explorer.reveal(INNER)
    explorer.click(INNER)
    group = graph.group_of(INNER)
    assert group is not None
    explorer.tab("Cut")
    for scope, names, percents in (("All groups", None, (50, 41, 62)), ("Selected group", [group.name], (62, 70))):
        explorer.page.get_by_text(scope, exact=True).click()
        for percent in percents:
            explorer.slide_to(percent)
            check_preview(explorer, before, predicted(graph, plan(graph, scores, ratio=percent / 100, groups=names)))
    assert len(session.versions) == 1


def wait_for_version(explorer: Explorer, session: Session, name: str) -> None:
    """Until the page shows a version of this name as the one on screen, and its measurement is over."""
    shown = explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")
    expect(shown).to_contain_text(name, timeout=PATIENCE * SECONDS)
    session.jobs.wait(PATIENCE)


def check_comparison(explorer: Explorer, session: Session) -> None:
    """Header and table say of every version what the session has measured."""
    original, version = session.versions[0], session.version
    head = explorer.part(ids.HEAD_NUMBERS)
    assert original.accuracy is not None
    assert version.accuracy is not None
    for was, now in (
        (quantity(original.parameters), quantity(version.parameters)),
        (quantity(original.macs), quantity(version.macs)),
        (f"{original.accuracy:.1%}", f"{version.accuracy:.1%}"),
    ):
        expect(head).to_contain_text(f"{was} → {now}", timeout=PATIENCE * SECONDS)
    rows = explorer.part(ids.VERSION_TABLE).locator("tbody tr")
    expect(rows).to_have_count(len(session.versions))
    for number, measured in enumerate(session.versions):
        assert measured.latency is not None
        for text in (
            measured.name,
            quantity(measured.parameters),
            quantity(measured.macs),
            f"{measured.latency.median_ms:.3g}",
            f"{measured.accuracy:.2%}",
        ):
            expect(rows.nth(number)).to_contain_text(text)


def test_a_cut_from_the_click_to_the_comparison_and_back(
    explorer: Explorer, session: Session, opened: OpenedModel, tmp_path: Path
) -> None:
    session.start()
    explorer.reveal(INNER)
    explorer.click(INNER)
    explorer.tab("Cut")
    explorer.page.get_by_text("Selected group", exact=True).click()
    explorer.slide_to(45)
    expected = plan(session.version.graph, session.scores(), ratio=0.45, groups=[INNER])
    session.jobs.wait(PATIENCE)
    explorer.part(ids.APPLY).click()
    wait_for_version(explorer, session, f"45 % of {INNER}")
    cut = session.version
    assert cut.pruned is not None
    assert cut.pruned.plan == expected

    explorer.tab("Compare")
    assert opened.evaluate is not None
    assert cut.accuracy == session.versions[1].accuracy == opened.evaluate(cut.model)
    check_comparison(explorer, session)
    check_selection(explorer, session, INNER, "out")

    explorer.part(ids.UNDO).click()
    wait_for_version(explorer, session, "original")
    expect(explorer.part(ids.UNDO)).to_be_disabled()
    expect(explorer.part(ids.HEAD_NUMBERS)).not_to_contain_text("→")
    explorer.part(ids.REDO).click()
    wait_for_version(explorer, session, cut.name)
    expect(explorer.part(ids.REDO)).to_be_disabled()

    explorer.tab("Cut")
    explorer.part(ids.TUNE).click()
    wait_for_version(explorer, session, f"{cut.name}, tuned")
    explorer.tab("Compare")
    check_comparison(explorer, session)
    assert [version.parent for version in session.versions] == [None, 0, 1]

    check_files(explorer, session, tmp_path)


def check_files(explorer: Explorer, session: Session, folder: Path) -> None:
    """What two of the buttons give makes the version on screen again from the original class."""
    for button, name in (("Weights", "weights"), ("Plan", "plan")):
        with explorer.page.expect_download() as download:
            explorer.page.get_by_role("button", name=button, exact=True).click()
        download.value.save_as(folder / name)
    model: nn.Module = DigitsResNet()
    for made in json.loads((folder / "plan").read_text()):
        model = prune(model, Plan.from_json(json.dumps(made))).model
    model.load_state_dict(load((folder / "weights").read_bytes()))
    images = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), session.model(images))


def test_the_scheme_changes_the_page_and_back(explorer: Explorer) -> None:
    seen = []
    for _ in range(3):
        seen.append(explorer.page.evaluate("document.documentElement.getAttribute('data-mantine-color-scheme')"))
        seen.append(explorer.page.evaluate("getComputedStyle(document.querySelector('.page')).backgroundColor"))
        explorer.part(ids.SCHEME_TOGGLE).click()
        explorer.page.wait_for_function(
            "before => document.documentElement.getAttribute('data-mantine-color-scheme') !== before", arg=seen[-2]
        )
    assert seen[:2] == seen[4:]
    assert {seen[0], seen[2]} == {"light", "dark"}
    assert seen[1] != seen[3]


def test_a_cut_of_the_selected_group_waits_for_a_selection(explorer: Explorer) -> None:
    explorer.tab("Cut")
    explorer.page.get_by_text("Selected group", exact=True).click()
    expect(explorer.part(ids.PREVIEW)).to_contain_text("Click a layer")
    expect(explorer.part(ids.APPLY)).to_be_disabled()
    expect(explorer.part(ids.APPLY_NOTE)).to_contain_text("Click a layer")
    explorer.click("conv1")
    expect(explorer.part(ids.APPLY)).to_be_enabled()


def test_a_cut_that_cannot_be_verified_is_told_in_four_parts_and_changes_nothing(page: Page) -> None:
    session = Session(NoNarrower().eval(), image())
    with visited(page, session) as explorer:
        explorer.tab("Cut")
        explorer.part(ids.APPLY).click()
        note = explorer.part(ids.JOB)
        expect(note).to_contain_text("eight channels are needed", timeout=PATIENCE * SECONDS)
        for part in ("Asked:", "Where:", "What to do:"):
            expect(note).to_contain_text(part)
        expect(explorer.part(ids.VERSION_STRIP).get_by_role("button")).to_have_count(1)
        assert len(session.versions) == 1


def test_two_pages_of_one_session_show_the_same_version(explorer: Explorer, session: Session) -> None:
    other = Explorer(explorer.page.context.new_page(), session.url)
    session.apply(plan(session.version.graph, session.scores(), ratio=0.5), "half")
    for page in (explorer, other):
        wait_for_version(page, session, "half")
    other.part(ids.UNDO).click()
    for page in (explorer, other):
        wait_for_version(page, session, "original")
    other.leave()


def test_the_original_is_measured_after_the_graph_is_on_the_screen(page: Page, session: Session) -> None:
    session.start_when_seen()
    with visited(page, session) as explorer:
        expect(explorer.part(ids.HEAD_NUMBERS)).to_contain_text("accuracy", timeout=PATIENCE * SECONDS)
        assert len(session.jobs.states) == 1


def test_while_the_page_waits_for_the_server_it_says_so_in_its_own_colours(page: Page, session: Session) -> None:
    waiting: list[Route] = []
    page.route("**/_dash-layout", lambda route: waiting.append(route))
    served = serve(session, port=0)
    served.in_background()
    with page.expect_request("**/_dash-layout"):
        page.goto(served.url)
    loading = page.get_by_text("Loading...")
    expect(loading).to_be_visible()
    place, window = loading.bounding_box(), page.viewport_size
    assert place is not None
    assert window is not None
    assert (place["width"], place["height"]) == (window["width"], window["height"])
    waiting[0].continue_()
    page.wait_for_selector("#graph[data-drawn]", timeout=PATIENCE * SECONDS)
    expect(loading).to_have_count(0)
    page.goto("about:blank")
    served.close()


def test_plotlys_script_is_fetched_when_the_graph_is_drawn_and_before_a_panel_asks_for_it(explorer: Explorer) -> None:
    explorer.page.wait_for_function("() => Boolean(window.Plotly)")
    drawn, fetched = explorer.page.evaluate(
        """() => [
            performance.getEntriesByName("graph-drawn")[0].startTime,
            performance.getEntriesByType("resource").find((entry) => entry.name.includes("plotly.min")).startTime,
        ]"""
    )
    assert drawn < fetched


def test_a_server_that_is_gone_is_told_until_it_answers_again(browser: Browser, session: Session) -> None:
    # a window of its own, as the browser reports every request that fails as an error
    context = browser.new_context()
    with visited(context.new_page(), session) as explorer:
        note = explorer.part(ids.UNREACHABLE)
        for offline in (False, True, False):
            context.set_offline(offline)
            expect(note).to_be_visible(visible=offline)
    context.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_command_opens_the_gallery_at_the_address_that_it_prints(page: Page, tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, "--no-browser", "--port", str(port)) as (_, address):
        assert address == f"http://127.0.0.1:{port}/"
        explorer = Explorer(page, address)
        expect(page).to_have_title("ResNet-20 on handwritten digits - prunescope")
        explorer.click("conv1")
        assert "layer1.0.conv1" in explorer.state()["lit"]
        explorer.leave()
