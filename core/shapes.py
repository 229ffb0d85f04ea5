"""Answers with the right shape and no values, for the operations whose arithmetic a trace can do without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from prunescope.core.rules.table import operation_name


def without_values(function: torch._ops.OpOverload, arguments: Sequence[Any]) -> Tensor | None:
    """A tensor of zeros of the result's shape, or None where the operation has to run.

    None is also the answer where the operands do not fit, so that the operation itself raises its own error.
    """
    answer = _ANSWERS.get(operation_name(function))
    return answer(*arguments) if answer else None


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor | None:
    if x.dim() != weight.dim() or x.dtype != weight.dtype:
        return None
    if x.shape[1] != (weight.shape[0] if transposed else weight.shape[1] * groups):
        return None
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    sizes = []
    for d, (size, kernel) in enumerate(zip(x.shape[2:], weight.shape[2:], strict=True)):
        reach = dilation[d] * (kernel - 1)
        if transposed:
            sizes.append((size - 1) * stride[d] - 2 * padding[d] + reach + output_padding[d] + 1)
        else:
            sizes.append((size + 2 * padding[d] - reach - 1) // stride[d] + 1)
    if min(sizes, default=1) < 1:
        return None
    return x.new_zeros((x.shape[0], channels, *sizes))


def _product(left: Tensor, right: Tensor) -> Tensor | None:
    if left.shape[-1] != right.shape[-2] or left.shape[:-2] != right.shape[:-2] or left.dtype != right.dtype:
        return None
    return left.new_zeros((*left.shape[:-1], right.shape[-1]))


def _added_product(added: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    if added.dtype != left.dtype or added.shape[-1] not in (1, right.shape[-1]):
        return None
    return _product(left, right)


_ANSWERS: dict[str, Callable[..., Tensor | None]] = {
    "aten.convolution": _convolution,
    "aten.mm": _product,
    "aten.bmm": _product,
    "aten.addmm": _added_product,
    "aten.baddbmm": _added_product,
}

# Their result, or its shape, is a decision about values: after an answer without values they would decide at random.
READS_VALUES = frozenset(
    f"aten.{name}"
    for name in (
        "_local_scalar_dense",
        "equal",
        "is_nonzero",
        "masked_select",
        "nonzero",
        "repeat_interleave",
        "unique_consecutive",
        "unique_dim",
        "_unique",
        "_unique2",
        "bincount",
    )
)
