"""Calls that a trace makes in its own way give what torch gives, and are what the user sees of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import plan, prune, score, trace
from prunescope.core.errors import TraceFailed


class Written(nn.Module):
    """A linear layer written out, and one of torch's behind it."""

    def __init__(self, bias: tuple[int, ...] = (16,)) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(16, 8)), nn.Parameter(torch.randn(bias))
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.linear(x, self.weight, bias=self.bias).tanh())


class Forces(nn.Module):
    """The gradient of an energy by the input, and a layer that reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.energy, self.out = nn.Linear(8, 16), nn.Linear(16, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (force,) = torch.autograd.grad(self.energy(self.hidden(x).tanh()).sum(), x)
        return self.out(force)


class Mapped(nn.Module):
    """Layers that see one example at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        each: Tensor = torch.func.vmap(lambda row: self.out(self.hidden(row).tanh()))(x)
        return each


@pytest.mark.parametrize("shape", [(8,), (5, 8), (2, 5, 8), (2, 3, 5, 8)])
def test_a_linear_function_of_a_parameter_is_one_layer(shape: tuple[int, ...]) -> None:
    graph = trace(Written(), torch.randn(shape))
    assert [layer.name for layer in graph.layers] == ["input", "linear", "tanh", "out", "output"]
    assert graph.layer("linear").macs == 8 * 16 * torch.Size(shape[:-1]).numel()
    assert graph.layer("linear").output_shape == (*shape[:-1], 16)


@pytest.mark.parametrize("build", [Written, lambda: Written((1,)), Forces, Mapped], ids=range(4))
def test_what_is_made_of_linear_layers_is_cut_exactly(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = build()
    graph = trace(model, torch.randn(5, 8))
    result = prune(model, plan(graph, score(graph), 0.5))
    assert [group.size for group in graph.groups] == [16]
    assert result.verification is not None
    assert result.verification.difference is not None


def test_a_linear_layer_that_does_not_fit_gives_torchs_own_error() -> None:
    x = torch.randn(5, 7)
    with pytest.raises(RuntimeError) as own:
        Written()(x)
    with pytest.raises(TraceFailed) as found:
        trace(Written(), x)
    assert str(own.value) in found.value.found
