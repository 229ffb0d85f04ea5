"""Operations that move values and change none: do to the labels what the operation does to the tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from prunescope.core.labels import ONE_INDEX, POSITIONS, REPEATED, Dim, Dims, Fixed, LabelSpace
from prunescope.core.rules.elementwise import joined
from prunescope.core.rules.table import Call, register

COMPLEX_PARTS = "it is the real and the imaginary part"
BY_DIAGONAL = "its indices are counted from a diagonal"
BY_STRIDES = "its memory is read by strides"
IN_CODE = "it is moved by a distance that is fixed in code"


@register(
    "aten.alias",
    "aten.detach_",
    "aten._conj",
    "aten._neg_view",
    "aten.clone",
    "aten.contiguous",
    "aten.detach",
    "aten.lift_fresh",
    "aten._to_copy",
    "aten.to",
    "aten.dropout",
    "aten.native_dropout",
)
def same(call: Call) -> Sequence[Dims]:
    return [call.labels(call.tensors[0])] * len(call.outputs)


@register("aten.view", "aten._unsafe_view", "aten.reshape", "aten._reshape_alias", "aten._reshape_copy")
def view(call: Call) -> Sequence[Dims]:
    before, after = call.tensors[0], call.outputs[0]
    dims = call.labels(before)
    if before.shape == after.shape:
        return [dims]
    if before.numel() == after.numel() > 0:
        return [viewed(call.space, dims, tuple(before.shape), tuple(after.shape))]
    # numbers of another width in the same memory, or no numbers at all
    for dim in dims:
        call.space.lock(dim, BY_STRIDES)
    return [tuple(Fixed(BY_STRIDES) for _ in after.shape)]


@register("aten.as_strided")
def as_strided(call: Call) -> Sequence[Dims]:
    """A dimension of the result that runs along one of the operand has its labels; windows that overlap stay whole."""
    before, after = call.tensors[0], call.outputs[0]
    dims = call.labels(before)
    result: list[Dim] = [Fixed(BY_STRIDES)] * after.dim()
    if all(isinstance(dim, Fixed) for dim in dims):
        return [tuple(result)]
    runs = [_runs_along(before, after, d) for d in range(before.dim())]
    for d, dim in enumerate(dims):
        if isinstance(dim, Fixed):
            continue
        alone = len(runs[d]) == 1 and not any(runs[d] & other for n, other in enumerate(runs) if n != d)
        at = next(iter(runs[d]), -1)
        if alone and after.shape[at] == dim.size and after.stride(at) == before.stride(d):
            result[at] = dim
        else:
            call.space.lock(dim, BY_STRIDES)
    return [tuple(result)]


def _runs_along(before: Tensor, after: Tensor, d: int) -> set[int]:
    """The dimensions of the result along which the position in dimension `d` of the operand changes.

    None where the result reads memory that is not the operand's.
    """
    reach = [
        tensor.storage_offset() + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        for tensor in (before, after)
    ]
    memory = torch.full((max(reach) + 1,), -1)
    positions = torch.arange(before.shape[d]).view([-1 if n == d else 1 for n in range(before.dim())])
    memory.as_strided(before.shape, before.stride(), before.storage_offset()).copy_(positions.expand(before.shape))
    found = memory.as_strided(after.shape, after.stride(), after.storage_offset())
    if not after.numel() or int(found.min()) < 0:
        return set()
    return {n for n in range(after.dim()) if bool((found != found.narrow(n, 0, 1)).any())}


@register("aten.set_")
def refilled(call: Call) -> Sequence[Dims]:
    """Other memory: none at all, all of another tensor's, or what its strides lead to."""
    if len(call.tensors) == 2 and "storage_offset" not in call.arguments:
        return [call.labels(call.tensors[1])]
    for tensor in call.tensors[1:]:
        for dim in call.labels(tensor):
            call.space.lock(dim, BY_STRIDES)
    return [tuple(Fixed(BY_STRIDES) for _ in call.outputs[0].shape)]


@register("aten.as_strided_")
def restrided(call: Call) -> Sequence[Dims]:
    """How the operand lay in memory before is not known any more; torch itself only makes it dense again."""
    after = call.outputs[0]
    dims = call.labels(after)
    dense = after.is_contiguous() or after.is_contiguous(memory_format=torch.channels_last)
    sizes = [size if isinstance(dim, Fixed) else dim.size for dim, size in zip(dims, after.shape, strict=False)]
    if dense and len(dims) == after.dim() and sizes == [*after.shape]:
        return [dims]
    for dim in dims:
        call.space.lock(dim, BY_STRIDES)
    return [tuple(Fixed(BY_STRIDES) for _ in after.shape)]


def viewed(space: LabelSpace, dims: Dims, before: tuple[int, ...], after: tuple[int, ...]) -> Dims:
    """The labels after `tensor.view(after)`: runs of dimensions with equal products are merged, then split."""
    result: list[Dim] = []
    for old, new in blocks(before, after):
        if len(old) == len(new) == 1:
            result.append(dims[old[0]])
            continue
        if all(isinstance(dims[d], Fixed) for d in old):
            fixed = next((dims[d] for d in old if before[d] != 1), ONE_INDEX)
            result.extend(fixed if after[d] != 1 else ONE_INDEX for d in new)
            continue
        sizes = [after[d] for d in new if after[d] != 1]
        merged = space.merge([dims[d] for d in old], [before[d] for d in old]) if old else ONE_INDEX
        parts = iter(space.split(merged, sizes) if sizes else ())
        result.extend(next(parts) if after[d] != 1 else ONE_INDEX for d in new)
    return tuple(result)


@lru_cache(maxsize=1024)
def blocks(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Pair the dimensions of two shapes with the same number of elements into the shortest runs of equal products.

    (2, 6, 5) -> (12, 5) gives ((0, 1), (0,)), ((2,), (1,)).
    """
    found: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        old: list[int] = []
        new: list[int] = []
        left = right = 1
        while not (old or new) or left != right:
            if left <= right and i < len(before):
                old.append(i)
                left *= before[i]
                i += 1
            else:
                new.append(j)
                right *= after[j]
                j += 1
        found.append((tuple(old), tuple(new)))
    return tuple(found)


@register("aten.view_as_complex")
def view_as_complex(call: Call) -> Sequence[Dims]:
    """(..., 2) -> (...): real and imaginary part are not units."""
    *dims, parts = call.labels(call.tensors[0])
    call.space.lock(parts, COMPLEX_PARTS)
    return [tuple(dims)]


@register("aten.view_as_real")
def view_as_real(call: Call) -> Sequence[Dims]:
    return [(*call.labels(call.tensors[0]), Fixed(COMPLEX_PARTS))]


@register("aten.permute")
def permute(call: Call) -> Sequence[Dims]:
    dims = call.labels(call.tensors[0])
    return [tuple(dims[d] for d in call["dims"])]


@register("aten.transpose", "aten.transpose_")
def transpose(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    first, second = call["dim0"], call["dim1"]
    dims[first], dims[second] = dims[second], dims[first]
    return [tuple(dims)]


@register("aten.t", "aten.t_")
def t(call: Call) -> Sequence[Dims]:
    return [call.labels(call.tensors[0])[::-1]]


@register("aten.unsqueeze", "aten.unsqueeze_")
def unsqueeze(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    at = call["dim"] % (len(dims) + 1)
    return [(*dims[:at], ONE_INDEX, *dims[at:])]


@register("aten.squeeze")
def squeeze(call: Call) -> Sequence[Dims]:
    before = call.tensors[0]
    rank = max(before.dim(), 1)
    asked = call.arguments.get("dim", range(rank))
    chosen = {d % rank for d in ([asked] if isinstance(asked, int) else asked)}
    kept = [d for d in range(before.dim()) if d not in chosen or before.shape[d] != 1]
    dims = call.labels(before)
    return [tuple(dims[d] for d in kept)]


@register("aten.squeeze_")
def squeeze_in_place(call: Call) -> Sequence[Dims]:
    """The operand has lost the dimensions already."""
    after = call.outputs[0]
    dims = call.labels(after)
    asked = call.arguments.get("dim")
    chosen = [asked] if isinstance(asked, int) else asked or []
    single = [
        d
        for d, dim in enumerate(dims)
        if dim is ONE_INDEX and (asked is None or d in chosen or d - len(dims) in chosen)
    ]
    if len(dims) - len(single) == after.dim():
        return [tuple(dim for d, dim in enumerate(dims) if d not in single)]
    if len(dims) == after.dim() or (len(chosen) == 1 and len(dims) - 1 == after.dim()):
        gone = {d % len(dims) for d in chosen} if len(dims) > after.dim() else set()
        return [tuple(dim for d, dim in enumerate(dims) if d not in gone)]
    for dim in dims:
        call.space.lock(dim, "dimensions before it are taken away")
    return [tuple(Fixed("dimensions before it are taken away") for _ in after.shape)]


@register("aten.expand")
def expand(call: Call) -> Sequence[Dims]:
    before, after = call.tensors[0], call.outputs[0]
    added = after.dim() - before.dim()
    dims = call.labels(before)
    return [
        tuple(
            _repeated(call.space, d, after.shape) if d < added or before.shape[d - added] != size else dims[d - added]
            for d, size in enumerate(after.shape)
        )
    ]


def _repeated(space: LabelSpace, d: int, shape: Sequence[int]) -> Dim:
    """One index repeated along dimension `d`: as often as a factor of the matrix product at work has indices there.

    Elsewhere it is as often as the code asks: its labels follow what the code made the number of.
    """
    for factor in space.factors_at_work:
        dim = factor[d] if len(factor) == len(shape) else ONE_INDEX
        if dim is not ONE_INDEX and (isinstance(dim, Fixed) or dim.size == shape[d]):
            return dim
    labels = space.new(shape[d])
    space.repeats.append(labels)
    return labels


@register("aten.cat", "aten.concat")
def cat(call: Call) -> Sequence[Dims]:
    """The labels one behind the other along the dimension; joined along every other."""
    # an empty one-dimensional tensor may be concatenated with anything and adds nothing
    tensors = [t for t in call["tensors"] if t.numel() or t.dim() > 1] or call["tensors"]
    along = call["dim"] % call.outputs[0].dim()
    parts = [call.labels(tensor) for tensor in tensors]
    result: list[Dim] = []
    for d in range(call.outputs[0].dim()):
        column = [dims[d] for dims in parts]
        if d != along:
            result.append(joined(call.space, column))
        elif all(isinstance(dim, Fixed) for dim in column):
            result.append(column[0])
        else:
            result.append(
                np.concatenate([call.space.vector(dim, t.shape[d]) for dim, t in zip(column, tensors, strict=True)])
            )
    return [tuple(result)]


@register("aten.stack")
def stack(call: Call) -> Sequence[Dims]:
    parts = [call.labels(tensor) for tensor in call["tensors"]]
    dims = [joined(call.space, [part[d] for part in parts]) for d in range(len(parts[0]))]
    at = call["dim"] % (len(dims) + 1)
    return [(*dims[:at], Fixed("its indices are separate tensors in the code"), *dims[at:])]


@register("aten.flip")
def flip(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    for d in call["dims"] if dims else ():
        dim = dims[d]
        dims[d] = dim if isinstance(dim, Fixed) else dim[::-1].copy()
    return [tuple(dims)]


@register("aten.roll")
def roll(call: Call) -> Sequence[Dims]:
    """The distance is a number in the code: a shorter dimension would come out in another order."""
    dims = list(call.labels(call.tensors[0]))
    asked = dict(zip(call["dims"], call["shifts"], strict=True)) if call["dims"] else dict.fromkeys(range(len(dims)))
    for d, shift in asked.items():
        dim = dims[d]
        if isinstance(dim, Fixed):
            continue
        call.space.lock(dim, IN_CODE)
        dims[d] = Fixed(IN_CODE) if shift is None else np.roll(dim, shift)
    return [tuple(dims)]


@register("aten.rot90")
def rotate(call: Call) -> Sequence[Dims]:
    """A quarter turn swaps two dimensions and reverses one of them."""
    dims = list(call.labels(call.tensors[0]))
    first, second = call["dims"]
    turns = call["k"] % 4
    if turns % 2:
        dims[first], dims[second] = dims[second], dims[first]
    for d in ((), (first,), (first, second), (second,))[turns]:
        dim = dims[d]
        dims[d] = dim if isinstance(dim, Fixed) else dim[::-1].copy()
    return [tuple(dims)]


@register("aten.unfold")
def unfold(call: Call) -> Sequence[Dims]:
    """Windows of a dimension, which becomes their number and gets another behind it: their width."""
    dims = list(call.labels(call.tensors[0]))
    if not dims:
        return [(ONE_INDEX,)]
    call.space.lock(dims[call["dimension"]], "it is read in windows")
    dims[call["dimension"]] = POSITIONS
    return [(*dims, POSITIONS)]


@register("aten.tril", "aten.triu")
def triangle(call: Call) -> Sequence[Dims]:
    """Rows and columns of a square that go together leave a triangle."""
    dims = call.labels(call.tensors[0])
    _diagonal(call, dims[-2], dims[-1], call["diagonal"])
    return [dims]


@register("aten.diagonal")
def diagonal(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    first, second = (call[name] % len(dims) for name in ("dim1", "dim2"))
    on_it = _diagonal(call, dims[first], dims[second], call["offset"])
    return [(*(dim for d, dim in enumerate(dims) if d not in (first, second)), on_it)]


def _diagonal(call: Call, rows: Dim, columns: Dim, offset: int) -> Dim:
    """The labels of the diagonal of rows x columns."""
    square = isinstance(rows, Fixed) or isinstance(columns, Fixed) or rows.size == columns.size
    if offset == 0 and square:
        return joined(call.space, [rows, columns])
    for dim in (rows, columns):
        call.space.lock(dim, BY_DIAGONAL)
    return Fixed(BY_DIAGONAL)


@register("aten.diag_embed")
def diagonal_matrix(call: Call) -> Sequence[Dims]:
    *batch, last = call.labels(call.tensors[0])
    rank = len(batch) + 2
    if call["offset"] != 0:
        call.space.lock(last, BY_DIAGONAL)
        last = Fixed(BY_DIAGONAL)
    rest = iter(batch)
    places = {call["dim1"] % rank, call["dim2"] % rank}
    return [tuple(last if d in places else next(rest) for d in range(rank))]


COPIES = Fixed(REPEATED)


@register("aten.repeat")
def repeat(call: Call) -> Sequence[Dims]:
    before, after = call.tensors[0], call.outputs[0]
    dims = call.labels(before)
    added = after.dim() - before.dim()
    result: list[Dim] = []
    for d, (dim, old, new) in enumerate(
        zip((*([ONE_INDEX] * added), *dims), (*([1] * added), *before.shape), after.shape, strict=True)
    ):
        if old == 1 and new > 1:
            # a number in the code couples nothing with what it meets
            result.append(_repeated(call.space, d, after.shape) if call.space.by_size else COPIES)
        else:
            result.append(dim if isinstance(dim, Fixed) or old == new else np.tile(dim, new // old))
    return [tuple(result)]
