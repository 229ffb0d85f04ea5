"""The original without the removed units: zeros in their place, and statistics over the units that are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from prunescope.core.graph import DependencyGraph
from prunescope.core.labels import Statistic
from prunescope.core.neutral import CONTRACTED, SHARES
from prunescope.core.preserve import Watch
from prunescope.core.rules.table import operation_name


class AnotherRun(Exception):
    """The reference did not run the operations that the trace saw."""


class Reference(Watch):
    """Takes the statistics of normalisations and reductions over the units that are left, as the pruned model does."""

    def __init__(self, graph: DependencyGraph, gone: NDArray[np.bool_]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        first_run = graph.record.operations[: graph.record.reference_operations]
        kept: dict[int, dict[int, Tensor]] = {}
        scales: dict[int, float] = {}
        for statistic in graph.record.space.statistics:
            left = kept_of(statistic, gone)
            if left is not None:
                kept.setdefault(statistic.operation, {})[statistic.dim] = left
                share = float(left.double().mean()) ** statistic.power
                scales[statistic.operation] = scales.get(statistic.operation, 1.0) * share
        # only these operations are counted: how values lie in memory decides which copies are made between them
        watched = {first_run[position].name for position in kept if position < len(first_run)}
        self.kept: dict[str, list[tuple[dict[int, Tensor], float]]] = {name: [] for name in watched}
        for position, operation in enumerate(first_run):
            if operation.name in watched:
                self.kept[operation.name].append((kept.get(position, {}), scales.get(position, 1.0)))
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = operation_name(function)
        if name == "aten._weight_norm_interface":
            # a removed slice is zeros and has no length to be scaled to: it stays zeros
            weight, length = function(*args)
            return weight.masked_fill(length == 0, 0), length
        if name not in self.kept:
            return function(*args, **(kwargs or {}))
        index = self.seen[name]
        self.seen[name] += 1
        if index >= len(self.kept[name]):
            raise AnotherRun(f"the model ran {name} more often than the trace saw")
        kept, scale = self.kept[name][index]
        if not kept:
            return function(*args, **(kwargs or {}))
        at = CONTRACTED[name][0] if name in CONTRACTED else 0
        part = args[at]
        if any(dim >= part.dim() or part.shape[dim] != left.numel() for dim, left in kept.items()):
            raise AnotherRun(f"the model ran {name} on other dimensions than the trace saw")
        if name in _NORMALISED:
            return _NORMALISED[name](kept, *args)
        for dim, left in kept.items():
            if name in CONTRACTED:
                part = part.index_fill(dim, (~left).nonzero().squeeze(1), 0)
            else:
                part = part.index_select(dim, left.nonzero().squeeze(1))
        result = function(*args[:at], part, *args[at + 1 :], **(kwargs or {}))
        # the code divides by the number of all units, the pruned model by that of those that are left
        return result if scale == 1 else result * scale


def kept_of(statistic: Statistic, gone: NDArray[np.bool_]) -> Tensor | None:
    """(units,) which are left; None where all are."""
    left = (statistic.labels < 0) | ~gone[statistic.labels]
    return None if left.all() else torch.from_numpy(left)


def _normalised(kept: dict[int, Tensor], x: Tensor, normalise: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    """The part that is left, normalised by itself; zeros in the place of the rest, also where it is a weight."""
    places = torch.ones_like(x, dtype=torch.bool)
    part = x
    for dim, left in kept.items():
        part = part.index_select(dim, left.nonzero().squeeze(1))
        places &= left.view([-1 if d == dim else 1 for d in range(x.dim())])
    y = torch.zeros_like(x)
    y[places] = normalise(part).reshape(-1)
    return y, x.new_empty(0), x.new_empty(0)


def _layer_norm(
    kept: dict[int, Tensor], x: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, ...]:
    first = x.dim() - len(shape)
    part = [_left(kept, tensor, first) for tensor in (weight, bias)]
    return _normalised(kept, x, lambda y: functional.layer_norm(y, y.shape[first:], part[0], part[1], eps))


def _left(kept: dict[int, Tensor], tensor: Tensor | None, first: int) -> Tensor | None:
    """What is left of a tensor whose dimensions are those from the first on."""
    if tensor is None:
        return None
    for dim, left in kept.items():
        tensor = tensor.index_select(dim - first, left.nonzero().squeeze(1))
    return tensor


def _group_norm(
    kept: dict[int, Tensor],
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    n: int,
    c: int,
    hw: int,
    groups: int,
    eps: float,
) -> tuple[Tensor, ...]:
    left = kept[1]
    part = [None if tensor is None else tensor[left] for tensor in (weight, bias)]
    groups_left = int(left.view(groups, -1).any(dim=1).sum())
    return _normalised(kept, x, lambda y: functional.group_norm(y, groups_left, part[0], part[1], eps))


def _rms_norm(
    kept: dict[int, Tensor], x: Tensor, shape: list[int], weight: Tensor | None = None, eps: float | None = None
) -> tuple[Tensor, ...]:
    first = x.dim() - len(shape)
    part = _left(kept, weight, first)
    return _normalised(kept, x, lambda y: functional.rms_norm(y, y.shape[first:], part, eps))[:2]


def _batch_norm(
    kept: dict[int, Tensor], x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any
) -> tuple[Tensor, ...]:
    eps = rest[-1]
    return _normalised(kept, x, lambda y: functional.batch_norm(y, None, None, weight, bias, training=True, eps=eps))


def _softmax(kept: dict[int, Tensor], x: Tensor, dim: int, *rest: Any) -> Tensor:
    return _normalised(kept, x, lambda y: y.softmax(dim))[0]


_NORMALISED: dict[str, Callable[..., Tensor | tuple[Tensor, ...]]] = {
    **dict.fromkeys(SHARES, _softmax),
    "aten.native_layer_norm": _layer_norm,
    "aten.native_group_norm": _group_norm,
    "aten.native_batch_norm": _batch_norm,
    "aten._native_batch_norm_legit": _batch_norm,
    "aten._fused_rms_norm": _rms_norm,
}
