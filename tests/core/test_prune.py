"""The surgery: a new model, repaired, tied where it was tied, the original untouched."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import Pruned, plan, plan_units, prune, score, trace
from prunescope.core.errors import BadPlan, VerificationFailed


def halved(model: nn.Module, x: Tensor) -> nn.Module:
    graph = trace(model, x)
    return prune(model, plan(graph, score(graph), ratio=0.5)).model


def test_the_original_is_not_changed() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)).train()
    before = copy.deepcopy(model.state_dict())
    pruned = halved(model, torch.randn(1, 3, 8, 8))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert model.training
    assert pruned.training
    assert model[0].out_channels == 8


def test_sizes_of_known_layers_are_repaired_and_listed() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 3)
    ).eval()
    graph = trace(model, torch.randn(1, 3, 8, 8))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert (result.model[0].out_channels, result.model[1].num_channels, result.model[1].num_groups) == (
        4,
        4,
        2,
    )
    assert (result.model[2].groups, result.model[2].in_channels) == (4, 4)
    assert "2.groups 8 -> 4" in [str(repair) for repair in result.repairs]


class Recurrent(nn.Module):
    """Layers that get sizes and states from outside, so that a run asks none of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.enter = nn.EmbeddingBag(20, 16), nn.Linear(6, 16)
        self.lstm = nn.LSTM(16, 8, batch_first=True)
        self.gru, self.cell = nn.GRUCell(16, 12), nn.LSTMCell(12, 12)
        self.pair, self.head = nn.Bilinear(12, 8, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        x = self.enter(x)
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.full((len(x),), x.shape[1]), batch_first=True)
        _, (last, _) = self.lstm(packed)
        state = self.gru(self.bag(words), x.new_zeros(len(x), self.gru.hidden_size))
        state, _ = self.cell(state, (state, state))
        return self.head(self.pair(state, last[0]).relu())


def test_layers_that_are_used_in_another_way_after_a_cut_know_their_sizes() -> None:
    model = Recurrent().eval()
    inputs = torch.randn(2, 5, 6), torch.randint(0, 20, (2, 4))
    pruned = halved(model, inputs)
    assert (pruned.lstm.input_size, pruned.lstm.hidden_size) == (8, 4)
    assert (pruned.gru.input_size, pruned.gru.hidden_size, pruned.cell.input_size) == (8, 6, 6)
    assert (pruned.pair.in1_features, pruned.pair.in2_features, pruned.pair.out_features) == (6, 4, 5)
    assert pruned.bag.embedding_dim == 8
    pruned.lstm(torch.randn(2, 5, 8))
    pruned.gru(torch.randn(2, 8))
    pruned.cell(torch.randn(2, 6))


def test_tied_parameters_stay_tied_and_frozen_ones_frozen() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 8)
            self.inner = nn.Linear(8, 8)
            self.out = nn.Linear(8, 20, bias=False)
            self.out.weight = self.embed.weight
            self.inner.weight.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.inner(self.embed(x)))

    pruned = halved(Tied().eval(), torch.randint(0, 20, (2, 5)))
    assert pruned.out.weight is pruned.embed.weight
    assert tuple(pruned.embed.weight.shape) == (20, 4)
    assert not pruned.inner.weight.requires_grad
    assert pruned.embed.weight.requires_grad


def test_whole_groups_of_a_grouped_convolution_go_or_channels_in_every_group() -> None:
    model = nn.Sequential(nn.Conv2d(3, 12, 1), nn.Conv2d(12, 24, 3, groups=3), nn.Conv2d(24, 5, 1)).eval()
    graph = trace(model, torch.randn(1, 3, 8, 8))
    whole = next(group for group in graph.groups if group.kind == "channel groups")
    assert whole.size == 3
    cut = prune(model, plan_units(graph, {whole.name: [1]})).model
    assert (cut[1].groups, cut[1].in_channels, cut[1].out_channels) == (2, 8, 16)
    inside = [group for group in graph.groups if group.kind == "channels in every group"]
    assert sorted(group.size for group in inside) == [4, 8]
    cut = prune(model, plan_units(graph, {group.name: [0] for group in inside})).model
    assert (cut[1].groups, cut[1].in_channels, cut[1].out_channels) == (3, 9, 21)


def test_transposed_convolutions_are_cut_on_both_sides() -> None:
    model = nn.Sequential(
        nn.ConvTranspose2d(3, 8, 2, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 2, groups=4),
        nn.Conv2d(8, 2, 1),
    ).eval()
    pruned = halved(model, torch.randn(1, 3, 4, 4))
    assert (pruned[0].out_channels, pruned[2].groups, pruned[3].in_channels) == (4, 2, 4)


def test_concatenated_branches_are_cut_apart() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(14, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.a(x), self.b(x)
            return self.c(torch.cat([a, b, a], 1))

    model = Branches().eval()
    graph = trace(model, torch.randn(1, 3, 4, 4))
    cut = prune(model, plan_units(graph, {"a": [0], "b": [5]})).model
    assert tuple(cut.c.weight.shape[:2]) == (2, 11)


def test_a_one_channel_gate_is_not_coupled_with_the_channels_it_scales() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.gate, self.out = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 1, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.body(x) * self.gate(x).sigmoid())

    group = trace(Gate(), torch.randn(1, 3, 4, 4)).group_of("body")
    assert group is not None
    assert set(group.layers) == {"body", "out"}


def test_a_model_that_would_not_run_is_never_returned() -> None:
    class Stubborn(nn.Module):
        """Its forward pass refuses another width than the one it was written for."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Linear(8 * 16, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            if x.shape[1] != 8:
                raise RuntimeError("eight channels, please")
            return self.b(x.flatten(1))

    model = Stubborn().eval()
    graph = trace(model, torch.randn(2, 3, 4, 4))
    with pytest.raises(VerificationFailed, match="does not run"):
        prune(model, plan(graph, score(graph), ratio=0.5))


def test_what_fails_verification_is_left_out_and_named_and_the_rest_is_done() -> None:
    class HalfStubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.d = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.b(self.a(x).relu()).relu()
            if x.shape[-1] != 8:
                raise RuntimeError("eight features, please")
            return self.d(self.c(x).relu())

    model = HalfStubborn().eval()
    graph = trace(model, torch.randn(2, 4))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert [culprit.group for culprit in result.left_out] == ["b"]
    assert "eight features" in result.left_out[0].reason
    assert (result.model.a.out_features, result.model.b.out_features, result.model.c.out_features) == (4, 8, 4)
    assert {removal.group for removal in result.plan.removals} == {"a", "c"}


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_is_exact_over_the_channels_that_are_left(groups: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(groups, 8), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    nn.init.normal_(model[1].bias)
    graph = trace(model, torch.randn(2, 3, 8, 8))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.verification is not None
    assert result.verification.difference is not None
    assert result.verification.difference < 1e-5
    assert result.verification.statistics == ("1",)


def test_where_nothing_can_be_cut_the_refusal_says_why() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).view(-1, 2, 4).flatten(1))

    model = Fixed().eval()
    graph = trace(model, torch.randn(2, 4))
    with pytest.raises(BadPlan, match=r"no group can be cut.*a number in the code \(view\).*test_prune.py"):
        prune(model, plan(graph, score(graph), ratio=0.5))


class OwnPrecision(nn.Module):
    """Cannot be run in float64; `fault` makes its output depend on its width, by a way that no trace can see."""

    def __init__(self, fault: float) -> None:
        super().__init__()
        self.fault = fault
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.first(x).float()) * (1 + self.fault * len(self.first.weight.tolist()))
        return out


def cut_in_half(model: nn.Module) -> Pruned:
    graph = trace(model, torch.randn(1, 3, generator=torch.Generator().manual_seed(0)))
    return prune(model, plan(graph, score(graph), ratio=0.5))


def test_a_small_fault_is_refused_in_a_model_that_cannot_be_run_in_a_higher_precision() -> None:
    torch.manual_seed(0)
    found = cut_in_half(OwnPrecision(0.0)).verification
    assert found is not None
    assert found.precision == "float32"
    with pytest.raises(VerificationFailed, match="float32"):
        cut_in_half(OwnPrecision(1e-5))
