"""What a model decides by values: orders, maxima, thresholds, boxes that overlap.

Two models that are equal but for rounding may decide a tie differently, and everything after it differs. So the second
run is held to the decisions of the first, wherever what they decide on is equal within rounding; how far it is from
equal is measured.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from prunescope.core.preserve import Watch
from prunescope.core.rules.table import operation_name

# these give values and the indices they were found at
_ORDERS = frozenset(f"aten.{name}" for name in ("sort", "topk", "max", "min", "kthvalue", "median", "mode", "cummax"))
_YES_OR_NO = frozenset(f"aten.{name}" for name in ("gt", "ge", "lt", "le"))
_CHOICES = frozenset(
    (
        *(f"aten.{name}" for name in ("argmax", "argmin", "argsort", "nonzero", "searchsorted", "bucketize")),
        *_YES_OR_NO,
        "torchvision.nms",
    )
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One operation whose result is a choice."""

    decided_on: tuple[Tensor, ...]  # the floating-point operands
    result: Any  # as the operation returned it


Decisions = Mapping[str, Sequence[Decision]]  # operation -> all its calls in one run, in order


class Recording(Watch):
    """Writes down every decision of the run inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.decisions: dict[str, list[Decision]] = defaultdict(list)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        name = operation_name(function)
        if _decides(name, result):
            self.decisions[name].append(Decision(_floats(args), tree_map(_copied, result)))
        return result


class Replaying(Watch):
    """Holds the run inside to recorded decisions.

    Attributes:
        difference: Largest difference of what was decided on, relative to the largest value of it.
    """

    def __init__(self, decisions: Decisions, tolerance: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left = {name: list(reversed(calls)) for name, calls in decisions.items()}
        self.tolerance = tolerance
        self.difference = 0.0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        name = operation_name(function)
        if not _decides(name, result) or not self.left.get(name):
            return result
        recorded = self.left[name].pop()
        found = _floats(args)
        # a dimension that was cut: what is decided there is not the same question
        if not found or [t.shape for t in found] != [t.shape for t in recorded.decided_on]:
            return result
        # a single yes or no may be about sizes: whether what it was asked of differs is of no interest
        if name in _YES_OR_NO and result.numel() == 1 and bool(result == recorded.result):
            return result
        difference = max(map(relative_difference, recorded.decided_on, found))
        self.difference = max(self.difference, difference)
        if not difference <= self.tolerance:
            return result
        return recorded.result if name in _CHOICES else (result[0], recorded.result[1])


def relative_difference(expected: Tensor, found: Tensor) -> float:
    """Largest absolute difference of two tensors of one shape, relative to the largest finite expected value.

    Infinite values have to be equal; inf where one of the two is not a number in other places than the other.
    """
    if not expected.numel():
        return 0.0
    if not expected.is_complex():
        expected, found = expected.double(), found.double()
    same = (expected == found) | (expected.isnan() & found.isnan())
    if bool(same.all()):
        return 0.0
    finite = expected[expected.isfinite()]
    scale = (float(finite.abs().max()) if finite.numel() else 0.0) or 1.0
    difference = float((expected - found)[~same].abs().max()) / scale
    return float("inf") if math.isnan(difference) else difference


def _decides(name: str, result: Any) -> bool:
    return name in _CHOICES or (name in _ORDERS and not isinstance(result, Tensor))


def _floats(args: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return tuple(
        leaf.detach().clone() for leaf in tree_leaves(args) if isinstance(leaf, Tensor) and leaf.is_floating_point()
    )


def _copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf
