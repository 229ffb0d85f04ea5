"""Verification that cannot be fooled: by outputs in which nothing could be seen, or that are no numbers at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan, prune, score, trace
from prunescope.core.errors import VerificationFailed
from prunescope.core.surgery import Pruned

BLIND: dict[str, Callable[[Tensor], Tensor]] = {
    "numbers of classes": lambda y: y.argmax(-1),
    "yes or no": lambda y: y > 0,
    "not a number": lambda y: torch.log(-1 - y.square()),
    "infinite": lambda y: y.square() / 0,
    "all alike": lambda y: (y - 1e6).relu(),
}


class Faulty(nn.Module):
    """Where `fault` is not zero, what it computes depends on its width, by a way that no trace can see."""

    def __init__(self, output: Callable[[Tensor], Tensor], fault: float = 0.0) -> None:
        super().__init__()
        self.output, self.fault = output, fault
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu() * (1 + self.fault * len(self.first.weight.tolist()))
        return self.output(self.last(hidden))


class Normalised(nn.Module):
    """Rows of the first weight are divided by their sums: zeros in their place give no numbers.

    Its outputs are no numbers either where the model has this width.
    """

    def __init__(self, none_at: int) -> None:
        super().__init__()
        self.none_at = none_at
        self.first, self.last = nn.Linear(4, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x) / self.first.weight.sum(1)
        out: Tensor = self.last(hidden)
        # while it trains it has none at all
        return out * torch.nan if self.training or len(self.first.weight.tolist()) == self.none_at else out


class OneWeight(nn.Module):
    """Has no layers beside itself."""

    def __init__(self, output: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.output = output
        self.first, self.last = nn.Parameter(torch.randn(4, 8)), nn.Parameter(torch.randn(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x @ self.first @ self.last)


def halved(model: nn.Module) -> Pruned:
    torch.manual_seed(0)
    graph = trace(model, torch.randn(5, 4))
    return prune(model, plan(graph, score(graph), ratio=0.5))


@pytest.mark.parametrize("output", BLIND)
def test_layers_tell_what_an_output_does_not(output: str) -> None:
    torch.manual_seed(0)
    found = halved(Faulty(BLIND[output])).verification
    assert found is not None
    assert found.difference is not None
    with pytest.raises(VerificationFailed, match="differs"):
        halved(Faulty(BLIND[output], fault=0.1))


def test_where_nothing_tells_the_cut_is_said_not_to_be_compared() -> None:
    torch.manual_seed(0)
    found = halved(OneWeight(BLIND["all alike"])).verification
    assert found is not None
    assert found.difference is None
    assert "finite numbers that are not all alike" in found.not_compared


def test_numbers_of_classes_are_compared_where_they_are_all_that_there_is() -> None:
    torch.manual_seed(0)
    found = halved(OneWeight(BLIND["numbers of classes"])).verification
    assert found is not None
    assert found.difference == 0


def test_a_cut_after_which_there_are_no_numbers_is_refused_though_the_reference_has_none_either() -> None:
    torch.manual_seed(0)
    found = halved(Normalised(none_at=0)).verification
    assert found is not None
    assert found.difference is not None
    with pytest.raises(VerificationFailed, match="no finite numbers where the original does"):
        halved(Normalised(none_at=4))
