"""Normalisation: the channels of input, weight, bias and running statistics are joined."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prunescope.core.labels import CHANNEL_GROUPS, ONE_INDEX, Dim, Dims, Fixed
from prunescope.core.rules.table import Call, operation_name, register

PER_CHANNEL = Fixed("it is a statistic per channel")


@register(
    "aten.native_batch_norm",
    "aten._native_batch_norm_legit",
    "aten._native_batch_norm_legit_no_training",
    "aten._native_batch_norm_legit_functional",
    "aten._batch_norm_with_update",
    "aten._batch_norm_no_update",
    "aten.cudnn_batch_norm",
    "aten.miopen_batch_norm",
)
def batch_norm(call: Call) -> Sequence[Dims]:
    """(N, C, ...): statistics run over all but C, so channels stay independent.

    What is normalised may be a weight (weight standardisation): then statistics run over its other side.
    """
    x = call.labels(call["input"])
    for tensor in call.tensors[1:]:
        call.space.join(x[1], call.labels(tensor)[0])
    if call.arguments.get("training", operation_name(call.function) not in _BY_RUNNING_STATISTICS):
        for position in (0, *range(2, len(x))):
            call.space.statistic(x[position], position)
    return [x, *(_statistics(tensor, (x[1],), call["input"].shape[1:2]) for tensor in call.outputs[1:])]


_BY_RUNNING_STATISTICS = ("aten._native_batch_norm_legit_no_training", "aten._batch_norm_no_update")


@register("aten.native_layer_norm", "aten._fused_rms_norm")
def layer_norm(call: Call) -> Sequence[Dims]:
    """Statistics run over the last dimensions, weight and bias have their shape."""
    x = call.labels(call["input"])
    rank = len(call["normalized_shape"])
    for tensor in call.tensors[1:]:
        for mine, other in zip(x[-rank:], call.labels(tensor), strict=True):
            call.space.join(mine, other)
    for position, dim in enumerate(x[-rank:]):
        call.space.statistic(dim, len(x) - rank + position)
    kept = (*x[:-rank], *(ONE_INDEX for _ in range(rank)))
    sizes = (*call["input"].shape[:-rank], *(1 for _ in range(rank)))
    return [x, *(_statistics(tensor, kept, sizes) for tensor in call.outputs[1:])]


@register("aten.renorm")
def shortened(call: Call) -> Sequence[Dims]:
    """Each index of one dimension is taken to a length at most, to which zeros add nothing."""
    return [call.labels(call.tensors[0])]


@register("aten.native_group_norm")
def group_norm(call: Call) -> Sequence[Dims]:
    """(N, C, ...): statistics run over positions and groups of channels, which come and go whole or shrink alike."""
    x, groups = call.labels(call["input"]), call["group"]
    channels = x[1]
    for tensor in call.tensors[1:]:
        call.space.join(channels, call.labels(tensor)[0])
    for dim in x[2:]:
        call.space.lock(dim, "group_norm runs over it")
    of_groups: Dim = channels if groups == call["C"] else PER_CHANNEL
    if not isinstance(channels, Fixed):
        call.space.statistic(channels, 1)
        if 1 < groups < channels.size:
            of_groups = call.space.grid(channels, groups, *CHANNEL_GROUPS).rows
    return [x, *(_statistics(tensor, (x[0], of_groups), (call["N"], groups)) for tensor in call.outputs[1:])]


def _statistics(tensor: Tensor, dims: Dims, sizes: Sequence[int]) -> Dims:
    """Of a mean or variance; some kernels hand out memory of other shapes in their place."""
    return dims if tuple(tensor.shape) == tuple(sizes) else tuple(PER_CHANNEL for _ in tensor.shape)


@register("aten._weight_norm_interface")
def weight_norm(call: Call) -> Sequence[Dims]:
    """Every slice of v along the dimension is scaled to the length g, which is of all entries of the slice."""
    v, g = (call.labels(call[name]) for name in ("v", "g"))
    along = call["dim"] % len(v)
    call.space.join(v[along], g[along])
    for position, dim in enumerate(v):
        if position != along:
            call.space.statistic(dim, position)
    return [v, g]
