"""Normalisation: the channels of input, weight, bias and running statistics are joined."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prunescope.core.labels import CHANNEL_GROUPS, Dims, Fixed
from prunescope.core.rules.table import Call, register

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
    if call.arguments.get("training", True):
        for position in (0, *range(2, len(x))):
            call.space.statistic(x[position], position)
    return [x, *(_statistics(tensor) for tensor in call.outputs[1:])]


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
    return [x, *(_statistics(tensor) for tensor in call.outputs[1:])]


@register("aten.native_group_norm")
def group_norm(call: Call) -> Sequence[Dims]:
    """(N, C, ...): statistics run over groups of channels, which come and go whole or shrink alike."""
    x, groups = call.labels(call["input"]), call["group"]
    channels = x[1]
    for tensor in call.tensors[1:]:
        call.space.join(channels, call.labels(tensor)[0])
    if not isinstance(channels, Fixed):
        call.space.statistic(channels, 1)
        if 1 < groups < channels.size:
            call.space.grid(channels, groups, *CHANNEL_GROUPS)
    return [x, *(_statistics(tensor) for tensor in call.outputs[1:])]


def _statistics(tensor: Tensor) -> Dims:
    return tuple(PER_CHANNEL for _ in tensor.shape)
