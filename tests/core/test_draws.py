"""What a model draws at random is the same in the cut model and in what it is compared with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Beta, Cauchy, Dirichlet, Gamma, Laplace, StudentT
from torch.nn import functional

from prunescope.core import plan, prune, score, trace
from prunescope.core.draws import SameDraws

DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "yes or no": lambda h: h * torch.bernoulli(h.sigmoid()),
    "yes or no, written into memory": lambda h: h * torch.empty_like(h).bernoulli_(h.sigmoid()),
    "Bernoulli": lambda h: h * Bernoulli(logits=h).sample(),
    "counts": lambda h: h + torch.poisson(h.exp()),
    "counts of trials": lambda h: h * torch.binomial(torch.full_like(h, 5.0), h.sigmoid()),
    "trials": lambda h: h * torch.empty_like(h).geometric_(0.5),
    "whole numbers": lambda h: h * torch.randint_like(h, 3),
    "whole numbers, written into memory": lambda h: h * torch.empty_like(h).random_(0, 3),
    "Gamma": lambda h: Gamma(h.exp(), h.exp()).rsample(),
    "Beta": lambda h: Beta(h.exp(), h.exp()).rsample(),
    "Dirichlet along another dimension": lambda h: h * Dirichlet(h.exp().mT).rsample().mT,
    "Laplace": lambda h: Laplace(h, 1.0).rsample(),
    "Cauchy": lambda h: Cauchy(h, 1.0).rsample(),
    "StudentT": lambda h: StudentT(5.0, h).rsample(),
    "dropout": lambda h: functional.dropout(h, 0.5, training=True),
    "dropout in one operation": lambda h: torch.native_dropout(h, 0.5, True)[0],
}


class Drawing(nn.Module):
    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.enter, self.hidden, self.out = nn.Linear(6, 16), nn.Linear(16, 32), nn.Linear(32, 5)
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.draw(self.hidden(self.enter(x).relu())).tanh())


@pytest.mark.parametrize("name", DRAWS)
def test_half_of_a_width_that_is_drawn_over_goes(name: str) -> None:
    torch.manual_seed(0)
    model = Drawing(DRAWS[name]).eval()
    graph = trace(model, torch.randn(2, 7, 6))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.left_out == ()
    assert [tuple(p.shape) for p in result.model.parameters()] == [(8, 6), (8,), (16, 8), (16,), (5, 16), (5,)]


@pytest.mark.parametrize("name", DRAWS)
def test_draws_of_a_part_are_a_part_of_the_draws(name: str) -> None:
    h = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0))
    with SameDraws():
        whole = DRAWS[name](h.clone())
    with SameDraws():
        part = DRAWS[name](h[..., :4].clone())
    assert torch.equal(whole[..., :4], part)
