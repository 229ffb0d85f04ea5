"""Units picked by hand, a group looked at closely, and a layer cut alone: as a person does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from prunescope.core import plan_units, predicted
from prunescope.core.naive import cut_alone
from prunescope.explorer import ids
from prunescope.explorer.session import Session
from prunescope.explorer.view import quantity
from tests.browser.explorer_page import PATIENCE, Explorer, visited
from tests.browser.opened import digits

GROUP = "layer2.0.conv1"


@pytest.fixture
def session() -> Session:
    return digits()


@pytest.fixture
def explorer(page: Page, session: Session) -> Iterator[Explorer]:
    with visited(page, session) as explorer:
        explorer.page.evaluate("layer => prunescope.graph.select(layer)", GROUP)
        yield explorer


def place(explorer: Explorer, unit: float) -> dict[str, float]:
    """Where a unit's column is in the window: 0 is the most important."""
    found: dict[str, float] = explorer.page.evaluate(
        """unit => {
            const plot = document.querySelector("#importance-group .js-plotly-plot");
            const { xaxis2: axis, yaxis: up } = plot._fullLayout, corner = plot.getBoundingClientRect();
            return {x: corner.x + axis._offset + axis.l2p(unit), y: corner.y + up._offset + up._length / 2};
        }""",
        unit,
    )
    return found


def click(explorer: Explorer, unit: float) -> None:
    explorer.page.mouse.click(**place(explorer, unit))


def opened_figure(explorer: Explorer) -> None:
    explorer.tab("Importance")
    expect(explorer.part(ids.IMPORTANCE_GROUP).locator(".heatmaplayer image")).to_have_count(1)


def shown_colours(explorer: Explorer) -> list[str]:
    found: list[str] = explorer.page.evaluate(
        "document.querySelector('#importance-group .js-plotly-plot').data[0].marker.color"
    )
    return found


def test_units_are_cut_kept_and_freed_by_clicks_and_cut_for_good_by_the_button(
    explorer: Explorer, session: Session
) -> None:
    opened_figure(explorer)
    order = session.scores()[GROUP].argsort(descending=True, stable=True).tolist()
    note = explorer.part(ids.UNITS_NOTE)
    click(explorer, 3)
    left = predicted(session.version.graph, plan_units(session.version.graph, {GROUP: [order[3]]}))
    expect(note).to_contain_text(f"1 of 32 in {GROUP}")
    expect(note).to_contain_text(f"→ {quantity(left.macs)}")
    click(explorer, 3)
    expect(note).to_contain_text("1 stay whatever is cut")
    click(explorer, 3)
    expect(note).to_be_empty()
    explorer.page.mouse.move(**place(explorer, 10))
    explorer.page.mouse.down()
    explorer.page.mouse.move(**place(explorer, 12), steps=5)
    explorer.page.mouse.up()
    expect(note).to_contain_text(f"3 of 32 in {GROUP}")
    assert len(set(shown_colours(explorer))) == 2
    explorer.part(ids.UNITS_CUT).click()
    expect(explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")).to_contain_text("3 by hand")
    session.jobs.wait(PATIENCE)
    assert session.version.pruned is not None
    assert session.version.pruned.plan.removals[0].units == tuple(sorted(order[10:13]))


def test_what_is_right_of_the_line_goes(explorer: Explorer, session: Session) -> None:
    opened_figure(explorer)
    start, end = place(explorer, 31.5), place(explorer, 23.5)
    explorer.page.mouse.move(start["x"] - 1, start["y"])
    explorer.page.mouse.down()
    explorer.page.mouse.move(end["x"], end["y"], steps=8)
    explorer.page.mouse.up()
    expect(explorer.part(ids.UNITS_NOTE)).to_contain_text("8 of 32")
    click(explorer, 3)
    expect(explorer.part(ids.UNITS_NOTE)).to_contain_text("9 of 32")
    line = "document.querySelector('#importance-group .js-plotly-plot').layout.shapes[0].x0"
    assert explorer.page.evaluate(line) == 23.5
    explorer.part(ids.UNITS_CLEAR).click()
    expect(explorer.part(ids.UNITS_NOTE)).to_be_empty()


def test_a_pick_counts_in_the_cut_of_all_groups(explorer: Explorer, session: Session) -> None:
    opened_figure(explorer)
    click(explorer, 0)
    expect(explorer.part(ids.UNITS_NOTE)).to_contain_text("1 of 32")
    explorer.tab("Cut")
    expect(explorer.part(ids.PREVIEW)).to_contain_text("225 of 448 units")
    explorer.part(ids.APPLY).click()
    expect(explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")).to_contain_text("50 %")
    session.jobs.wait(PATIENCE)
    session.show(0)
    best = int(session.scores()[GROUP].argmax())
    made = session.versions[1].pruned
    assert made is not None
    (removal,) = [removal for removal in made.plan.removals if removal.group == GROUP]
    assert best in removal.units


def test_a_closer_look_shows_every_member_and_the_weights_of_every_unit(explorer: Explorer, session: Session) -> None:
    opened_figure(explorer)
    for text in ("How the members differ", "Weights of the units"):
        explorer.page.locator("summary", has_text=text).click()
    group = session.version.graph.group(GROUP)
    trained = [member for member in group.members if not member.is_buffer]
    expect(explorer.part(ids.UNITS_DISTRIBUTION).locator(".boxes .box")).to_have_count(len(trained))
    figure: list[Any] = explorer.page.evaluate(
        "document.querySelector('#units-weights .js-plotly-plot').layout.annotations.map((each) => each.text)"
    )
    assert sorted(map(int, figure)) == list(range(group.size))


def test_a_layer_cut_alone_shows_torchs_error_beside_the_cut_of_the_group(explorer: Explorer, session: Session) -> None:
    explorer.part(ids.NAIVE).click()
    answer = explorer.part(ids.NAIVE_ANSWER)
    graph = session.version.graph
    units = session.scores()[GROUP].argsort(stable=True)[:16].tolist()
    found = cut_alone(graph, graph.group(GROUP), GROUP, units)
    expect(answer.locator(".card.broken pre")).to_have_text(found.error)
    expect(answer.locator(".card.fine")).to_contain_text("Works: runs")
    assert len(session.versions) == 1


def test_latency_is_predicted_while_the_slider_moves(explorer: Explorer, session: Session) -> None:
    explorer.tab("Cut")
    explorer.part(ids.PREDICT).click()
    session.jobs.wait(PATIENCE)
    preview = explorer.part(ids.PREVIEW)
    expect(preview).to_contain_text("Latency, predicted")
    model = session.latency_model()
    assert model is not None
    explorer.slide_to(0)
    expect(preview).to_contain_text(f"{float(f'{model.original_ms:.3g}'):g} → ")
