"""Sizes that have to be those of dimensions that cannot be cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import trace
from prunescope.core.held_sizes import HELD


class Attention(nn.Module):
    """What is left of attention takes the width of what comes in, or the one that is held."""

    def __init__(self, width_of: Callable[[Any, Tensor], int]) -> None:
        super().__init__()
        self.width, self.heads = 16, 4
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.width_of = width_of

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = (q @ k.mT).softmax(-1) @ v
        return x + self.out(attended.transpose(1, 2).reshape(*x.shape[:2], self.width_of(self, x)))


class Tokens(nn.Module):
    """Gives its features, all of them, so that their number stays."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.embed, self.attention = nn.Linear(6, 16), attention
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(self.embed(x))
        return x + self.down(self.up(x).relu())


def by_input(module: Any, x: Tensor) -> int:
    return x.shape[-1]


def by_attribute(module: Any, x: Tensor) -> int:
    width: int = module.width
    assert width == x.shape[-1]
    return width


@pytest.mark.parametrize("width_of", [by_input, by_attribute])
def test_what_has_to_be_as_large_as_an_output_is_locked_and_the_line_is_named(
    width_of: Callable[[Any, Tensor], int],
) -> None:
    graph = trace(Tokens(Attention(width_of)).eval(), torch.randn(2, 5, 6))
    assert [group.name for group in graph.groups] == ["up"]
    (lock,) = {lock for lock in graph.locks if lock.parameter == "attention.out.weight" and lock.dim == 1}
    assert lock.reason == HELD
    assert "test_held_sizes.py" in lock.source


def test_what_has_to_be_as_large_as_what_can_be_cut_is_free() -> None:
    model = nn.Sequential(nn.Linear(6, 16), Attention(by_input), nn.Linear(16, 3)).eval()
    graph = trace(model, torch.randn(2, 5, 6))
    assert {"0", "1.qkv (heads)"} <= {group.name for group in graph.groups}
    assert HELD not in {lock.reason for lock in graph.locks}
