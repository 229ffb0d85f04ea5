"""Targets: what is asked for is met by the smallest cut that meets it, or refused with what can be had."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import DependencyGraph, Plan, plan, plan_units, predicted, prune, score, trace
from prunescope.core.errors import BadPlan, MeasurementFailed
from prunescope.core.latency import fit_latency
from prunescope.core.measure import macs, parameters, size_bytes
from prunescope.core.ranking import ranking, structure
from prunescope.core.timing import latency
from tests.models import flattened

X = torch.randn(2, 3, 16, 16)


class Block(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, hidden, 3, padding=1)
        self.norm = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.conv2(torch.relu(self.norm(self.conv1(x))))
        return y


class Residual(nn.Module):
    """A stem, three blocks of different inner widths, and two branches that are concatenated."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.blocks = nn.ModuleList(Block(24, hidden) for hidden in (16, 40, 64))
        self.left, self.right = nn.Conv2d(24, 20, 1), nn.Conv2d(24, 28, 3, padding=1)
        self.join = nn.Conv2d(48, 30, 1)
        self.fc = nn.Linear(30, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.join(torch.cat([self.left(x), self.right(x)], 1)).mean((2, 3))
        y: Tensor = self.fc(x)
        return y


@pytest.fixture(scope="module")
def graph() -> DependencyGraph:
    return trace(Residual().eval(), X)


def cut(made: Plan) -> dict[str, int]:
    return {removal.group: len(removal.units) for removal in made.removals}


def removed(made: Plan, group: str) -> int:
    return cut(made).get(group, 0)


@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
@pytest.mark.parametrize("name", ["macs", "parameters", "bytes"])
@pytest.mark.parametrize("share", [0.8, 0.45, 0.2])
def test_a_target_is_met_in_the_pruned_model_and_one_unit_less_would_miss_it(
    graph: DependencyGraph, scope: Any, name: str, share: float
) -> None:
    def measured(model: nn.Module) -> int:
        return {"macs": macs(model, X), "parameters": parameters(model), "bytes": size_bytes(model)}[name]

    scores = score(graph)
    made = plan(graph, scores, scope=scope, **{name: share})
    model = prune(graph.model, made).model
    limit = share * measured(graph.model)
    assert measured(model) <= limit
    order = ranking(graph, scores, graph.groups, scope, most={g.index: g.size - 1 for g in graph.groups}, fixed={})
    gone = {group.index: removed(made, group.name) for group in graph.groups}
    cuts = [{g: len(units) for g, units in order.cut(float(at)).items()} for at in order.shares()]
    before, after = next(
        (few, many) for few, many in pairwise(cuts) if all(gone[g] in (few[g], many[g]) for g in gone) and gone != few
    )
    last = max(g for g in gone if gone[g] > before[g])  # of the groups that step together, the last to go
    assert all(gone[g] == after[g] for g in gone if g < last)
    fewer = {graph.groups[g].name: order.units[g][: before[g] if g == last else count] for g, count in gone.items()}
    assert measured(prune(graph.model, plan_units(graph, fewer)).model) > limit


def test_what_is_predicted_of_a_target_is_what_the_pruned_model_has(graph: DependencyGraph) -> None:
    made = plan(graph, score(graph), macs=0.35, scope="global")
    model = prune(graph.model, made).model
    cost = predicted(graph, made)
    assert (cost.macs, cost.parameters) == (macs(model, X), parameters(model))


def test_a_global_ratio_takes_the_units_with_the_lowest_scores_of_all(graph: DependencyGraph) -> None:
    scores = score(graph)
    made = plan(graph, scores, 0.3, scope="global")
    gone = {(r.group, unit) for r in made.removals for unit in r.units}
    everything = sorted((float(value), name, n) for name, values in scores.items() for n, value in enumerate(values))
    assert len(gone) == int(0.3 * len(everything))
    highest = max(float(scores[name][unit]) for name, unit in gone)
    assert all(value >= highest for value, name, unit in everything if (name, unit) not in gone)


def test_isomorphic_ranking_compares_groups_of_one_structure_and_cuts_the_same_share_of_every_structure(
    graph: DependencyGraph,
) -> None:
    inner = [graph.group(f"blocks.{n}.conv1") for n in range(3)]
    assert len({structure(graph, group) for group in inner}) == 1
    assert structure(graph, inner[0]) != structure(graph, graph.group("stem"))
    scores = dict(score(graph))
    scores[inner[0].name] = scores[inner[0].name] * 1e-6
    made = cut(plan(graph, scores, 0.25, scope="isomorphic"))
    assert made[inner[0].name] == inner[0].size - 1
    assert sum(made.get(group.name, 0) for group in inner) == 30
    assert made["stem"] == 6


def test_ratios_decide_for_what_they_name_and_the_longest_name_counts(graph: DependencyGraph) -> None:
    scores = score(graph)
    made = cut(plan(graph, scores, 0.5, ratios={"blocks": 0.25, "blocks.1.conv1": 0.0, "stem": 0.125}))
    assert made["blocks.0.conv1"] == 4
    assert made["blocks.2.conv1"] == 16
    assert "blocks.1.conv1" not in made
    assert made["stem"] == 3
    assert made["left"] == 10
    assert cut(plan(graph, scores, ratios={"stem": 0.5})) == {"stem": 12}
    left = plan(graph, scores, macs=0.5, ratios={"blocks.2": 0.75})
    assert cut(left)["blocks.2.conv1"] == 48
    assert predicted(graph, left).macs <= 0.5 * macs(graph.model, X)


def test_no_group_falls_below_its_floor_or_loses_more_than_its_ceiling(graph: DependencyGraph) -> None:
    scores = score(graph)
    made = cut(plan(graph, scores, 0.9, floor=8, ceiling={"stem": 0.25}))
    assert made["stem"] == 6
    assert all(graph.group(name).size - count >= 8 for name, count in made.items())
    low = cut(plan(graph, scores, 0.9, floor={"blocks.0": 10}, ceiling=0.5))
    assert low["blocks.0.conv1"] == 6
    assert all(count <= graph.group(name).size / 2 for name, count in low.items())


@pytest.mark.parametrize("step", [4, 8])
def test_rounded_sizes_hold_for_every_layer_where_they_held_before(step: int) -> None:
    class Odd(Residual):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
            self.into = nn.Linear(10, 32)

        def forward(self, x: Tensor) -> Tensor:
            y = self.into(super().forward(x))[:, None]
            out: Tensor = self.attention(y, y, y)[0]
            return out

    graph = trace(Odd().eval(), X)
    for scope in ("local", "global"):
        model = prune(graph.model, plan(graph, score(graph), 0.6, scope=scope, round_to=step)).model
        before = dict(graph.model.named_parameters())
        narrower = 0
        for name, weight in model.named_parameters():
            for old, new in zip(before[name].shape, weight.shape, strict=True):
                narrower += new < old
                assert new == old or old % step or new % step == 0, (name, old, new)
        assert narrower > 5


@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
@pytest.mark.parametrize("share", [0.35, 0.5, 0.65, 0.8])
def test_where_sizes_are_tied_the_free_ones_make_up_for_their_leaps(scope: Any, share: float) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(96, 6, 384, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    model = nn.Sequential(nn.Linear(16, 96), encoder, nn.Linear(96, 8))
    graph = trace(model.eval(), torch.randn(2, 5, 16))
    made = plan(graph, score(graph), macs=share, scope=scope)
    left = macs(prune(graph.model, made).model, torch.randn(2, 5, 16)) / macs(graph.model, torch.randn(2, 5, 16))
    assert share - 0.01 < left <= share


def test_rounding_gives_units_back_and_never_takes_more(graph: DependencyGraph) -> None:
    scores = score(graph)
    free, rounded = cut(plan(graph, scores, 0.55)), cut(plan(graph, scores, 0.55, round_to=4))
    assert all(rounded.get(name, 0) <= count for name, count in free.items())


def test_groups_whose_statistics_change_go_last() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.norm = nn.Linear(8, 32), nn.LayerNorm(32)
            self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.down(torch.relu(self.up(self.norm(self.into(x)))))
            return y

    graph = trace(Normed().eval(), torch.randn(3, 8))
    scores = score(graph)
    assert cut(plan(graph, scores, 0.5, statistics="last")) == {"up": 32}
    assert set(cut(plan(graph, scores, macs=0.6, statistics="last"))) == {"up"}
    much = cut(plan(graph, scores, macs=0.02, statistics="last"))
    assert much["up"] == 63
    assert much["into"] > 0


def test_latency_is_met_as_measured_beside_the_original() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(512, 512), nn.ReLU()) for _ in range(6)), nn.Linear(512, 8)).eval()
    x = torch.randn(64, 512)
    graph = trace(model, x)
    made = plan(graph, score(graph), latency=0.5)
    assert 0.05 < predicted(graph, made).macs / macs(model, x) < 0.9
    original, pruned = latency([model, prune(model, made).model], x, rounds=15)
    assert pruned.median_ms < 0.75 * original.median_ms  # half was asked for; the machine is shared


def test_a_latency_model_gives_the_original_its_own_time() -> None:
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).eval()
    graph = trace(model, torch.randn(32, 256))
    fitted, shares = fit_latency(graph, [{0: list(range(k))} for k in (128, 256, 384)])
    assert len(shares) == 3
    assert fitted.original_ms > 0
    assert all(weight >= 0 for weight in fitted.weights)
    assert fitted.share(graph, {0: list(range(500))}) <= fitted.share(graph, {})


def test_a_model_without_values_has_no_latency() -> None:
    with torch.device("meta"):
        model, x = flattened(), torch.randn(1, 3, 8, 8)
    graph = trace(model, x)
    with pytest.raises(MeasurementFailed, match="meta device"):
        plan(graph, score(graph), latency=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no target"),
        ({"ratio": 0.5, "macs": 0.5}, "2 targets"),
        ({"macs": 1.2}, "over 0 and up to 1"),
        ({"macs": 0}, "over 0 and up to 1"),
        ({"ratio": 0.5, "scope": "everywhere"}, "local, global, isomorphic"),
        ({"ratio": 0.5, "statistics": "ignore"}, "cut, last, keep"),
        ({"ratio": 0.5, "floor": 0}, "at least 1 unit"),
        ({"ratio": 0.5, "ceiling": 1.5}, "a share from 0 to 1"),
        ({"ratio": 0.5, "round_to": 0}, "at least 1"),
        ({"ratios": {"stem": 1.0}}, "up to, but not including, 1"),
        ({"ratios": {"fc": 0.5}}, "locked"),
        ({"ratios": {"stem": 0.5}, "protect": ["stem"]}, "does not cut stem"),
        ({"ratios": {"stem": 0.5}, "groups": ["blocks.1.conv1"]}, "does not cut stem"),
        ({"macs": 0.01, "ceiling": 0.5}, r"is the least .* fc is locked: .* loses at most 12 of 24"),
    ],
)
def test_a_target_that_cannot_be_met_says_why(graph: DependencyGraph, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        plan(graph, score(graph), **options)


def test_the_least_that_is_named_can_be_had(graph: DependencyGraph) -> None:
    with pytest.raises(BadPlan) as refusal:
        plan(graph, score(graph), macs=0.001)
    least = float(refusal.value.what_to_do.split("macs=")[1].split(")")[0])
    assert predicted(graph, plan(graph, score(graph), macs=least)).macs <= least * macs(graph.model, X)
