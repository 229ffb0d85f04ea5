"""Random numbers that are those of every run, whatever its sizes: a cut model can only be compared with such."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from prunescope.core.preserve import Watch
from prunescope.core.rules.table import operation_name

_GOLDEN = 0.6180339887498949


class SameDraws(Watch):
    """Random numbers of the run inside are those of every run inside: one for a whole call, whatever its size.

    What is drawn with parameters that are tensors follows them, so that they are compared too.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        instead = _INSTEAD.get(operation_name(function))
        if instead is None:
            return result
        self.calls += 1
        # well spread, inside the range of every distribution
        return instead(self.calls * _GOLDEN % 1, args, result)


def _one_for_all(share: float, args: Sequence[Any], result: Tensor) -> Tensor:
    return result.fill_(share) if result.is_floating_point() else result


def _whole(share: float, args: Sequence[Any], result: Tensor) -> Tensor:
    """The largest of the whole numbers that may be drawn; one, where there is no largest."""
    bounds = [number for number in args if type(number) is int]
    return result.fill_(bounds[-1] - 1 if bounds else 1)


def _by_probabilities(share: float, args: Sequence[Any], result: Tensor) -> Tensor:
    """Yes where the probability, an element of the first operand, is larger."""
    return result.copy_(args[0] > share) if len(args) == 1 else result.fill_(1)


def _by_probabilities_into(share: float, args: Sequence[Any], result: Tensor) -> Tensor:
    """Yes where the probability, an element of the second operand, is larger."""
    # nothing is dropped by dropout, whose probability is a number, else nothing could be compared
    return result.copy_(args[1] > share) if isinstance(args[-1], Tensor) and len(args) > 1 else result.fill_(1)


def _dropped(share: float, args: Sequence[Any], result: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    x, probability, training = args
    return (x / (1 - probability), torch.ones_like(result[1])) if training and probability < 1 else result


_INSTEAD: Mapping[str, Callable[[float, Sequence[Any], Any], Any]] = {
    **{
        f"aten.{name}{place}": _one_for_all
        for name in ("normal", "uniform", "exponential", "cauchy", "log_normal")
        for place in ("", "_")
    },
    **{
        f"aten.{name}": _one_for_all
        for name in ("randn", "rand", "randn_like", "rand_like", "new_randn", "normal_functional")
    },
    # those of a size that the code asks for are told by the seed
    **{f"aten.{name}": _whole for name in ("randint_like", "random", "random_", "geometric", "geometric_")},
    "aten.bernoulli": _by_probabilities,
    "aten.bernoulli_": _by_probabilities_into,
    "aten.native_dropout": _dropped,
    "aten.poisson": lambda share, args, result: args[0].floor(),
    "aten.binomial": lambda share, args, result: (args[0] * args[1]).floor(),
    "aten._standard_gamma": lambda share, args, result: args[0].clone(),
    "aten._sample_dirichlet": lambda share, args, result: args[0] / args[0].sum(-1, keepdim=True),
}
