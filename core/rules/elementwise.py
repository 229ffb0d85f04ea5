"""Point-wise operations with broadcasting: equal dimensions are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from prunescope.core.labels import ONE_INDEX, Dim, Dims, Fixed, LabelSpace
from prunescope.core.rules.table import Call, register

WORKSPACE = Fixed("it is memory of the operation's own")


# point-wise operations that torch does not tag as such; `pointwise` is the rule of all that it does
@register(
    "pointwise",
    *(
        f"aten.{name}"
        for name in (
            "_prelu_kernel",
            "_standard_gamma",
            "bernoulli",
            "binomial",
            "cauchy",
            "complex",
            "copy",
            "exponential",
            "fill",
            "floor_divide",
            "geometric",
            "hardsigmoid",
            "hardswish",
            "hardtanh",
            "log_normal",
            "log_sigmoid_forward",
            "masked_fill",
            "normal",
            "poisson",
            "polar",
            "random",
            "rrelu_with_noise",
            "uniform",
            "where",
            "zero",
        )
    ),
)
def pointwise(call: Call) -> Sequence[Dims]:
    result = broadcast(call, call.tensors, call.outputs[0].dim())
    return [result if output.dim() == len(result) else (WORKSPACE,) * output.dim() for output in call.outputs]


@register("pointwise of each")
def pointwise_of_each(call: Call) -> Sequence[Dims]:
    """Lists of tensors: the first of each list together, the second, and so on."""
    lists = [argument for argument in call.arguments.values() if _is_tensors(argument)]
    results = [broadcast(call, tensors, tensors[0].dim()) for tensors in zip(*lists, strict=True)]
    return results[: len(call.outputs)]


def _is_tensors(argument: Any) -> bool:
    return isinstance(argument, list | tuple) and bool(argument) and isinstance(argument[0], Tensor)


@register(
    "aten.mse_loss",
    "aten.smooth_l1_loss",
    "aten.huber_loss",
    "aten.soft_margin_loss",
    "aten.binary_cross_entropy",
    "aten.binary_cross_entropy_with_logits",
)
def loss(call: Call) -> Sequence[Dims]:
    """Point-wise, then of all elements together where a reduction is asked for."""
    result = broadcast(call, call.tensors, max(tensor.dim() for tensor in call.tensors))
    if call["reduction"] == 0:
        return [result]
    for dim in result:
        call.space.lock(dim, "the loss is taken over it")
    return [()]


def broadcast(call: Call, tensors: Sequence[Tensor], rank: int) -> Dims:
    """The labels of tensors that are broadcast against each other, aligned at the last dimension."""
    result = broadcast_dims(call.space, [(call.labels(tensor), tensor.shape) for tensor in tensors])
    return (*(ONE_INDEX for _ in range(rank - len(result))), *result)


def broadcast_dims(space: LabelSpace, sides: Sequence[tuple[Sequence[Dim], Sequence[int]]]) -> Dims:
    """The same for dimensions, given with their sizes."""
    rank = max((len(dims) for dims, _ in sides), default=0)
    result: list[Dim] = []
    for d in range(-rank, 0):
        meeting = [dims[d] for dims, sizes in sides if -d <= len(dims) and sizes[d] != 1]
        result.append(joined(space, meeting))
    return tuple(result)


def joined(space: LabelSpace, dims: Sequence[Dim]) -> Dim:
    """Join dimensions that must keep the same indices. Where one of them cannot be cut, the result cannot either."""
    if not dims:
        return ONE_INDEX
    if all(dim is dims[0] for dim in dims):
        return dims[0]
    first = next((dim for dim in dims if isinstance(dim, Fixed)), dims[0])
    for dim in dims:
        space.join(first, dim)
    return first
