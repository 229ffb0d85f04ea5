"""Operations that take indices by their position in the code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from prunescope.core.labels import Dim, Dims, Fixed
from prunescope.core.rules.table import Call, register

BY_POSITION = "its indices are taken by position in the code"


@register("aten.slice")
def slice_(call: Call) -> Sequence[Dims]:
    before, after = call.tensors[0], call.outputs[0]
    dims = list(call.labels(before))
    d = call["dim"]
    dim = dims[d]
    if isinstance(dim, Fixed) or before.shape[d] == after.shape[d]:
        return [tuple(dims)]
    call.space.lock(dim, BY_POSITION)
    dims[d] = Fixed(BY_POSITION)
    return [tuple(dims)]


@register("aten.select")
def select(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    call.space.lock(dims.pop(call["dim"]), BY_POSITION)
    return [tuple(dims)]


@register("aten.unbind")
def unbind(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    call.space.lock(dims.pop(call["dim"]), "its indices are separate tensors in the code")
    return [tuple(dims)] * len(call.outputs)


@register("aten.split", "aten.chunk")
def split(call: Call) -> Sequence[Dims]:
    """Pieces of an even split stay even: index j of every piece stays or goes together."""
    dims = call.labels(call.tensors[0])
    d = call["dim"]
    pieces = _pieces(call, dims[d], [tensor.shape[d] for tensor in call.outputs])
    d %= len(dims)
    return [(*dims[:d], piece, *dims[d + 1 :]) for piece in pieces]


@register("aten.split_with_sizes")
def split_with_sizes(call: Call) -> Sequence[Dims]:
    """The sizes are the code's: what they are made of decides what can go."""
    dims = call.labels(call.tensors[0])
    d = call["dim"] % len(dims)
    sizes = [tensor.shape[d] for tensor in call.outputs]
    dim = dims[d]
    pieces = [dim] * len(sizes) if isinstance(dim, Fixed) else np.split(dim, np.cumsum(sizes)[:-1])
    return [(*dims[:d], piece, *dims[d + 1 :]) for piece in pieces]


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


@register("aten.embedding")
def embedding(call: Call) -> Sequence[Dims]:
    """Rows are looked up by number and stay; the columns pass."""
    weight: Tensor = call["weight"]
    rows, columns = call.labels(weight)
    call.space.lock(rows, "its rows are looked up by number")
    call.role(weight, 1, "out")
    return [(*call.labels(call["indices"]), columns)]


@register(
    "aten.zeros_like",
    "aten.ones_like",
    "aten.empty_like",
    "aten.rand_like",
    "aten.randn_like",
    "aten.full_like",
)
def like(call: Call) -> Sequence[Dims]:
    """A new tensor as large as another follows its size."""
    return [call.labels(call.tensors[0])]
