"""The Cut panel's echo in the browser: the core's numbers, from the ledger that the page is sent."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect
from torch import nn

from prunescope.core import DependencyGraph, plan, plan_units, predicted, score, trace
from prunescope.core.cost import Cost
from prunescope.core.importance import Scores
from prunescope.core.plan import cut_groups
from prunescope.core.ranking import SCOPES, Ranking, Scope
from prunescope.core.sensitivity import Cut, Sensitivity, allocated
from prunescope.core.targets import COUNTED
from prunescope.explorer import ids
from prunescope.explorer.account import ledger_record
from prunescope.explorer.gallery import open_model
from prunescope.explorer.session import Session
from prunescope.explorer.view import quantity
from tests.browser.explorer_page import visited
from tests.command import REPOSITORY
from tests.models import flattened, grouped, image, ragged

AIMED = (70, 85, 95)  # per cent that are left
PERCENTS = (0, 7, 25, 29, 50, 58, 75, 95)
MODELS: Mapping[str, Callable[[], Any]] = {"flattened": flattened, "grouped": grouped, "ragged": ragged}

# What `cost` says of each cut, a list of [group, number of units].
COSTS = """([ledger, cuts]) => cuts.map((removed) => {
    const left = prunescope.cut.cost(ledger, new Map(removed));
    return [left.parameters, left.macs];
})"""
# What is left after each [wish, group]; the group is null for a cut of the whole model.
ANSWERS = """([ledger, wishes]) => wishes.map(([wish, group]) => {
    const { answer, cost } = prunescope.cut;
    const left = cost(ledger, answer(ledger, wish, group));
    return [left.parameters, left.macs];
})"""
TAKEN = """percents => {
    const sizes = Array.from({ length: 1023 }, (_, size) => size + 1);
    return percents.map((percent) => sizes.map((size) => prunescope.cut.taken(size, percent / 100)));
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


def wish(percent: float, aim: str = "ratio") -> dict[str, Any]:
    return {"percent": percent, "aim": aim}


@pytest.mark.parametrize("ranked", SCOPES)
def test_a_cut_of_all_groups_costs_what_the_core_predicts(
    script: Page, graph: DependencyGraph, scores: Scores, ranked: Scope
) -> None:
    ledger = ledger_record(graph, scores, ranked)
    assert shown(script, ANSWERS, ledger, [(wish(percent), None) for percent in PERCENTS]) == [
        predicted(graph, plan(graph, scores, ratio=percent / 100, scope=ranked)) for percent in PERCENTS
    ]


@pytest.mark.parametrize("ranked", SCOPES)
@pytest.mark.parametrize("aim", COUNTED)
def test_a_cut_to_a_target_costs_what_the_core_predicts(
    script: Page, graph: DependencyGraph, scores: Scores, ranked: Scope, aim: str
) -> None:
    percents = (60, 75, 90)
    ledger = ledger_record(graph, scores, ranked)
    expected = [
        predicted(graph, plan(graph, scores, scope=ranked, **{aim: percent / 100}))  # type: ignore[arg-type]
        for percent in percents
    ]
    assert shown(script, ANSWERS, ledger, [(wish(percent, aim), None) for percent in percents]) == expected


def test_a_rounded_cut_costs_what_the_core_predicts(script: Page, graph: DependencyGraph, scores: Scores) -> None:
    ledger = ledger_record(graph, scores, "global", 4)
    assert shown(script, ANSWERS, ledger, [(wish(percent), None) for percent in PERCENTS]) == [
        predicted(graph, plan(graph, scores, ratio=percent / 100, scope="global", round_to=4)) for percent in PERCENTS
    ]


@pytest.mark.parametrize("round_to", [1, 4])
def test_a_cut_that_a_sweep_shares_out_costs_what_the_core_predicts(
    script: Page, graph: DependencyGraph, scores: Scores, round_to: int
) -> None:
    if plan(graph, scores, ratio=0.9, round_to=round_to).removals == ():
        pytest.skip("rounded so, no unit of this model can go")
    chance = random.Random(0)
    cuts = [Cut(group.name, ratio, chance.random()) for group in cut_groups(graph) for ratio in (0.25, 0.5, 0.9)]
    swept = Sensitivity(0.9, tuple(cuts))
    ledger = ledger_record(graph, scores, "global", round_to, swept)
    for aim in ("macs", "parameters"):
        expected = [
            predicted(graph, allocated(graph, scores, swept, round_to=round_to, **{aim: n / 100})) for n in AIMED
        ]
        assert shown(script, ANSWERS, ledger, [(wish(n, aim), None) for n in AIMED]) == expected


def test_a_cut_of_one_group_costs_what_the_core_predicts(script: Page, graph: DependencyGraph, scores: Scores) -> None:
    cuts = [(percent, group) for group in graph.groups for percent in PERCENTS]
    asked = [(wish(percent), group.index) for percent, group in cuts]
    assert shown(script, ANSWERS, ledger_record(graph, scores), asked) == [
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
    order = Ranking({}, {size: np.arange(1, size) / size for size in range(1, 1024)})
    order = replace(order, units={size: list(range(size - 1)) for size in order.times})
    assert script.evaluate(TAKEN, list(percents)) == [
        [len(units) for units in order.cut(percent / 100).values()] for percent in percents
    ]


def test_the_echo_of_a_model_whose_code_ties_sizes_becomes_what_the_core_plans(page: Page) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(96, 6, 384, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    model = nn.Sequential(nn.Linear(16, 96), encoder, nn.Linear(96, 8))
    session = Session(model.eval(), torch.randn(2, 5, 16))
    graph = session.version.graph
    cut = plan(graph, session.scores(), ratio=0.4)
    freely = sum(int(0.4 * group.size) for group in cut_groups(graph))
    assert 0 < sum(len(removal.units) for removal in cut.removals) < freely, "no tie holds a group back"
    with visited(page, session) as explorer:
        explorer.tab("Cut")
        explorer.slide_to(40)
        expect(explorer.part(ids.PREVIEW)).to_contain_text(f"→ {quantity(predicted(graph, cut).macs)}")
