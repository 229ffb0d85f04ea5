"""Operations that run along positions (pixels, frames, points of time): channels pass, positions change."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from prunescope.core.labels import CHANNEL_GROUPS, NEIGHBOURS, POSITIONS, Dim, Dims, Fixed
from prunescope.core.rules.contraction import convolved
from prunescope.core.rules.elementwise import joined
from prunescope.core.rules.table import Call, operation_name, register
from prunescope.core.shapes import for_each

FACTOR = "the code asks for this factor"
OFFSETS = "its indices are places where the input is read"


@register(
    *(f"aten.max_pool{n}d_with_indices" for n in (2, 3)),
    *(f"aten.max_unpool{n}d" for n in (2, 3)),
    *(f"aten.avg_pool{n}d" for n in (1, 2, 3)),
    *(f"aten._adaptive_avg_pool{n}d" for n in (2, 3)),
    *(f"aten.adaptive_max_pool{n}d" for n in (2, 3)),
    *(f"aten.upsample_nearest{n}d" for n in (1, 2, 3)),
    *(f"aten._upsample_nearest_exact{n}d" for n in (1, 2, 3)),
    *(f"aten.reflection_pad{n}d" for n in (1, 2, 3)),
    *(f"aten.replication_pad{n}d" for n in (1, 2, 3)),
    "aten.upsample_linear1d",
    "aten.upsample_bilinear2d",
    "aten._upsample_bilinear2d_aa",
    "aten.upsample_bicubic2d",
    "aten._upsample_bicubic2d_aa",
    "aten.upsample_trilinear3d",
)
def spatial(call: Call) -> Sequence[Dims]:
    """(..., C, *positions): batch and channels pass, the positions change. The name says how many there are.

    A dimension of the positions whose every index is made of itself alone passes too.
    """
    found = re.search(r"(\d)d", operation_name(call.function))
    assert found is not None
    count = int(found[1])
    operands = [call.labels(tensor) for tensor in call.tensors]
    first = len(operands[0]) - count
    passing = [*range(first), *(first + n for n, alone in enumerate(_made_of_themselves(call, count)) if alone)]
    for dims in operands:
        for d in range(first, first + count):
            if d not in passing:
                call.space.lock(dims[d], NEIGHBOURS)
    after = [
        joined(call.space, [dims[d] for dims in operands]) if d in passing else POSITIONS for d in range(first + count)
    ]
    return [tuple(after)] * len(call.outputs)


def _made_of_themselves(call: Call, count: int) -> list[bool]:
    """For each dimension of the positions whether index k of the result is made of index k of the operand alone."""
    asked = call.arguments
    if len(call.tensors) > 1 or (len(call.outputs) > 1 and not call.space.only_values):
        # places in all the positions are read or told of
        alone = [False] * count
    elif "kernel_size" in asked:
        kernel, stride = asked["kernel_size"], asked["stride"] or asked["kernel_size"]
        alone = [k == step == 1 for k, step in zip(for_each(kernel, count), for_each(stride, count), strict=True)]
    elif "padding" in asked:
        pad = asked["padding"]
        alone = [not any(pad[2 * n : 2 * n + 2]) for n in reversed(range(count))]
    else:
        scales = [value for name, value in asked.items() if name.startswith("scales")] or [None] * count
        alone = [scale in (None, 1.0) for scale in scales]
    sizes = zip(call.tensors[0].shape[-count:], call.outputs[0].shape[-count:], strict=True)
    return [is_alone and before == after for is_alone, (before, after) in zip(alone, sizes, strict=True)]


@register("aten.im2col")
def im2col(call: Call) -> Sequence[Dims]:
    """(..., C, H, W) -> (..., C x kernel taps, windows)."""
    *batch, channels, height, width = call.labels(call.tensors[0])
    _lock_positions(call, height, width)
    return [(*batch, _each(channels, int(np.prod(call["kernel_size"]))), POSITIONS)]


@register("aten.col2im")
def col2im(call: Call) -> Sequence[Dims]:
    """(..., C x kernel taps, windows) -> (..., C, H, W)."""
    *batch, columns, windows = call.labels(call.tensors[0])
    _lock_positions(call, windows)
    channels = _grouped_by(call, columns, call.outputs[0].shape[-3], POSITIONS.reason)
    return [(*batch, channels, POSITIONS, POSITIONS)]


@register("aten.pixel_shuffle")
def pixel_shuffle(call: Call) -> Sequence[Dims]:
    """(..., C x r x r, H, W) -> (..., C, H x r, W x r)."""
    *batch, columns, height, width = call.labels(call.tensors[0])
    _lock_positions(call, height, width)
    channels = _grouped_by(call, columns, call.outputs[0].shape[-3], FACTOR)
    return [(*batch, channels, POSITIONS, POSITIONS)]


@register("aten.pixel_unshuffle")
def pixel_unshuffle(call: Call) -> Sequence[Dims]:
    """(..., C, H x r, W x r) -> (..., C x r x r, H, W)."""
    *batch, channels, height, width = call.labels(call.tensors[0])
    _lock_positions(call, height, width)
    return [(*batch, _each(channels, call["downscale_factor"] ** 2), POSITIONS, POSITIONS)]


def _lock_positions(call: Call, *dims: Dim) -> None:
    for dim in dims:
        call.space.lock(dim, NEIGHBOURS)


def _each(dim: Dim, times: int) -> Dim:
    """Every index so many times, one behind the other."""
    return dim if isinstance(dim, Fixed) else np.repeat(dim, times)


def _grouped_by(call: Call, dim: Dim, rows: int, reason: str) -> Dim:
    """The rows of a dimension; all of its columns stay."""
    if isinstance(dim, Fixed):
        return dim
    first, second = call.space.split(dim, (rows, dim.size // rows))
    call.space.lock(second, reason)
    return first


@register("aten.channel_shuffle", "aten.native_channel_shuffle")
def channel_shuffle(call: Call) -> Sequence[Dims]:
    """(N, groups x C, ...) -> (N, C x groups, ...)."""
    batch, channels, *rest = call.labels(call.tensors[0])
    groups = call["groups"]
    if isinstance(channels, Fixed) or groups in (1, channels.size):
        return [(batch, channels, *rest)]
    grid = call.space.grid(channels, groups, *CHANNEL_GROUPS)
    call.space.lock(grid.rows, "the code asks for this number of groups")
    return [(batch, np.ascontiguousarray(channels.reshape(groups, -1).T).reshape(-1), *rest)]


@register("aten.grid_sampler_2d", "aten.grid_sampler_3d")
def grid_sampler(call: Call) -> Sequence[Dims]:
    """(N, C, *positions) read at (N, *new positions, coordinates) -> (N, C, *new positions)."""
    (batch, channels, *positions), (other, *places, coordinates) = (call.labels(tensor) for tensor in call.tensors)
    _lock_positions(call, *positions)
    call.space.lock(coordinates, OFFSETS)
    return [(joined(call.space, [batch, other]), channels, *places)]


@register("torchvision.roi_align", "torchvision.roi_pool")
def regions(call: Call) -> Sequence[Dims]:
    """(N, C, H, W) read in (K, 5) boxes -> (K, C, *bins)."""
    (images, channels, *positions), (boxes, corners) = (call.labels(tensor) for tensor in call.tensors)
    _lock_positions(call, *positions)
    for dim in (images, corners):
        call.space.lock(dim, OFFSETS)
    return [(boxes, channels, POSITIONS, POSITIONS)] * len(call.outputs)


@register("torchvision.deform_conv2d")
def deformable_convolution(call: Call) -> Sequence[Dims]:
    """A convolution whose taps are moved by offsets (N, 2 x offset groups x taps, H, W) and weighed by a mask."""
    inputs = call["input"]
    batch, channels, *positions = call.labels(inputs)
    _lock_positions(call, *positions)
    out = convolved(call, channels, inputs.shape[1], transposed=False)
    if call["offset_groups"] > 1 and not isinstance(channels, Fixed):
        grid = call.space.grid(channels, call["offset_groups"], *CHANNEL_GROUPS)
        call.space.lock(grid.rows, OFFSETS)
    for name in ("offset", "mask") if call["use_mask"] else ("offset",):
        other, *rest = call.labels(call[name])
        batch = joined(call.space, [batch, other])
        for dim in rest:
            call.space.lock(dim, OFFSETS)
    return [(batch, out, POSITIONS, POSITIONS)]
