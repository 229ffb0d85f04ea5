"""Point-wise operations with broadcasting: equal dimensions are joined."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prunescope.core.labels import ONE_INDEX, Dim, Dims, Fixed, LabelSpace
from prunescope.core.rules.table import Call, register


# point-wise operations that torch does not tag as such; `pointwise` is the rule of all that it does
@register(
    "pointwise",
    *(
        f"aten.{name}"
        for name in (
            "bernoulli",
            "complex",
            "copy",
            "fill",
            "hardsigmoid",
            "hardswish",
            "hardtanh",
            "masked_fill",
            "normal",
            "polar",
            "uniform",
            "where",
            "zero",
        )
    ),
)
def pointwise(call: Call) -> Sequence[Dims]:
    result = broadcast(call, call.tensors, call.outputs[0].dim())
    return [result] * len(call.outputs)


def broadcast(call: Call, tensors: Sequence[Tensor], rank: int) -> Dims:
    """The labels of tensors that are broadcast against each other, aligned at the last dimension."""
    labels = [call.labels(tensor) for tensor in tensors]
    result: list[Dim] = []
    for d in range(-rank, 0):
        meeting = [
            dims[d] for dims, tensor in zip(labels, tensors, strict=True) if -d <= tensor.dim() and tensor.shape[d] != 1
        ]
        result.append(joined(call.space, meeting))
    return tuple(result)


def joined(space: LabelSpace, dims: Sequence[Dim]) -> Dim:
    """Join dimensions that must keep the same indices. Where one of them cannot be cut, the result cannot either."""
    if not dims:
        return ONE_INDEX
    first = next((dim for dim in dims if isinstance(dim, Fixed)), dims[0])
    for dim in dims:
        space.join(first, dim)
    return first
