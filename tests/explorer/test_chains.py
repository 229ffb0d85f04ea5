"""The chain between two layers: the core's links, on a way along the graph."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from prunescope.core import DependencyGraph, trace
from prunescope.core.errors import BadInput
from prunescope.core.why import chain
from prunescope.explorer.actions import asked_tie
from prunescope.explorer.chains import Tie, tie
from prunescope.explorer.panels import why
from prunescope.explorer.session import Session
from tests.explorer.traced import GRAPHS
from tests.models import flattened, image


@pytest.fixture(scope="module", params=list(GRAPHS))
def graph(request: pytest.FixtureRequest) -> DependencyGraph:
    return GRAPHS[request.param]()


@pytest.fixture(scope="module")
def ties(graph: DependencyGraph) -> list[Tie]:
    """Of sixty pairs of layers, the same ones each time."""
    names = [layer.name for layer in graph.layers]
    choice = random.Random(0)
    pairs = [choice.sample(names, 2) for _ in range(60)]
    return [tie(graph, first, second) for first, second in pairs]


def test_the_steps_are_the_cores_links(graph: DependencyGraph, ties: list[Tie]) -> None:
    for found in ties:
        links = chain(graph, found.first, found.second)
        assert [(f"aten.{step.operation}", step.layer, step.source) for step in found.steps] == [
            (link.operation, link.layer, link.source) for link in links
        ]
    assert any(found.steps for found in ties)


def test_layers_are_tied_where_the_core_has_a_chain_or_they_hold_the_same_units(
    graph: DependencyGraph, ties: list[Tie]
) -> None:
    for found in ties:
        if found.steps:
            assert found.tied
        elif found.tied:
            first, second = (
                {group.index for side in ("in", "out") for group in graph.groups_of(name, side)}
                for name in (found.first, found.second)
            )
            assert first & second or not first or not second
    assert {found.tied for found in ties} == {True, False}


def test_the_way_leads_from_the_first_to_the_second_layer_past_every_step(
    graph: DependencyGraph, ties: list[Tie]
) -> None:
    for found in ties:
        assert {found.first, found.second} <= set(found.path)
        assert {step.layer for step in found.steps if step.layer} <= set(found.path)
        assert set(found.edges) <= set(graph.edges)
        assert {end for edge in found.edges for end in edge} <= set(found.path)


def test_along_a_residual_stream_the_way_has_no_gap() -> None:
    graph = GRAPHS["digits-resnet"]()
    found = tie(graph, "conv1", "layer1.2.bn2")
    assert [step.layer for step in found.steps] == ["layer1.0.add", "layer1.1.add", "layer1.2.add", "layer1.2.bn2"]
    assert all({(a, b), (b, a)} & set(found.edges) for a, b in pairwise(found.path))
    assert "layer1.0.conv2" not in found.path


def test_each_step_says_what_its_operation_does_to_the_units() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    graph = trace(model, torch.randn(2, 4))
    for second, operation, words in (
        ("1", "native_batch_norm", "normalises unit by unit"),
        ("2", "linear", "has weights for each unit that it reads"),
    ):
        (step,) = tie(graph, "0", second).steps
        assert step.operation == operation
        assert step.words.startswith(words)


def test_what_nothing_ties_says_so() -> None:
    graph = GRAPHS["digits-resnet"]()
    found = tie(graph, "conv1", "fc")
    assert (found.tied, found.steps, found.edges) == (False, (), ())
    assert "Nothing ties conv1 and fc" in why.sentence(found)


def test_layers_through_which_the_same_units_run_need_no_operation() -> None:
    found = tie(GRAPHS["flattened"](), "3", "4")
    assert (found.tied, found.steps, found.edges) == (True, (), (("3", "4"),))
    assert "same units run through 3 and 4" in why.sentence(found)


def test_the_sentence_counts_the_operations() -> None:
    graph = GRAPHS["digits-resnet"]()
    assert why.sentence(tie(graph, "conv1", "bn1")).endswith("one operation ties them.")
    assert "4 operations tie them" in why.sentence(tie(graph, "conv1", "layer1.2.bn2"))


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(BadInput, match="layer9"):
        tie(GRAPHS["flattened"](), "0", "layer9")


@pytest.mark.parametrize("wish", [None, {}, {"first": "0", "second": "layer9"}])
def test_the_page_may_ask_for_no_chain_or_about_layers_that_are_gone(wish: dict[str, Any] | None) -> None:
    assert asked_tie(Session(flattened(), image()), wish) is None


def test_the_page_is_answered_for_the_version_on_screen() -> None:
    session = Session(flattened(), image())
    assert asked_tie(session, {"first": "0", "second": "3"}) == tie(session.version.graph, "0", "3")
