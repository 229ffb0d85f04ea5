"""Versions as a tree, two side by side, the matrices, and what is taken along."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from prunescope.core.matrices import matrices
from prunescope.explorer import ids
from prunescope.explorer.actions import export
from prunescope.explorer.compared import layer_changes
from prunescope.explorer.jobs import JobState
from prunescope.explorer.panels import take_along
from prunescope.explorer.predictions import changes
from prunescope.explorer.session import Session
from tests.browser.explorer_page import PATIENCE, Explorer, visited
from tests.browser.opened import cut, digits


@pytest.fixture
def session() -> Session:
    """The original with two cuts, and a cut of the first."""
    session = digits()
    cut(session, 0.25, "first")
    cut(session, 0.5, "deeper")
    session.show(0)
    cut(session, 0.5, "second")
    return session


@pytest.fixture
def explorer(page: Page, session: Session) -> Iterator[Explorer]:
    with visited(page, session) as explorer:
        explorer.tab("Compare")
        yield explorer


def test_branches_stand_below_each_other_and_a_click_opens_a_version(explorer: Explorer, session: Session) -> None:
    read = "({ style }) => [style.gridColumnStart, style.gridRowStart]"
    places = explorer.page.evaluate(f"[...document.querySelectorAll('.version')].map({read})")
    assert places == [["1", "1"], ["2", "1"], ["3", "1"], ["2", "2"]]
    explorer.part(ids.VERSION_STRIP).get_by_role("button", name="deeper").click()
    expect(explorer.part(ids.VERSION_NAME)).to_have_value("deeper")
    assert session.version.id == 2


def test_names_and_notes_are_kept(explorer: Explorer, session: Session) -> None:
    explorer.part(ids.VERSION_NAME).fill("the small one")
    explorer.part(ids.VERSION_NAME).press("Enter")
    expect(explorer.part(ids.VERSION_STRIP)).to_contain_text("the small one")
    explorer.part(ids.VERSION_NOTE).fill("too small?")
    explorer.part(ids.VERSION_NOTE).press("Enter")
    expect(explorer.part(ids.VERSION_TABLE)).to_contain_text("too small?")
    assert (session.version.name, session.version.note) == ("the small one", "too small?")


def choose(explorer: Explorer, control: str, label: str) -> None:
    explorer.part(control).click()
    explorer.page.get_by_role("option", name=label, exact=True).click()


def test_any_two_versions_are_compared_layer_by_layer_and_class_by_class(explorer: Explorer, session: Session) -> None:
    choose(explorer, ids.COMPARE_BEFORE, "first")
    choose(explorer, ids.COMPARE_AFTER, "deeper")
    before, after = session.versions[1], session.versions[2]
    rows = layer_changes(before.graph, after.graph)
    changed = [row for row in rows if row.changed]
    layers = explorer.part(ids.COMPARE_LAYERS)
    expect(layers).to_contain_text(f"first → deeper: {len(changed)} of {len(rows)} layers")
    expect(layers.locator("tbody tr")).to_have_count(len(changed))
    for row, shown in zip(changed[:4], layers.locator("tbody tr").all(), strict=False):
        expect(shown).to_contain_text(row.name)
        expect(shown).to_contain_text(f"{row.width[0]} → {row.width[1]}")
    examples = session.examples
    assert examples is not None
    found = changes(examples, session.predictions(1), session.predictions(2))
    wrong = sum(not change.right for change in found)
    predictions = explorer.part(ids.COMPARE_PREDICTIONS)
    expect(predictions).to_contain_text(
        f"{len(found)} of {len(examples.labels)} examples change their class, {wrong} of"
    )
    expect(predictions.locator(".barlayer .trace")).to_have_count(2)
    explorer.part(ids.COMPARE_ON_GRAPH).click()
    explorer.page.wait_for_function("() => prunescope.marks.state().widths.conv1?.join() === '12,6'")


def test_a_point_of_the_plot_opens_its_version(explorer: Explorer, session: Session) -> None:
    explorer.part(ids.VERSION_AXIS).get_by_text("MACs").click()
    plot = explorer.part(ids.VERSION_PLOT)
    expect(plot.locator(".scatterlayer .points path")).to_have_count(4)
    explorer.page.evaluate(
        """() => {
            const plot = document.querySelector("#version-plot .js-plotly-plot");
            const trace = plot.data.length - 1, at = plot.data[trace].customdata.indexOf(1);
            plot.emit("plotly_click", { points: [{ data: plot.data[trace], fullData: plot._fullData[trace],
                curveNumber: trace, pointNumber: at, customdata: 1, x: 0, y: 0 }] });
        }"""
    )
    expect(explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")).to_contain_text("first")


def test_the_matrices_are_the_cores_and_a_cell_shows_its_layers_in_the_graph(
    explorer: Explorer, session: Session
) -> None:
    explorer.tab("Matrix")
    expect(explorer.part(ids.MATRIX_G).locator(".heatmaplayer image")).to_have_count(1)
    found = matrices(session.version.graph)
    names = [f"{layer} {'f⁻' if side == 'in' else 'f⁺'}" for layer, side in found.sides]
    sent = explorer.page.evaluate(
        """() => {
            const trace = document.querySelector("#matrix-d .js-plotly-plot")._fullData[0];
            const at = (row) => Array.from(trace.z[row]);
            return [Array.from(trace.y), Array.from(trace.y, (_, row) => at(row))];
        }"""
    )
    assert sent[0] == names
    assert sent[1] == found.dependency.astype(int).tolist()
    row, column = names.index("layer1.0.conv2 f⁻"), names.index("layer1.0.conv1 f⁺")
    explorer.page.evaluate(
        "([y, x]) => dash_clientside.matrix.pick({ points: [{ x, y }] })", [names[row], names[column]]
    )
    explorer.page.wait_for_function("() => prunescope.graph.state().chain?.steps")
    state = explorer.state()
    assert (state["selected"], state["chain"]["second"]) == ("layer1.0.conv2", "layer1.0.conv1")


def test_a_file_that_is_there_before_the_answer_to_the_click_comes_too(
    explorer: Explorer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_at_once(session: Session, ending: str) -> JobState:
        state = export(session, ending)
        session.jobs.wait(PATIENCE)
        # until the page has heard of it
        time.sleep(3)
        return state

    monkeypatch.setattr(take_along, "export", made_at_once)
    with explorer.page.expect_download() as download:
        explorer.page.get_by_role("button", name="Script", exact=True).click()
    assert download.value.suggested_filename == session.files[-1].name


def test_files_come_as_downloads_with_what_their_check_found(
    explorer: Explorer, session: Session, tmp_path: Path
) -> None:
    for label, ending in (("Script", "py"), ("torch.export", "pt2"), ("Graph as a page", "html")):
        with explorer.page.expect_download(timeout=PATIENCE * 3000) as download:
            explorer.page.get_by_role("button", name=label, exact=True).click()
        assert download.value.suggested_filename == f"resnet-20-on-handwritten-digits-second.{ending}"
        download.value.save_as(tmp_path / f"file.{ending}")
    expect(explorer.part(ids.EXPORT_READY)).to_contain_text("second.html")
    assert "differs from the model by" in session.files[1].note

    page = explorer.page.context.new_page()
    page.goto((tmp_path / "file.html").as_uri())
    page.locator('[data-layers="layer1.0.conv1"]').click()
    lit = page.evaluate("[...document.querySelectorAll('.box:not(.off)')].map((box) => box.dataset.layers)")
    assert lit == ["layer1.0.conv1", "layer1.0.bn1", "layer1.0.conv2"]
    page.close()
