"""What the page is given: plain records that say what the core says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import DependencyGraph, plan, plan_units, predicted, score, trace
from prunescope.core.cost import Cost
from prunescope.core.graph import Side
from prunescope.core.plan import cut_groups
from prunescope.core.timing import Latency
from prunescope.explorer import account, view
from prunescope.explorer.locked import padlocks
from prunescope.explorer.session import Session
from tests.explorer.traced import GRAPHS
from tests.models import flattened, image

SIDES: tuple[Side, Side] = ("out", "in")


@pytest.fixture(scope="module", params=["flattened", "grouped", "ragged", "digits-resnet"])
def graph(request: pytest.FixtureRequest) -> DependencyGraph:
    return GRAPHS[request.param]()


def as_sent(record: Any) -> Any:
    """The record as it arrives in the browser; NaN and infinity do not."""
    return json.loads(json.dumps(record, allow_nan=False))


def test_there_is_a_box_for_every_layer_in_the_order_of_the_run(graph: DependencyGraph) -> None:
    boxes = view.layer_boxes(graph)
    assert [box.id for box in boxes] == [layer.name for layer in graph.layers]
    as_sent([asdict(box) for box in boxes])


def test_a_layer_stands_in_the_frame_of_the_module_whose_code_ran_it(graph: DependencyGraph) -> None:
    modules = dict(graph.model.named_modules())
    for box, layer in zip(view.layer_boxes(graph), graph.layers, strict=True):
        assert box.module in modules
        if layer.is_module:
            assert layer.module in {
                f"{box.module}.{name}".lstrip(".") for name, _ in modules[box.module].named_children()
            }


@pytest.mark.parametrize(("shape", "text"), [((1, 64, 56, 56), "64 × 56 × 56"), ((8, 10), "10"), ((7,), "7"), ((), "")])
def test_a_shape_is_shown_without_its_batch(shape: tuple[int, ...], text: str) -> None:
    assert view.shape_text(shape) == text


def test_the_coupling_of_every_layer_is_the_cores_group_of_that_side(graph: DependencyGraph) -> None:
    record = as_sent(view.coupling_record(graph))
    assert list(record["layers"]) == [layer.name for layer in graph.layers]
    for layer in graph.layers:
        for side in SIDES:
            group, index = graph.group_of(layer.name, side), record["layers"][layer.name][side]
            assert (group is None) == (index is None)
            if group is not None:
                sent = record["groups"][index]
                assert (sent["name"], sent["kind"], sent["size"]) == (group.name, group.kind, group.size)
                assert sent["lock"] == (group.lock.reason if group.lock else None)


def test_the_members_of_every_group_are_the_layers_that_own_them(graph: DependencyGraph) -> None:
    record = as_sent(view.coupling_record(graph))
    for group in (*graph.groups, *graph.locked_groups):
        layers = {member["layer"] for member in record["groups"][group.index]["members"]}
        assert {graph.layer(name).module for name in layers} == set(group.layers)


def test_locked_are_the_padlocks_of_the_layers(graph: DependencyGraph) -> None:
    record = as_sent(view.coupling_record(graph))["locked"]
    assert {name: [(lock["text"], lock["reason"], lock["where"]) for lock in own] for name, own in record.items()} == {
        name: [(lock.text, lock.reason, lock.where) for lock in own] for name, own in padlocks(graph).items()
    }


def test_a_convolution_holds_its_group_on_one_side_and_a_norm_on_both() -> None:
    graph = GRAPHS["flattened"]()
    assert view.group_layers(graph, graph.group("0")) == {"0": "out", "1": "both", "3": "in"}
    assert view.group_layers(graph, graph.group("3")) == {"3": "out", "5": "in"}


def test_a_layer_whose_two_sides_are_in_one_group_is_on_both() -> None:
    square = nn.Conv2d(6, 6, 3, padding=1)

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.square, self.last = nn.Conv2d(3, 6, 1), square, nn.Conv2d(6, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            out: Tensor = self.last(x + self.square(x))
            return out

    graph = trace(Residual(), image())
    assert view.group_layers(graph, graph.group("first")) == {"first": "out", "square": "both", "last": "in"}


class Shares(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.hidden, self.out = nn.LayerNorm(8), nn.Linear(8, 6), nn.Linear(6, 2)
        self.first = nn.Linear(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.hidden(self.norm(self.first(x))).softmax(-1))
        return out


def test_a_group_says_which_layers_take_statistics_over_it_and_that_its_units_compete() -> None:
    graph = trace(Shares(), torch.randn(2, 3))
    assert "in norm," in " ".join(view.group_notes(graph.group("first")))
    (changes, competing) = view.group_notes(graph.group("hidden (competing units)"))
    assert "in softmax," in changes
    assert "softmax" in competing
    assert view.group_notes(GRAPHS["flattened"]().group("0")) == ()


def test_a_module_without_a_call_is_shown_by_the_layer_that_reads_its_weight() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 5), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.linear(x, self.first.weight, self.first.bias)
            out: Tensor = self.last(x)
            return out

    graph = trace(Functional(), torch.randn(2, 6))
    shown = view.shown_layer(graph, "first")
    assert shown is not None
    assert "first.weight" in graph.layer(shown).parameters
    assert (view.shown_layer(graph, "last"), view.shown_layer(graph, "(model)")) == ("last", None)


def test_a_row_for_each_member_says_where_it_is_and_how_much_of_it_a_unit_holds() -> None:
    graph = GRAPHS["flattened"]()
    rows = [
        (r.layer, r.parameter, r.dim, r.size, r.indices, r.side, r.kind) for r in view.member_rows(graph.group("3"))
    ]
    assert rows == [
        ("3", "weight", 0, 12, "1", "f⁺", "weight"),
        ("3", "bias", 0, 12, "1", "f⁻ f⁺", "weight"),
        ("5", "weight", 1, 192, "16", "f⁻", "weight"),
    ]
    assert [r.kind for r in view.member_rows(graph.group("0")) if "running" in r.parameter] == ["statistic"] * 2


def test_units_of_different_size_are_shown_as_a_range() -> None:
    graph = GRAPHS["ragged"]()
    assert {row.layer: row.indices for row in view.member_rows(graph.group("a"))} == {
        "a": "1 to 2",
        "b": "1 to 2",
        "c": "2 to 3",
        "last": "180 to 216",
    }


def test_the_sentence_counts_units_and_layers() -> None:
    graph = GRAPHS["flattened"]()
    sentence = view.group_sentence(graph, graph.group("0"), "3", "in")
    assert sentence == "The input side of 3: 8 channels that go through 3 layers together."


def test_the_heatmap_is_each_members_share_of_a_unit_scaled_to_its_largest_units_by_score() -> None:
    model = flattened()
    graph = trace(model, image())
    scores = score(graph)["3"]
    heat = view.importance_heatmap(graph, graph.group("3"), scores, "magnitude")
    order = sorted(range(12), key=lambda unit: -scores[unit].item())
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    by_unit = torch.stack(
        [
            weights["3.weight"].square().sum((1, 2, 3)),
            weights["3.bias"].square(),
            weights["5.weight"].square().sum(0).view(12, 16).sum(1),
        ]
    )
    assert heat.columns == tuple(order)
    assert heat.rows == ("3.weight [0]", "3.bias [0]", "5.weight [1]")
    torch.testing.assert_close(torch.tensor(heat.values), (by_unit / by_unit.amax(1, keepdim=True))[:, order])
    torch.testing.assert_close(torch.tensor(heat.totals), scores[order])


def test_a_member_that_is_all_zero_is_shown_as_zero() -> None:
    model = flattened()
    with torch.no_grad():
        model[3].bias.zero_()
    graph = trace(model, image())
    heat = view.importance_heatmap(graph, graph.group("3"), score(graph)["3"], "magnitude")
    assert heat.values[1] == [0] * 12
    as_sent(asdict(heat))


def test_statistics_have_no_row_in_the_heatmap() -> None:
    graph = GRAPHS["flattened"]()
    heat = view.importance_heatmap(graph, graph.group("0"), score(graph)["0"], "magnitude")
    assert not [row for row in heat.rows if "running" in row]


def test_the_overview_ranks_the_units_of_every_group_that_a_cut_takes(graph: DependencyGraph) -> None:
    scores = score(graph)
    heat = view.overview_heatmap(graph, scores)
    assert list(heat.rows) == [group.name for group in cut_groups(graph)]
    for name, row in zip(heat.rows, heat.values, strict=True):
        assert len(row) == len(heat.columns)
        assert row == sorted(row, reverse=True)
        assert (row[0], row[-1]) == (scores[name].max().item(), scores[name].min().item())
        assert set(row) <= set(scores[name].tolist())


def left_over(ledger: dict[str, Any], removed: Mapping[int, int]) -> Cost:
    """The ledger read as the page reads it: group index -> how many of its least important units go."""
    sizes = []
    for size, parts in ledger["dims"]:
        gone = [each[removed[g]] if isinstance(each, list) else each * removed[g] for g, each in parts if g in removed]
        sizes.append(size - sum(gone))
    totals = [sum(f * prod(sizes[d] for d in dims) for f, *dims in ledger[kind]) for kind in ("parameters", "macs")]
    return Cost(*totals)


@pytest.mark.parametrize("ratio", [0, 0.1, 0.25, 0.5, 0.75, 0.95])
def test_the_ledger_gives_the_predicted_cost_of_a_cut_of_all_groups(graph: DependencyGraph, ratio: float) -> None:
    scores = score(graph)
    ledger = as_sent(account.ledger_record(graph, scores))
    removed = {index: int(ledger["sizes"][str(index)] * ratio) for index in ledger["all"]}
    assert left_over(ledger, removed) == predicted(graph, plan(graph, scores, ratio=ratio))


def test_the_ledger_gives_the_predicted_cost_of_any_number_of_units_of_any_group(graph: DependencyGraph) -> None:
    scores = score(graph)
    ledger = as_sent(account.ledger_record(graph, scores))
    assert ledger["sizes"] == {str(group.index): group.size for group in graph.groups}
    for group in graph.groups:
        least = scores[group.name].argsort(stable=True).tolist()
        for count in range(group.size):
            made = plan_units(graph, {group.name: least[:count]})
            assert left_over(ledger, {group.index: count}) == predicted(graph, made)


def test_a_row_for_each_version_says_its_share_of_the_original() -> None:
    session = Session(flattened(), image(), evaluate=lambda model: 0.5)
    session.apply(plan(session.version.graph, session.scores(), ratio=0.5), "half")
    session.measure()
    original, half = as_sent(view.version_rows(session))
    versions = session.versions
    assert (original["shown"], half["shown"]) == (False, True)
    assert (original["parameters_share"], original["macs_share"]) == (1, 1)
    assert half["parameters_share"] == versions[1].parameters / versions[0].parameters
    assert half["macs_share"] == versions[1].macs / versions[0].macs
    assert (half["accuracy"], half["parent"], half["name"]) == (0.5, 0, "half")
    assert (original["exact"], half["exact"][:4]) == ("", "runs")


@pytest.mark.parametrize(
    ("found", "text"),
    [(None, ""), (Latency(6.69, 0.5, 100, 1), "6.69 ms"), (Latency(6.69, 5.0, 100, 1), "≈ 6.69 ms")],
)
def test_a_latency_whose_rounds_are_far_apart_is_told_as_a_rough_one(found: Latency | None, text: str) -> None:
    version = replace(Session(flattened(), image()).version, latency=found)
    assert view.latency_text(version) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (272_474, "272 k"),
        (999_499, "999 k"),
        (999_999, "1 M"),
        (41_200_000, "41.2 M"),
        (4_089_184_256, "4.09 G"),
    ],
)
def test_a_quantity_has_three_digits_and_a_unit(value: float, text: str) -> None:
    assert view.quantity(value) == text
