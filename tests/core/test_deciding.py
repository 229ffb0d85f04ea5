"""Guards in the code: what only decides what happens next ties no units and changes no statistic."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan, prune, score, trace


def unguarded(x: Tensor) -> Tensor:
    return x


def asserted(x: Tensor) -> Tensor:
    assert torch.isfinite(x).all()
    return x


def repaired(x: Tensor) -> Tensor:
    return torch.nan_to_num(x) if torch.isnan(x).any() else x


def limited(x: Tensor) -> Tensor:
    return x.clamp(max=1e4) if x.max() > 1e4 else x


def both(x: Tensor) -> Tensor:
    if torch.isnan(x).any().logical_or(torch.isinf(x).any()):
        raise FloatingPointError
    return x


def distributed(x: Tensor) -> Tensor:
    """Distributions check their arguments."""
    return torch.distributions.Normal(x, x.exp()).mean


def scaled_by_the_largest(x: Tensor) -> Tensor:
    """No guard: what is made of the number goes on."""
    return x / x.abs().max().item()


GUARDS: list[Callable[[Tensor], Tensor]] = [unguarded, asserted, repaired, limited, both, distributed]


class Guarded(nn.Module):
    def __init__(self, guard: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(6, 16), nn.Linear(16, 12), nn.Linear(12, 3)
        self.guard = guard

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.guard(self.b(self.guard(self.a(x)).relu())))
        return out


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_leaves_every_width_to_be_cut_by_itself(guard: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    graph = trace(Guarded(guard).eval(), torch.randn(4, 6))
    result = prune(graph.model, plan(graph, score(graph), ratio=0.5))
    assert [(group.size, group.statistics) for group in graph.groups] == [(16, ()), (12, ())]
    assert result.left_out == ()
    assert result.model.a.out_features == 8
    assert result.model.b.out_features == 6


def test_a_number_that_the_result_is_made_of_is_no_guard() -> None:
    torch.manual_seed(0)
    graph = trace(Guarded(scaled_by_the_largest).eval(), torch.randn(4, 6))
    assert not any(group.size == 16 and not group.statistics for group in graph.groups)
