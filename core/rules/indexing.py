"""Operations that look indices up by number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prunescope.core.labels import BY_POSITION, ONE_INDEX, Dim, Dims, Fixed, counted_by
from prunescope.core.rules.elementwise import broadcast, joined
from prunescope.core.rules.reduction import together
from prunescope.core.rules.table import Call, operation_name, register

BY_NUMBER = "its indices are looked up by number"
MASKS = (torch.bool, torch.uint8)  # types of indices that choose where they are true


@register("aten.embedding")
def embedding(call: Call) -> Sequence[Dims]:
    """Rows are looked up by number and stay; the columns pass."""
    weight: Tensor = call["weight"]
    rows, columns = call.labels(weight)
    call.space.lock(rows, BY_NUMBER)
    call.role(weight, 1, "out")
    return [(*call.labels(call["indices"]), columns)]


@register("aten.embedding_renorm_")
def shortened_rows(call: Call) -> Sequence[Dims]:
    """Rows that are looked up by number are taken to a length at most, to which zeros add nothing."""
    rows, columns = call.labels(call.tensors[0])
    call.space.lock(rows, BY_NUMBER)
    return [(rows, columns)]


@register("aten._embedding_bag", "aten._embedding_bag_forward_only")
def embedding_bag(call: Call) -> Sequence[Dims]:
    """Rows are looked up by number and added up; the columns pass."""
    weight: Tensor = call["weight"]
    rows, columns = call.labels(weight)
    for tensor in call.tensors[1:]:
        for dim in call.labels(tensor):
            call.space.lock(dim, BY_NUMBER)
    call.space.lock(rows, BY_NUMBER)
    call.role(weight, 1, "out")
    return [
        (Fixed(BY_NUMBER), columns) if tensor.dim() == 2 else tuple(Fixed(BY_NUMBER) for _ in tensor.shape)
        for tensor in call.outputs
    ]


@register("aten.index", "aten._unsafe_index")
def index(call: Call) -> Sequence[Dims]:
    """`x[:, table]`: dimensions that are indexed stay whole, the others pass."""
    dims = call.labels(call.tensors[0])
    places = _looked_up(call)
    return [tuple(Fixed(BY_NUMBER) if d is None else dims[d] for d in places)]


@register("aten.index_put", "aten._index_put_impl")
def index_put(call: Call) -> Sequence[Dims]:
    """`x[:, table] = values`: as above, and the values keep step with the dimensions that pass.

    One value where a mask is true is written element by element, as `masked_fill` does.
    """
    dims, values = call.labels(call.tensors[0]), call.labels(call["values"])
    at, mask = next((d, t) for d, t in enumerate(call["indices"]) if t is not None)
    if mask.dtype in MASKS and call["values"].numel() == 1 and sum(t is not None for t in call["indices"]) == 1:
        for mine, masks in zip(dims[at : at + mask.dim()], call.labels(mask), strict=True):
            call.space.join(mine, masks)
        return [dims]
    places = _looked_up(call)
    for n in range(-len(values), 0):
        d = places[n] if -n <= len(places) else None
        if call["values"].shape[n] != 1:
            call.space.join(values[n], Fixed(BY_NUMBER) if d is None else dims[d])
    return [dims]


def _looked_up(call: Call) -> list[int | None]:
    """What each dimension of `x[indices]` is: a dimension of x, or None for one that the indices make."""
    rank, indices = call.tensors[0].dim(), call["indices"]
    masks = [t is not None and t.dtype in MASKS for t in indices]
    covered: list[int] = []
    d = 0
    for tensor, is_mask in zip(indices, masks, strict=True):
        width = tensor.dim() if is_mask else 1
        if tensor is not None:
            covered.extend(range(d, d + width))
        d += width
    dims = call.labels(call.tensors[0])
    locked = [dims[d] for d in covered]
    numbers = [t for t in indices if t is not None]
    if not any(masks) and any([named] == [t.tolist() for t in numbers] for named in call.space.lists):
        # as with `x[:, -1]`: what the code's own numbers are not counted by may go
        locked = [counted_by(dims[covered[0]], number) for number in numbers[0].tolist()]
    for dim in (*locked, *(dim for tensor in indices if tensor is not None for dim in call.labels(tensor))):
        call.space.lock(dim, BY_NUMBER)
    made = max(1 if is_mask else t.dim() for t, is_mask in zip(indices, masks, strict=True) if t is not None)
    rest = [d for d in range(rank) if d not in covered]
    # indices that are not next to each other come out in front
    together = bool(covered) and covered == list(range(covered[0], covered[-1] + 1))
    at = sum(d < covered[0] for d in rest) if together else 0
    return [*rest[:at], *([None] * made), *rest[at:]]


@register("aten.index_select")
def index_select(call: Call) -> Sequence[Dims]:
    dims = list(call.labels(call.tensors[0]))
    if not dims:
        return [()]
    d = call["dim"]
    call.space.lock(dims[d], BY_NUMBER)
    dims[d] = _by_number(call, call["index"])
    return [tuple(dims)]


@register("aten.take")
def take(call: Call) -> Sequence[Dims]:
    """Elements are looked up by number in all dimensions together."""
    for dim in call.labels(call.tensors[0]):
        call.space.lock(dim, BY_NUMBER)
    return [call.labels(call["index"])]


def _by_number(call: Call, index: Tensor) -> Dim:
    """The dimension that a list of numbers makes: as long as the list."""
    found = next(iter(call.labels(index)), Fixed(BY_NUMBER))
    return Fixed(BY_NUMBER) if isinstance(found, Fixed) else found


@register("aten.gather")
def gather(call: Call) -> Sequence[Dims]:
    """Along one dimension elements are looked up by number; along the others index and values keep step."""
    before, numbers = call.tensors[:2]
    result = list(call.labels(numbers))
    along = call["dim"] % max(before.dim(), 1)
    for d, dim in enumerate(call.labels(before)):
        if d == along:
            call.space.lock(dim, BY_NUMBER)
        else:
            result[d] = _in_step(call, [(dim, before.shape[d]), (result[d], numbers.shape[d])])
    return [tuple(result)]


@register("aten.scatter", "aten.scatter_add", "aten.scatter_reduce")
def scatter(call: Call) -> Sequence[Dims]:
    """Values are put at numbered places along one dimension; along the others all keep step."""
    before = call.tensors[0]
    if not before.dim():
        return together(call)
    operands = [(call.labels(tensor), tensor.shape) for tensor in call.tensors if tensor.dim() == before.dim()]
    along = call["dim"] % before.dim()
    result: list[Dim] = []
    for d in range(before.dim()):
        column = [(dims[d], shape[d]) for dims, shape in operands]
        result.append(column[0][0] if d == along else _in_step(call, column))
    call.space.lock(result[along], BY_NUMBER)
    sources = [(dims[along], shape[along]) for dims, shape in operands[1:]]
    if operation_name(call.function).removesuffix("_") == "aten.scatter_add":
        # a value of zero adds nothing, so that a number and its value may go
        _in_step(call, sources)
    else:
        for dim, _ in sources:
            call.space.lock(dim, BY_NUMBER)
    return [tuple(result)]


def _in_step(call: Call, column: Sequence[tuple[Dim, int]]) -> Dim:
    """Join dimensions of the same size; of others the operation takes the first indices."""
    if len({size for _, size in column}) == 1:
        return joined(call.space, [dim for dim, _ in column])
    for dim, _ in column:
        call.space.lock(dim, BY_POSITION)
    return Fixed(BY_POSITION)


@register("aten.index_add", "aten.index_copy", "aten.index_fill", "aten.index_reduce")
def index_into(call: Call) -> Sequence[Dims]:
    """Values are put at numbered places along one dimension."""
    target = call.labels(call.tensors[0])
    if not target:
        return together(call)
    along = call["dim"] % len(target)
    call.space.lock(target[along], BY_NUMBER)
    numbers = next(iter(call.labels(call["index"])), ONE_INDEX)
    source = call.arguments.get("source")
    if source is None:
        call.space.lock(numbers, BY_NUMBER)
        return [target]
    for d, (one, other) in enumerate(zip(target, call.labels(source), strict=True)):
        call.space.join(numbers if d == along else one, other)
    # a value of zero adds nothing, but it is put, multiplied or compared like any other
    if operation_name(call.function).removesuffix("_") != "aten.index_add":
        call.space.lock(numbers, BY_NUMBER)
    return [target]


@register("aten.segment_reduce")
def segments(call: Call) -> Sequence[Dims]:
    """Rows that lie one behind the other are reduced, so many at a time."""
    (_, *rest), *others = (call.labels(tensor) for tensor in call.tensors)
    for dims in (call.labels(call.tensors[0])[:1], *others):
        for dim in dims:
            call.space.lock(dim, BY_NUMBER)
    return [(Fixed(BY_NUMBER), *rest)]


@register("aten.slice_scatter")
def slice_scatter(call: Call) -> Sequence[Dims]:
    target, source = (call.labels(call[name]) for name in ("self", "src"))
    along = call["dim"] % len(target)
    whole = call["self"].shape == call["src"].shape
    for d, (one, other) in enumerate(zip(target, source, strict=True)):
        if d != along or whole:
            call.space.join(one, other)
            continue
        for dim in (one, other):
            call.space.lock(dim, BY_POSITION)
    return [target]


@register("aten.select_scatter")
def select_scatter(call: Call) -> Sequence[Dims]:
    target, source = (call.labels(call[name]) for name in ("self", "src"))
    along = call["dim"] % len(target)
    call.space.lock(target[along], BY_POSITION)
    for one, other in zip((*target[:along], *target[along + 1 :]), source, strict=True):
        call.space.join(one, other)
    return [target]


@register("aten.masked_scatter")
def masked_scatter(call: Call) -> Sequence[Dims]:
    """Values are put one after the other where the mask says; whole rows of them where it says the same of all."""
    before, mask, source = (call[name] for name in ("self", "mask", "source"))
    dims = broadcast(call, (before, mask), before.dim())
    rest = list(call.labels(source))
    alike = mask.dim() == 0 or mask.shape[-1] == 1 or mask.stride(-1) == 0
    passing = bool(dims) and alike and source.shape[-1:] == before.shape[-1:]
    if passing:
        call.space.join(dims[-1], rest.pop())
    for dim in (*(dims[:-1] if passing else dims), *rest):
        call.space.lock(dim, BY_NUMBER)
    return [dims]


@register("aten.bucketize", "aten.isin")
def compared(call: Call) -> Sequence[Dims]:
    """Every element of the first operand is compared with all of the second."""
    for tensor in call.tensors[1:]:
        for dim in call.labels(tensor):
            call.space.lock(dim, BY_NUMBER)
    return [call.labels(call.tensors[0])]


@register("aten.searchsorted")
def searchsorted(call: Call) -> Sequence[Dims]:
    """(..., n) sorted, (..., m) -> (..., m) numbers of places among the n."""
    *rows, places = call.labels(call["sorted_sequence"])
    call.space.lock(places, BY_NUMBER)
    if not isinstance(call["self"], Tensor):
        return [()]
    dims = call.labels(call["self"])
    for one, other in zip(rows, dims, strict=False):
        call.space.join(one, other)
    return [dims]


@register("aten.multinomial")
def multinomial(call: Call) -> Sequence[Dims]:
    """(..., n) probabilities -> (..., m) numbers that were drawn."""
    *rows, choices = call.labels(call.tensors[0])
    call.space.lock(choices, BY_NUMBER)
    return [(*rows, Fixed(BY_NUMBER))]


@register("torchvision.nms")
def nms(call: Call) -> Sequence[Dims]:
    return together(call)


@register("aten.topk", "aten.sort", "aten.argsort")
def ordered(call: Call) -> Sequence[Dims]:
    """The order along one dimension is the values': it stays whole."""
    dims = list(call.labels(call.tensors[0]))
    if dims:
        along = call.arguments.get("dim", -1)
        call.space.lock(dims[along], BY_NUMBER)
        dims[along] = Fixed(BY_NUMBER)
    return [tuple(dims)] * len(call.outputs)
