"""Dimensions that are merged for a product and taken apart behind it are cut each by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import plan, predicted, prune, score, trace
from prunescope.core.coupling import BOTH_WAYS
from prunescope.core.measure import macs, parameters

KINDS, INSIDE, OUTSIDE, BASES = 4, 16, 24, 6
X = torch.randn(6, 5)


class MixedWeights(nn.Module):
    """Weights for each kind of example, mixed of a few: the basis decomposition of relational graph networks."""

    def __init__(self, mixed: Callable[[Tensor, Tensor], Tensor], outside: int = OUTSIDE) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, INSIDE), nn.Linear(outside, 3)
        self.shares = nn.Parameter(torch.randn(KINDS, BASES))
        self.bases = nn.Parameter(torch.randn(BASES, INSIDE, outside) / 8)
        self.mixed = mixed

    def forward(self, x: Tensor) -> Tensor:
        weights = self.mixed(self.shares, self.bases)
        return self.last(sum(self.first(x).relu() @ weight for weight in weights.unbind(0)).relu())


MIXTURES = pytest.mark.parametrize(
    "mixed",
    [
        lambda shares, bases: torch.einsum("kb,bio->kio", shares, bases),
        lambda shares, bases: torch.tensordot(shares, bases, dims=1),
        lambda shares, bases: (shares @ bases.view(bases.shape[0], -1)).view(-1, *bases.shape[1:]),
        lambda shares, bases: torch.matmul(shares, bases.transpose(0, 1)).transpose(0, 1),
    ],
    ids=["einsum", "tensordot", "view", "matmul"],
)


@MIXTURES
def test_both_dimensions_are_cut_and_cost_what_is_predicted(mixed: Callable[[Tensor, Tensor], Tensor]) -> None:
    model = MixedWeights(mixed).eval()
    graph = trace(model, X)
    made = plan(graph, score(graph), ratio=0.5)
    pruned = prune(model, made).model
    assert (pruned.first.out_features, pruned.last.in_features) == (INSIDE // 2, OUTSIDE // 2)
    cost = predicted(graph, made)
    assert (cost.macs, cost.parameters) == (macs(pruned, X), parameters(pruned))


@MIXTURES
def test_what_holds_the_merged_elements_keeps_one_of_the_two(mixed: Callable[[Tensor, Tensor], Tensor]) -> None:
    class Offset(MixedWeights):
        def __init__(self) -> None:
            super().__init__(mixed)
            self.offset = nn.Parameter(torch.randn(INSIDE * OUTSIDE))

        def forward(self, x: Tensor) -> Tensor:
            weights = self.mixed(self.shares, self.bases).flatten(1) + self.offset
            return self.last((self.first(x).relu() @ weights.mean(0).view(INSIDE, -1)).relu())

    model = Offset().eval()
    graph = trace(model, X)
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    assert pruned.first.out_features == INSIDE
    assert pruned.last.in_features == OUTSIDE // 2


class DynamicConvolution(nn.Module):
    """Weights of every example, mixed of a few: the examples of a batch are groups of one convolution."""

    def __init__(self, inside: int, outside: int, shares: int = 3) -> None:
        super().__init__()
        self.inside, self.outside = inside, outside
        self.shares = nn.Linear(inside, shares)
        self.weight = nn.Parameter(torch.randn(shares, outside, inside, 3, 3) / 8)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        shares = self.shares(x.mean((2, 3))).softmax(1)
        mixed = torch.mm(shares, self.weight.view(self.weight.shape[0], -1))
        weight = mixed.view(batch * self.outside, self.inside, 3, 3)
        y = functional.conv2d(x.reshape(1, -1, height, width), weight, padding=1, groups=batch)
        return y.view(batch, self.outside, height, width)


def test_weights_that_are_mixed_for_every_example_lose_their_input_and_output_channels() -> None:
    layers = (nn.Conv2d(3, 16, 3), DynamicConvolution(16, 24), nn.ReLU(), DynamicConvolution(24, 20), nn.Flatten())
    model = nn.Sequential(*layers, nn.Linear(20 * 36, 5)).eval()
    x = torch.randn(2, 3, 8, 8)
    graph = trace(model, x)
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    assert pruned[1].weight.shape == (3, 12, 8, 3, 3)
    assert pruned[3].weight.shape == (3, 10, 12, 3, 3)
    assert pruned[5].in_features == 10 * 36


def test_weights_made_for_the_same_units_on_both_sides_stay_with_the_reason() -> None:
    class EdgeNetwork(nn.Module):
        """A weight for every edge, from the width to the width: message passing of quantum chemistry."""

        def __init__(self, width: int = 8) -> None:
            super().__init__()
            self.width = width
            self.node, self.edge, self.out = nn.Linear(5, width), nn.Linear(3, width * width), nn.Linear(width, 2)

        def forward(self, x: Tensor, edge: Tensor) -> Tensor:
            y = self.node(x)
            weight = self.edge(edge).view(-1, self.width, self.width)
            return self.out(y + torch.bmm(y.unsqueeze(1), weight).squeeze(1))

    graph = trace(EdgeNetwork().eval(), (torch.randn(4, 5), torch.randn(4, 3)))
    assert not graph.groups
    reasons = {lock.parameter: lock.reason for lock in graph.locks if lock.dim == 0}
    assert reasons["node.weight"] == reasons["edge.weight"] == BOTH_WAYS
