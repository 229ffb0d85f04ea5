"""Operations that take indices by their position in the code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from prunescope.core.labels import BY_POSITION, CONSTANT, Dim, Dims, Fixed, Sliced
from prunescope.core.rules.elementwise import joined
from prunescope.core.rules.table import Call, register

BY_NUMBER = "its indices are looked up by number"


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
    call.space.slices.append(Sliced(dim, start, stop, step))
    dims[d] = dim[start:stop:step]
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
    call.space.lock(rows, BY_NUMBER)
    call.role(weight, 1, "out")
    return [(*call.labels(call["indices"]), columns)]


@register("aten.index", "aten._unsafe_index")
def index(call: Call) -> Sequence[Dims]:
    """`x[:, table]`: dimensions that are indexed stay whole, the others pass."""
    before, indices = call.tensors[0], call["indices"]
    dims = call.labels(before)
    at = [d for d, tensor in enumerate(indices) if tensor is not None]
    for dim in (*(dims[d] for d in at), *(dim for t in indices if t is not None for dim in call.labels(t))):
        call.space.lock(dim, BY_NUMBER)
    # a mask stands for as many dimensions as it has
    covered = sum(t.dim() if t.dtype in (torch.bool, torch.uint8) else 1 for t in indices if t is not None)
    rest = [dim for d, dim in enumerate(dims) if d not in range(at[0], at[0] + covered)]
    looked_up: list[Dim] = [Fixed(BY_NUMBER)] * (call.outputs[0].dim() - len(rest))
    if at != list(range(at[0], at[-1] + 1)):
        rest = [dim for d, dim in enumerate(dims) if d not in at]
        return [(*looked_up, *rest)]
    return [(*rest[: at[0]], *looked_up, *rest[at[0] :])]


@register("aten.index_select")
def index_select(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    d = call["dim"]
    call.space.lock(dims[d], BY_NUMBER)
    dims[d] = Fixed(BY_NUMBER)
    return [tuple(dims)]


@register("aten.gather", "aten.take_along_dim", "aten.scatter", "aten.scatter_add", "aten.scatter_reduce")
def gather(call: Call) -> Sequence[Dims]:
    """Along one dimension elements are looked up by number; along the others index and values keep step."""
    tensors = [tensor for tensor in call.tensors if tensor.dim() == call.tensors[0].dim()]
    labels = [call.labels(tensor) for tensor in tensors]
    along = call["dim"] % call.tensors[0].dim()
    for dims in labels:
        call.space.lock(dims[along], BY_NUMBER)
    result: list[Dim] = [joined(call.space, [dims[d] for dims in labels]) for d in range(len(labels[0]))]
    result[along] = Fixed(BY_NUMBER)
    return [tuple(result)]


@register("aten.index_add", "aten.index_copy", "aten.index_put", "aten.index_fill")
def index_into(call: Call) -> Sequence[Dims]:
    """Values are put at numbered places along one dimension."""
    target = call.labels(call.tensors[0])
    if "dim" not in call.arguments:
        for tensor in call.tensors:
            for dim in call.labels(tensor):
                call.space.lock(dim, BY_NUMBER)
        return [target]
    along = call["dim"] % len(target)
    call.space.lock(target[along], BY_NUMBER)
    source = call.arguments.get("source")
    if source is not None:
        for d, (one, other) in enumerate(zip(target, call.labels(source), strict=True)):
            if d != along:
                call.space.join(one, other)
    return [target]


@register("aten.topk", "aten.sort", "aten.argsort")
def ordered(call: Call) -> Sequence[Dims]:
    """The order along one dimension is the values': it stays whole."""
    dims = list(call.labels(call.tensors[0]))
    along = call.arguments.get("dim", -1)
    call.space.lock(dims[along], BY_NUMBER)
    dims[along] = Fixed(BY_NUMBER)
    return [tuple(dims)] * len(call.outputs)


@register("aten.repeat_interleave")
def repeat_interleave(call: Call) -> Sequence[Dims]:
    before, after = call.tensors[0], call.outputs[0]
    if before.dim() != after.dim():
        return [tuple(Fixed(BY_NUMBER) for _ in after.shape)]
    sizes = zip(call.labels(before), before.shape, after.shape, strict=True)
    return [tuple(_repeated(dim, old, new) for dim, old, new in sizes)]


def _repeated(dim: Dim, before: int, after: int) -> Dim:
    if isinstance(dim, Fixed) or before == after or after % before:
        return dim if before == after else Fixed(BY_NUMBER)
    return np.repeat(dim, after // before)


@register("aten.repeat")
def repeat(call: Call) -> Sequence[Dims]:
    before, after = call.tensors[0], call.outputs[0]
    dims = call.labels(before)
    added = after.dim() - before.dim()
    result: list[Dim] = [Fixed("it repeats a single index")] * added
    for dim, old, new in zip(dims, before.shape, after.shape[added:], strict=True):
        result.append(dim if isinstance(dim, Fixed) or old == new else np.tile(dim, new // old))
    return [tuple(result)]


@register(
    *(
        f"aten.{name}"
        for name in (
            "new_zeros",
            "new_ones",
            "new_empty",
            "new_empty_strided",
            "new_full",
            "_local_scalar_dense",
            "bincount",
            "nonzero",
        )
    )
)
def made(call: Call) -> Sequence[Dims]:
    """A tensor of sizes that the code gives; the operand lends its type only."""
    return [tuple(CONSTANT for _ in tensor.shape) for tensor in call.outputs]


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
