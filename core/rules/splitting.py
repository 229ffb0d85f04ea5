"""Operations that take a dimension apart by position, or pad it: the bounds are the code's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prunescope.core.labels import BY_POSITION, Dim, Dims, Fixed, Sliced, Vector, counted_by
from prunescope.core.rules.elementwise import joined
from prunescope.core.rules.table import Call, register


@register("aten.slice")
def slice_(call: Call) -> Sequence[Dims]:
    """The bounds are the code's: what they are made of decides what can go. Interleaved pieces stay even."""
    before, after = call.tensors[0], call.outputs[0]
    dims = list(call.labels(before))
    d = call["dim"]
    dim = dims[d]
    if isinstance(dim, Fixed) or before.shape[d] == after.shape[d]:
        return [tuple(dims)]
    start, stop, step = slice(call["start"], call["end"], call["step"]).indices(before.shape[d])
    if step > 1 and start < step and stop == before.shape[d] and dim.size % step == 0:
        grid = call.space.grid(dim, dim.size // step, "channels in every piece", "pieces")
        call.space.lock(grid.columns, "the code takes every index of this number")
        dims[d] = dim[start::step]
        return [tuple(dims)]
    dims[d] = _not_one(call, dim[start:stop:step])
    if step > 1 and not dim[start:stop].size:
        return [tuple(dims)]
    if step == 1:
        call.space.slices.append(Sliced(dim, start, stop))
    else:
        call.space.lock(dim, BY_POSITION)
    return [tuple(dims)]


@register("aten.select")
def select(call: Call) -> Sequence[Dims]:
    """The index stays, and so do those that it is counted by."""
    dims = list(call.labels(call.tensors[0]))
    call.space.lock(counted_by(dims.pop(call["dim"]), call["index"]), BY_POSITION)
    return [tuple(dims)]


@register("aten.unbind")
def unbind(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    call.space.lock(dims.pop(call["dim"]), "its indices are separate tensors in the code")
    return [tuple(dims)] * len(call.outputs)


@register("aten.split", "aten.unsafe_split", "aten.chunk", "aten.unsafe_chunk")
def split(call: Call) -> Sequence[Dims]:
    """Pieces of an even split stay even: index j of every piece stays or goes together."""
    dims = call.labels(call.tensors[0])
    d = call["dim"]
    pieces = _pieces(call, dims[d], [tensor.shape[d] for tensor in call.outputs])
    d %= len(dims)
    return [(*dims[:d], piece, *dims[d + 1 :]) for piece in pieces]


@register("aten.split_with_sizes", "aten.unsafe_split_with_sizes")
def split_with_sizes(call: Call) -> Sequence[Dims]:
    """The sizes are the code's: what they are made of decides what can go."""
    dims = call.labels(call.tensors[0])
    d = call["dim"] % len(dims)
    sizes = [tensor.shape[d] for tensor in call.outputs]
    dim = dims[d]
    pieces: list[Dim] = [dim] * len(sizes)
    if not isinstance(dim, Fixed):
        pieces = [_not_one(call, piece) for piece in np.split(dim, np.cumsum(sizes)[:-1])]
    return [(*dims[:d], piece, *dims[d + 1 :]) for piece in pieces]


@register("aten.glu")
def glu(call: Call) -> Sequence[Dims]:
    """One half of a dimension times the other."""
    before = call.tensors[0]
    dims = list(call.labels(before))
    d = call["dim"] % len(dims)
    dims[d] = joined(call.space, _pieces(call, dims[d], [before.shape[d] // 2] * 2))
    return [tuple(dims)]


def _not_one(call: Call, piece: Vector) -> Vector:
    """A dimension of a single index has no labels: what the code takes alone has to stay."""
    if piece.size == 1:
        call.space.lock(piece, BY_POSITION)
    return piece


def _pieces(call: Call, dim: Dim, sizes: Sequence[int]) -> list[Dim]:
    if isinstance(dim, Fixed):
        return [dim] * len(sizes)
    if len(sizes) == 1:
        return [dim]
    if len(set(sizes)) > 1:
        call.space.lock(dim, "it is split into uneven pieces")
        return [*np.split(dim, np.cumsum(sizes)[:-1])]
    grid = call.space.grid(dim, len(sizes), "pieces", "channels in every piece")
    call.space.lock(grid.rows, "the code asks for this number of pieces")
    return [*dim.reshape(len(sizes), -1)]


@register("aten.constant_pad_nd")
def constant_pad(call: Call) -> Sequence[Dims]:
    """Padding of a labelled dimension adds indices that belong to nobody and cannot go."""
    before, pad = call.tensors[0], call["pad"]
    dims = list(call.labels(before))
    for n in range(len(pad) // 2):
        d = before.dim() - 1 - n
        low, high = pad[2 * n], pad[2 * n + 1]
        if low or high:
            dims[d] = _padded(call, dims[d], low, high)
    return [tuple(dims)]


def _padded(call: Call, dim: Dim, low: int, high: int) -> Dim:
    if isinstance(dim, Fixed):
        return dim
    reason = "it meets padding of a fixed width"
    if low < 0 or high < 0:
        call.space.lock(dim, reason)
        return Fixed(reason)
    code = call.space.code(reason)
    return np.concatenate([np.full(low, code), dim, np.full(high, code)]).astype(np.int64)
