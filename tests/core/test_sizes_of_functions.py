"""Sizes that functions hold: closed over, as defaults of arguments, bound by a partial, in an object that is called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan, prune, score, trace

Shape: TypeAlias = Callable[[Tensor], Tensor]


class Lambda(nn.Module):
    """A layer that is a function."""

    def __init__(self, function: Shape) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def shaped(heads: int, x: Tensor, size: int = 4) -> Tensor:
    return x.view(-1, heads, size)


class Split:
    def __init__(self, heads: int) -> None:
        self.heads = heads

    def __call__(self, x: Tensor) -> Tensor:
        return x.view(-1, self.heads, 4)


def with_default(heads: int) -> Shape:
    def function(x: Tensor, /, size: int = 4, heads: int = heads) -> Tensor:
        return x.view(-1, heads, size)

    return function


def with_keyword(heads: int) -> Shape:
    def function(x: Tensor, *, heads: int = heads, size: int = 4) -> Tensor:
        return x.view(-1, heads, size)

    return function


def with_both(width: int) -> Shape:
    """What it closed over and a default have to follow the same cut."""

    def function(x: Tensor, heads: int = width // 4) -> Tensor:
        return x.view(-1, heads, 4).view(-1, width)

    return function


FUNCTIONS: dict[str, Callable[[int], Shape]] = {
    "closed over": lambda heads: lambda x: x.view(-1, heads, 4),
    "a default": with_default,
    "a keyword's default": with_keyword,
    "a default beside a closure": lambda heads: with_both(4 * heads),
    "bound by position": lambda heads: partial(shaped, heads),
    "bound by keyword": lambda heads: partial(torch.reshape, shape=(-1, heads, 4)),
    "a default of what is bound": lambda heads: partial(with_default(heads), size=4),
    "an object that is called": Split,
}


def network(function: Shape) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 64), Lambda(function), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_size_that_a_function_holds_follows_the_cut_in_the_new_model_alone(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = network(FUNCTIONS[name](16)), torch.randn(2, 6)
    expected = model(inputs)
    graph = trace(model, inputs)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.left_out == ()
    assert result.model.get_submodule("0").weight.shape == (32, 6)
    assert any(repair.module == "1" for repair in result.repairs)
    torch.testing.assert_close(model(inputs), expected, rtol=0, atol=0)
