"""The Cut panel's echo in the browser: the core's numbers, from the ledger that the page is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from playwright.sync_api import Page

from prunescope.core import DependencyGraph, plan, plan_units, predicted, score, trace
from prunescope.core.cost import Cost
from prunescope.core.importance import Scores
from prunescope.explorer.gallery import open_model
from prunescope.explorer.view import ledger_record
from tests.command import REPOSITORY
from tests.models import flattened, grouped, image, ragged

PERCENTS = (0, 7, 25, 29, 50, 58, 75, 95)
MODELS: Mapping[str, Callable[[], Any]] = {"flattened": flattened, "grouped": grouped, "ragged": ragged}

# What `cost` says of each cut, a list of [group, number of units].
COSTS = """([ledger, cuts]) => cuts.map((removed) => {
    const left = prunescope.cut.cost(ledger, new Map(removed));
    return [left.parameters, left.macs];
})"""
# What is left when a percentage of these groups goes, for each [percent, groups].
SHARES = """([ledger, cuts]) => cuts.map(([percent, groups]) => {
    const { taken, cost } = prunescope.cut;
    const left = cost(ledger, new Map(groups.map((group) => [group, taken(ledger, group, percent)])));
    return [left.parameters, left.macs];
})"""
TAKEN = """percents => {
    const sizes = Array.from({ length: 1024 }, (_, size) => size);
    return percents.map((percent) => sizes.map((size) => prunescope.cut.taken({ sizes }, size, percent)));
}"""


@pytest.fixture
def script(page: Page) -> Page:
    """An empty page with the panel's script."""
    page.add_script_tag(path=REPOSITORY / "assets" / "cut.js")
    return page


@pytest.fixture(scope="module", params=["digits-resnet", "digits-vit", *MODELS])
def graph(request: pytest.FixtureRequest) -> DependencyGraph:
    if request.param in MODELS:
        return trace(MODELS[request.param](), image())
    opened = open_model(request.param)
    return trace(opened.model, opened.example_inputs)


@pytest.fixture(scope="module")
def scores(graph: DependencyGraph) -> Scores:
    return score(graph)


def shown(script: Page, code: str, *arguments: Any) -> list[Cost]:
    return [Cost(*pair) for pair in script.evaluate(code, list(arguments))]


def test_a_cut_of_all_groups_costs_what_the_core_predicts(script: Page, graph: DependencyGraph, scores: Scores) -> None:
    ledger = ledger_record(graph, scores)
    assert shown(script, SHARES, ledger, [(percent, ledger["all"]) for percent in PERCENTS]) == [
        predicted(graph, plan(graph, scores, ratio=percent / 100)) for percent in PERCENTS
    ]


def test_a_cut_of_one_group_costs_what_the_core_predicts(script: Page, graph: DependencyGraph, scores: Scores) -> None:
    cuts = [(percent, group) for group in graph.groups for percent in PERCENTS]
    asked = [(percent, [group.index]) for percent, group in cuts]
    assert shown(script, SHARES, ledger_record(graph, scores), asked) == [
        predicted(graph, plan(graph, scores, ratio=percent / 100, groups=[group.name])) for percent, group in cuts
    ]


def test_any_number_of_the_least_units_costs_what_the_core_predicts(
    script: Page, graph: DependencyGraph, scores: Scores
) -> None:
    group = graph.groups[-1]
    least = scores[group.name].argsort(stable=True).tolist()
    asked = [[(group.index, count)] for count in range(group.size)]
    assert shown(script, COSTS, ledger_record(graph, scores), asked) == [
        predicted(graph, plan_units(graph, {group.name: least[:count]})) for count in range(group.size)
    ]


def test_a_share_of_any_size_is_rounded_as_the_core_rounds_it(script: Page) -> None:
    percents = range(96)
    assert script.evaluate(TAKEN, list(percents)) == [
        [int(size * (percent / 100)) for size in range(1024)] for percent in percents
    ]
