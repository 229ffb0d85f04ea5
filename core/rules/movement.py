"""Operations that move values and change none: do to the labels what the operation does to the tensor."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from prunescope.core.labels import ONE_INDEX, Dim, Dims, Fixed, LabelSpace
from prunescope.core.rules.elementwise import joined
from prunescope.core.rules.table import Call, register

COMPLEX_PARTS = "it is the real and the imaginary part"


@register(
    "aten.alias",
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
    before = call.tensors[0]
    return [viewed(call.space, call.labels(before), tuple(before.shape), tuple(call.outputs[0].shape))]


@register("aten.as_strided")
def as_strided(call: Call) -> Sequence[Dims]:
    before, after = call.tensors[0], call.outputs[0]
    if before.shape == after.shape:
        return [call.labels(before)]
    for dim in call.labels(before):
        call.space.lock(dim, "its memory is read by strides")
    return [tuple(Fixed("its memory is read by strides") for _ in after.shape)]


def viewed(space: LabelSpace, dims: Dims, before: tuple[int, ...], after: tuple[int, ...]) -> Dims:
    """The labels after `tensor.view(after)`: runs of dimensions with equal products are merged, then split."""
    result: list[Dim] = []
    for old, new in blocks(before, after):
        sizes = [after[d] for d in new if after[d] != 1]
        merged = space.merge([dims[d] for d in old], [before[d] for d in old]) if old else ONE_INDEX
        parts = iter(space.split(merged, sizes) if sizes else ())
        result.extend(next(parts) if after[d] != 1 else ONE_INDEX for d in new)
    return tuple(result)


def blocks(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Pair the dimensions of two shapes with the same number of elements into the shortest runs of equal products.

    (2, 6, 5) -> (12, 5) gives [([0, 1], [0]), ([2], [1])].
    """
    if prod(before) == 0:
        return [(list(range(len(before))), list(range(len(after))))]
    found: list[tuple[list[int], list[int]]] = []
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
        found.append((old, new))
    return found


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


@register("aten.transpose", "aten.swapaxes")
def transpose(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    first, second = call["dim0"], call["dim1"]
    dims[first], dims[second] = dims[second], dims[first]
    return [tuple(dims)]


@register("aten.t")
def t(call: Call) -> Sequence[Dims]:
    return [call.labels(call.tensors[0])[::-1]]


@register("aten.unsqueeze")
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


@register("aten.expand")
def expand(call: Call) -> Sequence[Dims]:
    before, after = call.tensors[0], call.outputs[0]
    added = after.dim() - before.dim()
    dims = call.labels(before)
    return [
        tuple(
            _repeated(call.space, size) if d < added or before.shape[d - added] != size else dims[d - added]
            for d, size in enumerate(after.shape)
        )
    ]


def _repeated(space: LabelSpace, size: int) -> Dim:
    """One index repeated as often as the code asks: its labels follow what the code made the number of."""
    labels = space.new(size)
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


@register("aten.flip", "aten.roll")
def reorder(call: Call) -> Sequence[Dims]:
    """A labelled dimension that is reversed or rolled keeps its labels in the new order."""
    name = str(call.function.overloadpacket)
    before = call.tensors[0]
    dims = list(call.labels(before))
    for n, d in enumerate(call["dims"] or [0]):
        dim = dims[d]
        if isinstance(dim, Fixed):
            continue
        if name.endswith("flip"):
            dims[d] = dim[::-1].copy()
            continue
        # the distance of the roll is a number in the code, so a shorter dimension would come out in another order
        call.space.lock(dim, "it is rolled by a distance that is fixed in code")
        dims[d] = np.roll(dim, call["shifts"][n])
    return [tuple(dims)]
