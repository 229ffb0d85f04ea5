"""Rating with data, sparse training and the sweep, as a person does them in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from prunescope.core import plan, predicted, score
from prunescope.explorer import ids
from prunescope.explorer.gallery import open_model
from prunescope.explorer.session import Session
from prunescope.explorer.view import quantity
from tests.browser.explorer_page import PATIENCE, Explorer, visited


@pytest.fixture
def session() -> Session:
    opened = open_model("digits-resnet")
    return Session(
        opened.model,
        opened.example_inputs,
        evaluate=opened.evaluate,
        batches=opened.batches,
        loss=opened.loss,
        title=opened.title,
    )


@pytest.fixture
def explorer(page: Page, session: Session) -> Iterator[Explorer]:
    with visited(page, session) as explorer:
        explorer.tab("Cut")
        yield explorer


def choose(explorer: Explorer, control: str, label: str) -> None:
    explorer.part(control).click()
    explorer.page.get_by_role("option", name=label, exact=True).click()


def test_a_target_with_a_criterion_of_data_is_shown_applied_and_met(explorer: Explorer, session: Session) -> None:
    choose(explorer, ids.CRITERION, "Taylor, first order")
    choose(explorer, ids.RANKED, "across all groups")
    choose(explorer, ids.AIM, "MACs left")
    choose(explorer, ids.ROUND_TO, "multiples of 4")
    graph = session.version.graph
    scores = score(graph, "taylor", batches=session.batches, loss=session.loss)
    expected = plan(graph, scores, macs=0.5, scope="global", round_to=4)
    left = predicted(graph, expected)
    expect(explorer.part(ids.PREVIEW)).to_contain_text(f"→ {quantity(left.macs)}")
    expect(explorer.part(ids.PREVIEW)).to_contain_text(f"→ {quantity(left.parameters)}")
    expect(explorer.part(ids.RATIO_LABEL)).to_have_text("Share that is left, at most")
    explorer.part(ids.APPLY).click()
    strip = explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")
    expect(strip).to_contain_text("50 % of MACs left", timeout=PATIENCE * 1000)
    session.jobs.wait(PATIENCE)
    version = session.version
    assert version.pruned is not None
    assert version.pruned.plan == expected
    assert version.macs == left.macs <= 0.5 * session.versions[0].macs


def test_a_target_out_of_reach_says_what_can_be_had(explorer: Explorer, session: Session) -> None:
    choose(explorer, ids.AIM, "parameters left")
    choose(explorer, ids.ROUND_TO, "multiples of 16")
    explorer.slide_to(5)
    expect(explorer.part(ids.PREVIEW)).to_contain_text("Out of reach")
    explorer.part(ids.APPLY).click()
    expect(explorer.part(ids.MESSAGE)).to_contain_text("is the least that this model can be cut to")
    assert len(session.versions) == 1


def test_sparse_training_draws_its_curves_and_makes_a_version(explorer: Explorer, session: Session) -> None:
    explorer.page.get_by_text("Train and recover", exact=True).click()
    explorer.part(ids.EPOCHS).fill("2")
    explorer.part(ids.SPARSIFY).click()
    strip = explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")
    expect(strip).to_contain_text("original, sparse", timeout=PATIENCE * 1000)
    session.jobs.wait(PATIENCE)
    job = session.last_job
    assert job is not None
    last = job.curve[-1]
    assert last.epoch == 2
    picture = explorer.part(ids.JOB).locator("img")
    expect(picture).to_have_attribute("alt", f"After epoch 2: loss {last.loss:.3f}, accuracy {last.accuracy:.1%}, "
                                      f"faded units {last.faded:.1%}")  # fmt: skip


def test_the_sweep_fills_its_heatmap_as_results_come(explorer: Explorer, session: Session) -> None:
    explorer.tab("Importance")
    explorer.part(ids.SWEEP).click()
    cells = (
        "() => document.getElementById('sweep-figure')?.querySelector('.js-plotly-plot')?.data[0]?.z?.flat()"
        ".filter((value) => value !== null).length"
    )
    explorer.page.wait_for_function(f"() => ({cells})() > 0")
    session.jobs.wait(2 * PATIENCE)
    found = session.sensitivity()
    assert len(found) == 5 * len(session.version.graph.groups)
    explorer.page.wait_for_function(f"count => ({cells})() === count", arg=len(found))
    drawn = explorer.page.evaluate(
        "document.getElementById('sweep-figure').querySelector('.js-plotly-plot').data[0].z.flat()"
    )
    assert drawn == [cut.accuracy for cut in found]
