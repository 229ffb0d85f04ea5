"""Rating with data, sparse training and the sweep, as a person does them in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from prunescope.core import plan, predicted, score
from prunescope.core.sensitivity import Cut, Sensitivity, allocated
from prunescope.explorer import ids
from prunescope.explorer.gallery import open_model
from prunescope.explorer.session import Session
from prunescope.explorer.version import Sweep
from prunescope.explorer.view import quantity
from tests.browser.explorer_page import PATIENCE, Explorer, visited
from tests.browser.opened import digits


@pytest.fixture
def session() -> Session:
    return digits()


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
    expect(explorer.part(ids.RATIO_LABEL)).to_have_text("Share that is left, at most: 50 %")
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
    expect(explorer.part(ids.APPLY_NOTE)).to_contain_text("is the least that can be left")
    expect(explorer.part(ids.APPLY)).to_be_disabled()
    explorer.slide_to(50)
    expect(explorer.part(ids.APPLY_NOTE)).to_be_empty()
    expect(explorer.part(ids.APPLY)).to_be_enabled()


@pytest.mark.parametrize("given", ["2.5", "-1", ""])
def test_a_number_of_epochs_that_is_none_is_refused_with_what_was_typed(
    explorer: Explorer, session: Session, given: str
) -> None:
    explorer.tab("Cut")
    explorer.page.get_by_text("Train and recover", exact=True).click()
    explorer.part(ids.EPOCHS).fill(given)
    explorer.part(ids.TUNE).click()
    message = explorer.part(ids.MESSAGE)
    expect(message).to_contain_text(f"Epochs: {given or 'nothing'}")
    expect(message).to_be_in_viewport()
    assert len(session.versions) == 1


def test_no_second_training_can_be_asked_for_while_one_runs(explorer: Explorer, session: Session) -> None:
    explorer.tab("Cut")
    explorer.page.get_by_text("Train and recover", exact=True).click()
    explorer.part(ids.EPOCHS).fill("50")
    explorer.part(ids.TUNE).click()
    buttons = [explorer.part(name) for name in (ids.TUNE, ids.SPARSIFY, ids.RECALIBRATE, ids.APPLY_IN_STEPS)]
    for button in buttons:
        expect(button).to_be_disabled()
    explorer.part(ids.CANCEL).click()
    for button in buttons:
        expect(button).to_be_enabled()


def test_sparse_training_draws_its_curves_and_makes_a_version(explorer: Explorer, session: Session) -> None:
    explorer.page.get_by_text("Train and recover", exact=True).click()
    explorer.part(ids.EPOCHS).fill("2")
    explorer.part(ids.SPARSIFY).click()
    expect(explorer.part(ids.JOB)).to_be_in_viewport()
    strip = explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")
    expect(strip).to_contain_text("original, sparse", timeout=PATIENCE * 1000)
    session.jobs.wait(PATIENCE)
    job = session.last_job
    assert job is not None
    last = job.curve[-1]
    assert last.epoch == 2
    picture = explorer.part(ids.JOB).locator("img")
    accuracy = f"accuracy while training {last.accuracy:.1%}"
    said = f"After epoch 2: loss {last.loss:.3f}, {accuracy}, faded units {last.faded:.1%}"
    expect(picture).to_have_attribute("alt", said)


def test_the_sweep_fills_its_heatmap_as_results_come(explorer: Explorer, session: Session) -> None:
    explorer.tab("Importance")
    explorer.part(ids.SWEEP).click()
    cells = (
        "() => document.getElementById('sweep-figure')?.querySelector('.js-plotly-plot')?.data[0]?.z?.flat()"
        ".filter((value) => value !== null).length"
    )
    explorer.page.wait_for_function(f"() => ({cells})() > 0")
    session.jobs.wait(2 * PATIENCE)
    sweep = session.sweep()
    assert sweep is not None
    assert sweep.original is not None
    found = sweep.cuts
    assert len(found) == 5 * len(session.version.graph.groups)
    explorer.page.wait_for_function(f"count => ({cells})() === count", arg=len(found))
    drawn = explorer.page.evaluate(
        "document.getElementById('sweep-figure').querySelector('.js-plotly-plot').data[0].z.flat()"
    )
    assert drawn == [cut.accuracy for cut in found]


def test_a_cut_in_steps_makes_a_version_of_each(explorer: Explorer, session: Session) -> None:
    choose(explorer, ids.AIM, "MACs left")
    explorer.page.get_by_text("Train and recover", exact=True).click()
    explorer.part(ids.STEPS).fill("2")
    explorer.part(ids.APPLY_IN_STEPS).click()
    strip = explorer.part(ids.VERSION_STRIP)
    expect(strip).to_contain_text("step 1 of 2", timeout=PATIENCE * 1000)
    expect(strip).to_contain_text("step 2 of 2", timeout=PATIENCE * 1000)
    session.jobs.wait(PATIENCE)
    original, first, second = session.versions
    assert (first.parent, second.parent) == (0, 1)
    assert second.macs <= 0.5 * original.macs < first.macs
    expect(explorer.part(ids.JOB).locator("img")).to_have_attribute("alt", re.compile("After epoch 2: loss"))


def test_fine_tuning_learns_from_the_original_where_the_switch_is_on(explorer: Explorer, session: Session) -> None:
    session.apply(plan(session.version.graph, session.scores(), 0.3))
    explorer.page.get_by_text("Train and recover", exact=True).click()
    explorer.part(ids.EPOCHS).fill("1")
    explorer.page.get_by_role("switch", name="Learn from the original’s answers").click()
    explorer.part(ids.TUNE).click()
    strip = explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")
    expect(strip).to_contain_text("cut 1, taught", timeout=PATIENCE * 1000)


def test_without_data_the_page_says_why_nothing_can_be_learned(page: Page) -> None:
    opened = open_model("digits-resnet")
    with visited(page, Session(opened.model, opened.example_inputs)) as explorer:
        explorer.tab("Cut")
        explorer.page.get_by_text("Train and recover", exact=True).click()
        expect(explorer.part(ids.TAUGHT)).to_be_disabled()
        expect(explorer.page.get_by_text("Not available: there are no batches")).to_be_visible()
        expect(explorer.part(ids.STEP_EPOCHS)).to_be_disabled()


def test_a_cut_is_shared_out_by_a_sweep_once_there_is_one(explorer: Explorer, session: Session) -> None:
    explorer.part(ids.RANKED).click()
    option = explorer.page.get_by_role("option", name="as a sweep allows: measure the sensitivity first")
    expect(option).to_have_attribute("data-combobox-disabled", "true")
    explorer.page.keyboard.press("Escape")
    graph = session.version.graph
    cuts = tuple(Cut(g.name, r, 1 - r / (1 + g.index)) for g in graph.groups for r in (0.25, 0.5, 0.75))
    session.keep_sweep(0, Sweep("magnitude", cuts, 0.99))
    expect(option).to_have_count(0)
    choose(explorer, ids.RANKED, "as the sweep allows")
    expect(explorer.part(ids.APPLY_NOTE)).to_contain_text("aim at one of them")
    choose(explorer, ids.AIM, "MACs left")
    expected = allocated(graph, score(graph), Sensitivity(0.99, cuts), macs=0.5)
    expect(explorer.part(ids.PREVIEW)).to_contain_text(f"→ {quantity(predicted(graph, expected).parameters)}")
    explorer.part(ids.APPLY).click()
    strip = explorer.part(ids.VERSION_STRIP).locator("[aria-pressed=true]")
    expect(strip).to_contain_text("50 % of MACs left", timeout=PATIENCE * 1000)
    assert session.version.pruned is not None
    assert session.version.pruned.plan == expected
    # the sweep was of the version before
    expect(explorer.part(ids.RATING_MESSAGE)).to_contain_text("there is no complete sweep of it")


def test_sparse_training_draws_every_group_by_epochs(explorer: Explorer, session: Session) -> None:
    expect(explorer.part(ids.FADING)).to_be_hidden()
    explorer.page.get_by_text("Train and recover", exact=True).click()
    explorer.part(ids.EPOCHS).fill("2")
    explorer.part(ids.SPARSIFY).click()
    drawn = "document.querySelector('#fading-figure .js-plotly-plot')?.data?.[0]"
    explorer.page.wait_for_function(f"() => {drawn}?.x?.length === 2")
    session.jobs.wait(PATIENCE)
    job = session.last_job
    assert job is not None
    groups = [pull.group for pull in job.curve[0].groups]
    assert explorer.page.evaluate(f"{drawn}.y") == groups == [group.name for group in session.version.graph.groups]
    explorer.page.get_by_text("Pull", exact=True).click()
    explorer.page.wait_for_function(f"() => {drawn}.z[0][0] > 1")
    gammas = [[point.groups[row].gamma for point in job.curve] for row in range(len(groups))]
    assert explorer.page.evaluate(f"{drawn}.z") == gammas
