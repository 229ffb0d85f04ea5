"""Dimensions that are merged for a product and taken apart behind it are cut each by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan, predicted, prune, score, trace
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
