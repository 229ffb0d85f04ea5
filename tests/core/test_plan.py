"""Plans: what is decided is a value, and what cannot be decided is said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import Plan, plan, plan_units, predicted, prune, score, trace
from prunescope.core.cost import ledger
from prunescope.core.errors import BadPlan, PrunescopeError, TraceFailed
from prunescope.core.measure import macs, parameters
from tests.models import flattened as network

X = torch.randn(1, 3, 8, 8)


def test_inputs_that_cannot_be_made_up_are_asked_for() -> None:
    class Numbered(nn.Module):
        """Takes numbers of rows as floats, as some recommenders do."""

        def __init__(self) -> None:
            super().__init__()
            self.rows, self.last = nn.Embedding(4, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.rows(x.long() - 1000).relu())

    model, x = Numbered().eval(), torch.full((2, 1), 1001.0)
    graph = trace(model, x)
    again = Plan.from_json(plan(graph, score(graph), ratio=0.5).to_json())
    with pytest.raises(TraceFailed, match=r"(?s)random inputs.*example_inputs="):
        prune(model, again)
    assert prune(model, again, example_inputs=x).model.last.in_features == 4


def test_a_plan_survives_json() -> None:
    graph = trace(network(), X)
    made = plan(graph, score(graph), ratio=0.5)
    read = Plan.from_json(made.to_json())
    assert read == made
    cut_again = prune(network(), read).model
    cut = prune(graph.model, made).model
    assert all(torch.equal(a, b) for a, b in zip(cut.parameters(), cut_again.parameters(), strict=True))


class ByEdge(nn.Module):
    """Features by the names of two types of nodes that edges join, as heterogeneous graphs have them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, features: dict[tuple[str, str], torch.Tensor]) -> torch.Tensor:
        return self.out(self.hidden(features["a", "b"]).relu())


def test_a_plan_carries_inputs_in_dictionaries_with_any_keys() -> None:
    model = ByEdge()
    graph = trace(model, ({("a", "b"): torch.randn(4, 6)},))
    read = Plan.from_json(plan(graph, score(graph), ratio=0.5).to_json())
    assert prune(model, read).model.hidden.out_features == 8


def test_the_least_important_units_go() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[[2, 5]] *= 1e-3
        model[0].bias[[2, 5]] *= 1e-3
        model[1].weight[[2, 5]] *= 1e-3
        model[3].weight[:, [2, 5]] *= 1e-3
    graph = trace(model, X)
    made = plan(graph, score(graph), ratio=0.25, groups=["0"])
    assert made.removals[0].units == (2, 5)


def test_scores_are_the_squared_weights_of_all_members_over_the_groups_mean() -> None:
    model = network()
    graph = trace(model, X)
    norm, first, second = model[1], model[0], model[3]
    expected = (
        first.weight.square().sum((1, 2, 3))
        + first.bias.square()
        + norm.weight.square()
        + norm.bias.square()
        + second.weight.square().sum((0, 2, 3))
    )
    torch.testing.assert_close(score(graph)["0"], (expected / expected.mean()).detach())


def test_every_unit_of_a_flattened_channel_goes() -> None:
    graph = trace(network(), X)
    group = graph.group_of("3")
    assert group is not None
    member = next(m for m in group.members if m.parameter == "5.weight")
    assert list(member.indices[1]) == list(range(16, 32))


@pytest.mark.parametrize("units", [{"0": [1]}, {"3": [0, 7]}, {"0": [0, 1, 2], "3": [11]}])
def test_predicted_cost_is_the_measured_one(units: dict[str, list[int]]) -> None:
    graph = trace(network(), X)
    made = plan_units(graph, units)
    left = predicted(graph, made)
    cut = prune(graph.model, made).model
    assert (left.parameters, left.macs) == (parameters(cut), macs(cut, X))


def test_a_units_cost_is_what_its_removal_saves() -> None:
    graph = trace(network(), X)
    group = graph.group("0")
    cost = ledger(graph).unit_costs(group)
    cut = prune(graph.model, plan_units(graph, {"0": [3]})).model
    assert cost.parameters == parameters(graph.model) - parameters(cut)
    assert cost.macs == macs(graph.model, X) - macs(cut, X)


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, float("nan"), "half", True])
def test_a_ratio_out_of_range_is_refused(ratio: object) -> None:
    graph = trace(network(), X)
    with pytest.raises(BadPlan, match="from 0 up to"):
        plan(graph, score(graph), ratio=ratio)  # type: ignore[arg-type]


def test_a_plan_for_another_model_is_refused_and_nothing_changes() -> None:
    graph = trace(network(), X)
    made = plan(graph, score(graph), ratio=0.5)
    other = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 5))
    before = parameters(other)
    with pytest.raises(BadPlan, match="another model"):
        prune(other, made)
    assert parameters(other) == before


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"0": [8]}, r"units \[8\] do not exist"),
        ({"0": range(8)}, "no unit would be left"),
        ({"5": [0]}, "it is the model's output"),
        ({"nowhere": [0]}, "no group of that name"),
    ],
)
def test_units_that_cannot_go_are_named(units: dict[str, list[int]], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        plan_units(trace(network(), X), units)


def test_text_that_is_no_plan_is_refused() -> None:
    for text in ("", "{}", '{"format": 99}', "[1]"):
        with pytest.raises(BadPlan, match="read a plan"):
            Plan.from_json(text)


def test_an_empty_plan_is_refused_with_the_way_out() -> None:
    graph = trace(network(), X)
    with pytest.raises(PrunescopeError, match="higher ratio"):
        prune(graph.model, plan(graph, score(graph), ratio=0.01))


def test_protected_layers_keep_their_units() -> None:
    graph = trace(network(), X)
    for protected, left in (("3", {"0"}), ("2", {"3"}), ("0", {"3"})):
        made = plan(graph, score(graph), ratio=0.5, protect=[protected])
        assert {removal.group for removal in made.removals} == left


class Attention(nn.Module):
    """Attention by hand with a scale of its own, between two linear layers; the norm takes statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.scale = 4, 0.25
        self.into, self.norm, self.qkv = nn.Linear(6, 32), nn.LayerNorm(32), nn.Linear(32, 96)
        self.out, self.last = nn.Linear(32, 32), nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = ((q @ k.transpose(-1, -2)) * self.scale).softmax(-1) @ v
        return self.last(x + self.out(attended.transpose(1, 2).flatten(2)))


def attention() -> nn.Module:
    torch.manual_seed(0)
    return Attention().eval()


TOKENS = torch.randn(2, 5, 6)


def test_where_there_are_two_ways_to_cut_the_kind_chooses() -> None:
    model = attention()
    graph = trace(model, TOKENS)
    heads = plan(graph, score(graph), ratio=0.5)
    widths = plan(graph, score(graph), ratio=0.5, kind="head dimensions")
    assert "heads" in {graph.group(r.group).kind for r in heads.removals}
    assert "head dimensions" in {graph.group(r.group).kind for r in widths.removals}
    assert prune(model, heads).model.heads == 2
    narrow = prune(model, widths).model
    assert narrow.heads == 4
    assert narrow.qkv.out_features == 48
    with pytest.raises(BadPlan, match="the kinds are channels, heads, head dimensions"):
        plan(graph, score(graph), ratio=0.5, kind="experts")


def test_a_layers_outputs_and_its_inputs_are_protected_apart() -> None:
    graph = trace(network(), X)
    cut = {
        name: {removal.group for removal in plan(graph, score(graph), ratio=0.5, **options).removals}
        for name, options in {
            "all": {},
            "outputs": {"protect": ["3"]},
            "inputs": {"protect_inputs": ["3"]},
            "both": {"protect": ["3"], "protect_inputs": ["3"]},
        }.items()
    }
    assert cut == {"all": {"0", "3"}, "outputs": {"0"}, "inputs": {"3"}, "both": set()}


def test_groups_whose_cut_changes_statistics_are_named_and_can_be_kept() -> None:
    graph = trace(attention(), TOKENS)
    residual = graph.group_of("into")
    assert residual is not None
    assert residual.statistics == ("norm",)
    kept = plan(graph, score(graph), ratio=0.5, statistics="keep")
    assert kept.removals
    assert residual.name not in {removal.group for removal in kept.removals}


class TiedHeads(nn.Module):
    """Its code wants the width to be heads times 16, which no operation says."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.attention, self.out = (
            nn.Linear(6, 128),
            nn.MultiheadAttention(128, 8, batch_first=True),
            nn.Linear(128, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        y: torch.Tensor = self.out(x + self.attention(x, x, x)[0])
        return y


@pytest.mark.parametrize(("ratio", "heads"), [(0.3, 2), (0.45, 3), (0.6, 4), (0.8, 6)])
def test_where_sizes_are_tied_only_as_many_units_come_back_as_it_takes(ratio: float, heads: int) -> None:
    graph = trace(TiedHeads().eval(), torch.randn(2, 5, 6))
    made = plan(graph, score(graph), ratio)
    assert {graph.group(r.group).kind: len(r.units) for r in made.removals} == {"heads": heads, "channels": 16 * heads}
    prune(graph.model, made)
