"""Answers with the right shape and no values, for the operations whose arithmetic a trace can do without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor


def without_values(name: str, arguments: Sequence[Any], hollow: bool) -> Tensor | tuple[Tensor, ...] | None:
    """What stands for the result, with its shape and no values of its own, or None where the operation has to run.

    None is also the answer where the operands do not fit, so that the operation itself raises its own error.

    Args:
        name: Of the operation, as `operation_name` gives it.
        hollow: Whether the first operand has no values, so that it can stand for a result of its own shape. One with
            values may not: the model may write into the result, and so into a parameter or an input.
    """
    if name in _ANSWERS:
        return _ANSWERS[name](*arguments)
    if hollow and name in _SAME_SHAPE:
        return _same_shape(name, *arguments)
    if hollow and name == "aten.native_batch_norm" and not arguments[5]:
        x = arguments[0]
        return x.detach(), x.new_empty(0), x.new_empty(0)
    return None


def _same_shape(name: str, x: Any, *others: Any) -> Tensor | None:
    """Zeros stand for zeros: the operand's own, unless another operand changes shape or type."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return None
    for other in others:
        if isinstance(other, complex) or (
            isinstance(other, Tensor) and other.dim() and (other.shape != x.shape or other.dtype != x.dtype)
        ):
            return None
    return x if name.endswith("_") else x.detach()


_SAME_SHAPE = frozenset(
    f"aten.{name}{place}"
    for name in ("relu", "gelu", "silu", "hardswish", "hardtanh", "sigmoid", "hardsigmoid", "add", "mul", "sub")
    for place in ("", "_")
)


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
    # one number stands for all dimensions
    stride, padding, dilation, output_padding = (
        [*values] * (x.dim() - 2) if len(values) == 1 else values
        for values in (stride, padding, dilation, output_padding)
    )
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
