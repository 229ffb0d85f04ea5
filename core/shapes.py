"""Answers with the right shape and no values, for the operations whose arithmetic a trace can do without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from prunescope.core.tape import Operands
from prunescope.core.zeros import Zeros


def without_values(
    name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], hollow: bool, zeros: Zeros
) -> Tensor | tuple[Tensor, ...] | None:
    """What stands for the result, with its shape and no values of its own, or None where the operation has to run.

    None is also the answer where the operands do not fit, so that the operation itself raises its own error.

    Args:
        name: Of the operation, as `operation_name` gives it.
        arguments: Those that its schema has by position.
        keywords: Those that its schema has by name alone.
        hollow: Whether the first operand has no values, so that it can stand for a result of its own shape. One with
            values may not: the model may write into the result, and so into a parameter or an input.
        zeros: Where the tensors of the result come from.
    """
    if name in _ANSWERS:
        return _ANSWERS[name](zeros, *arguments, **keywords)
    if not hollow:
        return None
    if name in _SAME_SHAPE:
        return _same_shape(zeros, name, *arguments)
    return _OF_HOLLOW[name](zeros, *arguments, **keywords) if name in _OF_HOLLOW else None


def _same_shape(zeros: Zeros, name: str, x: Any, *others: Any) -> Tensor | None:
    """Zeros stand for zeros: the operand's own, unless another operand changes shape or type."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return None
    for other in others:
        if isinstance(other, complex) or (isinstance(other, Tensor) and not _fits_into(other, x)):
            return _of_second(zeros, name, x, *others)
    return x if name.endswith("_") else x.detach()


def _of_second(zeros: Zeros, name: str, x: Tensor, y: Any, *rest: Any) -> Tensor | None:
    """Zeros of the shape of the second operand, where the first has it for all its positions."""
    if rest or name.endswith("_") or not isinstance(y, Tensor) or not x.dim() or not _fits_into(x, y):
        return None
    return zeros.laid_out_like(y)


def _fits_into(other: Tensor, x: Tensor) -> bool:
    """Whether arithmetic of the two has the shape and type of `x`."""
    if not other.dim() or other.shape == x.shape:
        return not other.dim() or other.dtype == x.dtype
    beside = zip(reversed(other.shape), reversed(x.shape), strict=False)
    return other.dtype == x.dtype and other.dim() <= x.dim() and all(mine in (1, size) for mine, size in beside)


_WIDE = (torch.float32, torch.float64)  # types in which statistics are of the type of what they are taken of
_SAME_SHAPE = frozenset(
    f"aten.{name}{place}"
    for name in (
        *("relu", "gelu", "silu", "hardswish", "hardtanh", "sigmoid", "hardsigmoid", "tanh", "leaky_relu", "elu"),
        *("add", "mul", "sub", "div", "neg", "exp", "rsqrt"),
    )
    for place in ("", "_")
)


def _convolution(
    zeros: Zeros,
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
    stride, padding, dilation, output_padding = (
        for_each(values, x.dim() - 2) for values in (stride, padding, dilation, output_padding)
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
    return zeros.shaped(x, (x.shape[0], channels, *sizes))


def _linear(zeros: Zeros, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    out, size = weight.shape
    if x.shape[-1:] != (size,) or x.dtype != weight.dtype or (bias is not None and bias.shape != (out,)):
        return None
    return zeros.shaped(x, (*x.shape[:-1], out))


def _product(zeros: Zeros, left: Tensor, right: Tensor) -> Tensor | None:
    if left.shape[-1] != right.shape[-2] or left.shape[:-2] != right.shape[:-2] or left.dtype != right.dtype:
        return None
    if left.layout is not torch.strided or right.layout is not torch.strided:
        return None
    return zeros.shaped(left, (*left.shape[:-1], right.shape[-1]))


def _added_product(zeros: Zeros, added: Tensor, left: Tensor, right: Tensor, **scales: Any) -> Tensor | None:
    if added.dtype != left.dtype or added.shape[-1] not in (1, right.shape[-1]):
        return None
    return _product(zeros, left, right)


def _concatenation(zeros: Zeros, tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = tensors[0]
    # what is laid out otherwise would give its layout to the result, what has no dimensions adds nothing
    if not first.dim() or not all(
        tensor.dim() == first.dim() and tensor.dtype == first.dtype and tensor.is_contiguous() for tensor in tensors
    ):
        return None
    shapes = [list(tensor.shape) for tensor in tensors]
    size = sum(shape.pop(dim) for shape in shapes)
    if shapes.count(shapes[0]) < len(shapes):
        return None
    shapes[0].insert(dim % first.dim(), size)
    return zeros.shaped(first, shapes[0])


def _clone(zeros: Zeros, x: Tensor, **layout: Any) -> Tensor:
    return zeros.laid_out_like(x, **layout)


def _batch_norm(
    zeros: Zeros, x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, *rest: Any
) -> Any:
    return None if training else (x.detach(), x.new_empty(0), x.new_empty(0))


def _layer_norm(zeros: Zeros, x: Tensor, shape: Sequence[int], weight: Tensor | None, *rest: Any) -> Any:
    if x.dtype not in _WIDE or x.shape[x.dim() - len(shape) :] != tuple(shape):
        return None
    statistic = (*x.shape[: x.dim() - len(shape)], *(1 for _ in shape))
    return x.detach(), zeros.shaped(x, statistic), zeros.shaped(x, statistic)


def _softmax(zeros: Zeros, x: Tensor, dim: int, half_to_float: bool) -> Tensor | None:
    return None if half_to_float else x.detach()


def _safe_softmax(zeros: Zeros, x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor | None:
    return x.detach() if dtype in (None, x.dtype) else None


def _reduced(
    zeros: Zeros, x: Tensor, dim: Sequence[int] | int | None = None, keepdim: bool = False, **options: Any
) -> Tensor | None:
    """One value for all along some dimensions, or along all of them."""
    # what is laid out otherwise gives its layout to the result
    if not x.is_floating_point() or not x.is_contiguous() or options.get("dtype") is not None:
        return None
    dims = range(x.dim()) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    along = {d % x.dim() for d in dims} if x.dim() else set()
    kept = [1 if d in along else size for d, size in enumerate(x.shape) if keepdim or d not in along]
    return zeros.shaped(x, kept)


def _norm(zeros: Zeros, x: Tensor, order: float = 2, *rest: Any, **options: Any) -> Tensor | None:
    return _reduced(zeros, x, *rest, **options)


def _padded(zeros: Zeros, x: Tensor, pad: Sequence[int], value: float = 0) -> Tensor | None:
    if not x.is_contiguous():
        return None
    shape = [*x.shape]
    for n, (low, high) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        shape[-1 - n] += low + high
    return zeros.shaped(x, shape) if min(shape) > 0 else None


def _rolled(zeros: Zeros, x: Tensor, *rest: Any) -> Tensor | None:
    return x.detach() if x.is_contiguous() else None


def _attention(zeros: Zeros, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **scores: Any) -> Any:
    n, heads, length, width = query.shape
    if key.shape != value.shape or (n, heads, width) != (*key.shape[:2], key.shape[3]) or key.dtype != query.dtype:
        return None
    # like the query in memory too, which decides what can be viewed without a copy
    return zeros.laid_out_like(query), zeros.shaped(query, (n, heads, length))


def _max_pool(
    zeros: Zeros, x: Tensor, kernel: Sequence[int], stride: Sequence[int] = (), padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,), ceil: bool = False,
) -> tuple[Tensor, Tensor] | None:  # fmt: skip
    shape = _pooled(x, kernel, stride, padding, dilation, ceil)
    return None if shape is None else (zeros.shaped(x, shape), zeros.shaped(x, shape, dtype=torch.int64))


def _average_pool(
    zeros: Zeros, x: Tensor, kernel: Sequence[int], stride: Sequence[int] = (), padding: Sequence[int] = (0,),
    ceil: bool = False, *rest: Any,
) -> Tensor | None:  # fmt: skip
    shape = _pooled(x, kernel, stride, padding, (1,), ceil)
    return None if shape is None else zeros.shaped(x, shape)


def _pooled(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil: bool,
) -> tuple[int, ...] | None:
    rank = len(kernel)
    sizes = []
    steps = (kernel, stride or kernel, padding, dilation)
    for size, window, step, pad, spread in zip(
        x.shape[-rank:], *(for_each(values, rank) for values in steps), strict=True
    ):
        room = size + 2 * pad - spread * (window - 1) - 1
        count = (room + (step - 1 if ceil else 0)) // step + 1
        # a last window begins inside the values or the padding before them
        sizes.append(count - 1 if ceil and (count - 1) * step >= size + pad else count)
    # what does not fit is for the operation to say
    fits = min(sizes) >= 1 and all(2 * p <= k for p, k in zip(for_each(padding, rank), kernel, strict=True))
    return (*x.shape[:-rank], *sizes) if fits and x.dim() > rank else None


def for_each(values: Sequence[int], rank: int) -> Sequence[int]:
    """One number stands for all dimensions."""
    return [*values] * rank if len(values) == 1 else values


_ANSWERS: dict[str, Callable[..., Tensor | None]] = {
    "aten.convolution": _convolution,
    "aten.linear": _linear,
    "aten.mm": _product,
    "aten.bmm": _product,
    "aten.addmm": _added_product,
    "aten.baddbmm": _added_product,
}
# the same where the first operand has no values
_OF_HOLLOW: dict[str, Callable[..., Tensor | tuple[Tensor, ...] | None]] = {
    "aten.cat": _concatenation,
    "aten.clone": _clone,
    "aten.native_batch_norm": _batch_norm,
    "aten.native_layer_norm": _layer_norm,
    "aten._softmax": _softmax,
    "aten._safe_softmax": _safe_softmax,
    "aten.mean": _reduced,
    "aten.sum": _reduced,
    "aten.amax": _reduced,
    "aten.linalg_vector_norm": _norm,
    "aten.constant_pad_nd": _padded,
    "aten.roll": _rolled,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten.max_pool2d_with_indices": _max_pool,
    "aten.max_pool3d_with_indices": _max_pool,
    "aten.avg_pool2d": _average_pool,
    "aten.avg_pool3d": _average_pool,
}

ANSWERED = frozenset((*_ANSWERS, *_OF_HOLLOW))

# Their result, or its shape, is a decision about values: after an answer without values they would decide at random.
_READS_VALUES = frozenset(
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


def reads_values(name: str, read: Operands) -> bool:
    """Whether an operation decides by values of its operands, of which some have none."""
    if name in _READS_VALUES:
        return True
    if name not in ("aten.index", "aten._unsafe_index"):
        return False
    # a mask gives as many elements as it has true values
    masks = (index.dtype in (torch.bool, torch.uint8) for index in read.tensors[1:])
    return any(is_mask and value.is_hollow for is_mask, value in zip(masks, read.values[1:], strict=True))
