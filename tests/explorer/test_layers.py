"""What the page knows of layers, and the graph without its trivial ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

from prunescope.core import DependencyGraph, plan, prune, score, trace
from prunescope.explorer.layers import Drawn, layers_record, trivial, width, widths_record, without
from prunescope.explorer.layout import Outline
from prunescope.explorer.view import layer_boxes
from tests.explorer.traced import GRAPHS


@pytest.fixture(scope="module", params=["flattened", "digits-resnet", "digits-vit"])
def graph(request: pytest.FixtureRequest) -> DependencyGraph:
    return GRAPHS[request.param]()


def reached(edges: Iterable[tuple[str, str]], kept: set[str]) -> set[tuple[str, str]]:
    """Pairs of kept layers with a way between them that runs through no other kept layer."""
    after: defaultdict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        after[source].append(target)
    found = set()
    for start in kept:
        waiting, seen = list(after[start]), set()
        while waiting:
            at = waiting.pop()
            if at in kept:
                found.add((start, at))
            elif at not in seen:
                seen.add(at)
                waiting += after[at]
    return {pair for pair in found if pair[0] != pair[1]}


def test_without_trivial_layers_the_others_are_joined_as_before(graph: DependencyGraph) -> None:
    whole = Drawn(layer_boxes(graph), graph.edges)
    hidden = trivial(graph)
    assert hidden
    plain = without(hidden, whole)
    kept = {box.id for box in plain.boxes}
    assert kept == {layer.name for layer in graph.layers} - hidden
    assert set(plain.edges) == reached(graph.edges, kept)


def test_every_hidden_layer_is_held_by_one_box_and_found_there(graph: DependencyGraph) -> None:
    plain = without(trivial(graph), Drawn(layer_boxes(graph), graph.edges))
    outline = Outline(plain.boxes, plain.edges)
    opened = frozenset(path for layer in graph.layers for path in outline.around(layer.name))
    shown = [layer for box in outline.arrange(opened).boxes for layer in box.layers]
    assert sorted(shown) == sorted(layer.name for layer in graph.layers)


def test_nothing_with_weights_or_two_inputs_is_trivial(graph: DependencyGraph) -> None:
    hidden = trivial(graph)
    for layer in graph.layers:
        sources = [edge for edge in graph.edges if edge[1] == layer.name]
        if layer.parameters or layer.macs or len(sources) != 1:
            assert layer.name not in hidden


def test_the_layers_parameters_and_macs_are_the_models(graph: DependencyGraph) -> None:
    record = layers_record(graph)
    assert list(record) == [layer.name for layer in graph.layers]
    assert sum(layer["macs"] for layer in record.values()) == sum(layer.macs for layer in graph.layers)
    weights = {name for layer in graph.layers for name in layer.parameters}
    own = dict(graph.model.named_parameters())
    shared = sum(own[name].numel() for name in weights if name in own)
    assert sum(layer["parameters"] for layer in record.values()) >= shared


def test_widths_are_those_of_the_tensors_that_the_layers_give() -> None:
    graph = GRAPHS["digits-resnet"]()
    for layer in graph.layers:
        if layer.kind in ("Conv2d", "BatchNorm2d") and width(layer):
            assert width(layer) == layer.output_shape[1]


def test_changed_widths_are_those_before_and_after_the_cut() -> None:
    graph = GRAPHS["digits-resnet"]()
    after = trace(prune(graph.model, plan(graph, score(graph), 0.5)).model, graph.example_inputs)
    found = widths_record(graph, after)
    assert found["layer1.0.conv1"] == (16, 8)
    assert "fc" not in found
    assert widths_record(graph, graph) == {}
