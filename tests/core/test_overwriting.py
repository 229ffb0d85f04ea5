"""Models that write into their inputs or into what they keep: all is left as it was, and compared as it was."""

from __future__ import annotations

from typing import TypeAlias

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import plan, prune, score, trace
from prunescope.core.inputs import copied

Pair: TypeAlias = tuple[Tensor, Tensor]


class ScaledInPlace(nn.Module):
    """As networks for super-resolution scale images: `x *= 255`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x *= 255.0
        return self.last(self.first(x).relu()) / 255


def test_a_model_that_scales_its_input_in_place_is_verified_and_the_input_stays() -> None:
    model, x = ScaledInPlace().eval(), torch.rand(1, 3, 8, 8)
    given = x.clone()
    graph = trace(model, x)
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert torch.equal(x, given)


class MovedByBatches(nn.Module):
    """Moving statistics of batches, in every mode, kept as parameters or as buffers."""

    def __init__(self, as_parameters: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)
        for name, value in (("mean", torch.zeros(16)), ("variance", torch.ones(16))):
            if as_parameters:
                self.register_parameter(name, nn.Parameter(value, requires_grad=False))
            else:
                self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.batch_norm(self.first(x), self.mean, self.variance, training=True))


@pytest.mark.parametrize("as_parameters", [True, False], ids=["parameters", "buffers"])
def test_statistics_that_every_run_moves_are_as_they_were_in_both_models(as_parameters: bool) -> None:
    model = MovedByBatches(as_parameters).eval()
    graph = trace(model, torch.randn(6, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    for each, width in ((model, 16), (pruned, 8)):
        assert torch.equal(each.mean, torch.zeros(width))
        assert torch.equal(each.variance, torch.ones(width))


def test_rows_that_every_run_shortens_are_as_they_were_in_both_models() -> None:
    model = nn.Sequential(nn.Embedding(7, 16, max_norm=1.0), nn.Linear(16, 3)).eval()
    embedding = model[0].weight
    before = embedding.detach().clone()
    graph = trace(model, torch.randint(7, (2, 9)))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert before.norm(dim=1).min() > 1
    assert torch.equal(embedding, before)
    (removal,) = result.plan.removals
    kept = [n for n in range(16) if n not in removal.units]
    assert torch.equal(result.model[0].weight, before[:, kept])


def test_a_tensor_that_is_given_twice_is_copied_once() -> None:
    x = torch.randn(2, requires_grad=True)
    one, (other, text) = copied((x, [x, "text"]))
    assert one is other
    assert one is not x
    assert one.requires_grad
    assert text == "text"
