"""Fake quantisation: values rounded to steps, one for the tensor or one for each index of a dimension."""

from __future__ import annotations

from collections.abc import Sequence

from prunescope.core.labels import Dims
from prunescope.core.rules.table import Call, register


@register(
    "aten.fake_quantize_per_tensor_affine_cachemask", "aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams"
)
def per_tensor(call: Call) -> Sequence[Dims]:
    """(values, which were within the range)"""
    labels = call.labels(call["self"])
    return [labels, labels]


@register("aten.fake_quantize_per_channel_affine_cachemask")
def per_channel(call: Call) -> Sequence[Dims]:
    """The same, with a step and a zero for each index of `axis`."""
    labels = call.labels(call["self"])
    for name in ("scale", "zero_point"):
        call.space.join(labels[call["axis"]], call.labels(call[name])[0])
    return [labels, labels]
