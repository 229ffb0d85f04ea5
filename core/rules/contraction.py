"""Products that sum over a dimension: the contracted dimensions are joined, the others pass through."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

from torch import Tensor

from prunescope.core.labels import CHANNEL_GROUPS, COMPETING, NEIGHBOURS, ONE_INDEX, POSITIONS, Dim, Dims, Fixed
from prunescope.core.rules.elementwise import broadcast_dims, joined
from prunescope.core.rules.table import Call, register

SOLVED = "equations are solved by all of it together"


@register("aten.convolution", "aten.convolution_overrideable")
def convolution(call: Call) -> Sequence[Dims]:
    """Weight is (out, in / groups, *kernel), transposed (in, out / groups, *kernel)."""
    inputs, weight = call["input"], call["weight"]
    x, w = call.labels(inputs), call.labels(weight)
    transposed = bool(call["transposed"])
    covered = [d for d, dim in enumerate(x[2:]) if not isinstance(dim, Fixed) and _is_covered(call, d)]
    out = convolved(call, x[1], inputs.shape[1], transposed, covered)
    for d in covered:
        call.space.join(x[2 + d], w[2 + d])
        call.role(weight, 2 + d, "in")
    positions = tuple(ONE_INDEX if d in covered else _position(call, d, dim) for d, dim in enumerate(x[2:]))
    run_over = inputs if transposed else call.outputs[0]
    taps = prod(size for d, size in enumerate(weight.shape[2:]) if d not in covered)
    call.space.multiply_accumulates(
        taps,
        [
            (x[0], inputs.shape[0]),
            (w[0], weight.shape[0]),
            (w[1], weight.shape[1]),
            *((w[2 + d], weight.shape[2 + d]) for d in covered),
            *zip(positions, run_over.shape[2:], strict=True),
        ],
    )
    return [(x[0], out, *positions)]


def _is_covered(call: Call, d: int) -> bool:
    """Whether the kernel is as large as what it runs over, and so sums over it at the one place where it fits."""
    size, taps = call["input"].shape[2 + d], call["weight"].shape[2 + d]
    fits_once = size == taps > 1 and call.outputs[0].shape[2 + d] == 1 and _at(call["padding"], d) == 0
    return fits_once and not call["transposed"] and _at(call["dilation"], d) == 1


def convolved(call: Call, channels: Dim, size: int, transposed: bool, covered: Collection[int] = ()) -> Dim:
    """The channels that come out of so many channels, by the weight, groups and bias of the call.

    `covered`: dimensions of the positions that are summed over as a whole.
    """
    weight = call["weight"]
    w = call.labels(weight)
    for d, dim in enumerate(w[2:]):
        if d not in covered:
            call.space.lock(dim, POSITIONS.reason)
    call.role(weight, 0, "in" if transposed else "out")
    call.role(weight, 1, "out" if transposed else "in")
    if call["groups"] == 1:
        contracted, out = (w[0], w[1]) if transposed else (w[1], w[0])
        call.space.join(channels, contracted)
    else:
        out = _grouped(call, channels, size, transposed)
    if call["bias"] is not None:
        call.space.join(out, call.labels(call["bias"])[0])
    return out


def _position(call: Call, d: int, dim: Dim) -> Dim:
    """A kernel of one tap in steps of one takes every index by itself; a larger one takes neighbours together."""
    taps, stride, padding = (_at(values, d) for values in (call["weight"].shape[2:], call["stride"], call["padding"]))
    if taps == stride == 1 and padding == 0 and _at(call["output_padding"], d) == 0:
        return dim
    call.space.lock(dim, NEIGHBOURS)
    return POSITIONS


def _at(values: Sequence[int], d: int) -> int:
    """Of a number for each dimension, or one for all."""
    return values[d] if len(values) > 1 else values[0]


def _grouped(call: Call, channels: Dim, size: int, transposed: bool) -> Dim:
    """Channels in and out are grids of convolution groups x channels in a group; groups come and go together."""
    space, weight, groups = call.space, call["weight"], call["groups"]
    w0, w1 = call.labels(weight)[:2]
    rows, columns = _grid(call, channels, size)
    weight_rows, weight_columns = _grid(call, w0, weight.shape[0])
    space.join(rows, weight_rows)
    if not transposed:
        space.join(columns, w1)
        return w0
    space.join(columns, weight_columns)
    return space.merge((weight_rows, w1), (groups, weight.shape[1]))


def _grid(call: Call, dim: Dim, size: int) -> tuple[Dim, Dim]:
    """Rows (convolution groups) and columns (channels in a group) of a channel dimension."""
    groups = call["groups"]
    if isinstance(dim, Fixed):
        return dim, dim if size > groups else ONE_INDEX
    if dim.size == groups:
        return dim, ONE_INDEX
    grid = call.space.grid(dim, groups, *CHANNEL_GROUPS)
    return grid.rows, grid.columns


@register("aten.addmm", "aten.baddbmm", "aten._sparse_addmm")
def added_product(call: Call) -> Sequence[Dims]:
    added, left, right = call.tensors
    product = _product(call, left, right)
    # times zero it is memory only, which torch makes as large as the product
    return [product if call["beta"] == 0 else _added(call, added, product)]


@register("aten.addbmm")
def added_products(call: Call) -> Sequence[Dims]:
    """The products of a batch, summed over it."""
    added, left, right = call.tensors
    return [_added(call, added, _product(call, left, right)[1:])]


@register("aten.addmv")
def added_vector_product(call: Call) -> Sequence[Dims]:
    added, left, right = call.tensors
    a, b = call.labels(left), call.labels(right)
    call.space.join(a[1], b[0])
    return [_added(call, added, a[:1])]


@register("aten.addr")
def added_outer_product(call: Call) -> Sequence[Dims]:
    added, left, right = call.tensors
    return [_added(call, added, (call.labels(left)[0], call.labels(right)[0]))]


def _added(call: Call, added: Tensor, product: Dims) -> Dims:
    for d in range(-min(len(product), added.dim()), 0):
        if added.shape[d] != 1:
            call.space.join(product[d], call.labels(added)[d])
    return product


@register("aten.linear")
def linear(call: Call) -> Sequence[Dims]:
    """(..., in) and a weight (out, in) -> (..., out)."""
    inputs, weight = call["input"], call["weight"]
    x, w = call.labels(inputs), call.labels(weight)
    call.space.join(x[-1], w[1])
    for tensor, dim, side in ((inputs, -1, "in"), (weight, 1, "in"), (weight, 0, "out")):
        call.role(tensor, dim, side)
    contracted = w[1] if isinstance(x[-1], Fixed) else x[-1]
    sizes = [*zip(x[:-1], inputs.shape[:-1], strict=True), (contracted, inputs.shape[-1]), (w[0], weight.shape[0])]
    call.space.multiply_accumulates(1, sizes)
    product = (*x[:-1], w[0])
    return [product if call["bias"] is None else _added(call, call["bias"], product)]


@register("aten.mm", "aten.bmm")
def product(call: Call) -> Sequence[Dims]:
    return [_product(call, *call.tensors)]


def _product(call: Call, left: Tensor, right: Tensor) -> Dims:
    """(..., n, c) x (..., c, m) -> (..., n, m)."""
    a, b = call.labels(left), call.labels(right)
    call.space.join(a[-1], b[-2])
    batch = broadcast_batch(call, left, right)
    for tensor, contracted, free in ((left, -1, -2), (right, -2, -1)):
        call.role(tensor, contracted, "in")
        call.role(tensor, free, "out")
    contracted_dim = b[-2] if isinstance(a[-1], Fixed) else a[-1]
    sizes = [*zip(batch, left.shape[:-2], strict=False)]
    sizes += [(a[-2], left.shape[-2]), (contracted_dim, left.shape[-1]), (b[-1], right.shape[-1])]
    call.space.multiply_accumulates(1, sizes)
    return (*batch, a[-2], b[-1])


def broadcast_batch(call: Call, left: Tensor, right: Tensor) -> Dims:
    """The labels of the dimensions before the last two."""
    if left.dim() == 2 and right.dim() == 2:
        return ()
    a, b = call.labels(left)[:-2], call.labels(right)[:-2]
    return tuple(joined(call.space, pair) for pair in zip(a, b, strict=True))


@register("aten._grouped_mm")
def grouped_product(call: Call) -> Sequence[Dims]:
    """(n, c) x (g, c, m) -> (n, m): every row meets the matrix of its group, which the offsets say (experts)."""
    left, right = call.tensors[:2]
    a, b = call.labels(left), call.labels(right)
    if (left.dim(), right.dim()) == (3, 3):
        return [_product(call, left, right)]
    if (left.dim(), right.dim()) != (2, 3):
        for dim in (*a, *b):
            call.space.lock(dim, COMPETING)
        return [tuple(Fixed(COMPETING) for _ in call.outputs[0].shape)]
    for dim in (a[0], b[0], *call.labels(call["offs"])):
        call.space.lock(dim, COMPETING)
    call.space.join(a[1], b[1])
    call.role(right, 1, "in")
    call.role(right, 2, "out")
    if call.arguments.get("bias") is not None:
        call.space.join(b[2], call.labels(call["bias"])[-1])
    contracted = b[1] if isinstance(a[1], Fixed) else a[1]
    sizes = [(a[0], left.shape[0]), (contracted, left.shape[1]), (b[2], right.shape[2])]
    call.space.multiply_accumulates(1, sizes)
    return [(a[0], b[2])]


@register("aten.dot", "aten.mv", "aten.vdot")
def vector_product(call: Call) -> Sequence[Dims]:
    left, right = call.tensors
    a, b = call.labels(left), call.labels(right)
    call.space.join(a[-1], b[-1])
    return [a[:-1]]


@register("aten._cdist_forward", "aten._euclidean_dist")
def distances(call: Call) -> Sequence[Dims]:
    """(..., n, c) and (..., m, c) -> (..., n, m)."""
    left, right = call.tensors
    a, b = call.labels(left), call.labels(right)
    call.space.join(a[-1], b[-1])
    sides = [(a[:-2], left.shape[:-2]), (b[:-2], right.shape[:-2])]
    return [(*broadcast_dims(call.space, sides), a[-2], b[-2])]


@register("aten.linalg_cross")
def cross_product(call: Call) -> Sequence[Dims]:
    """Of vectors in space, along one dimension."""
    sides = [(call.labels(tensor), tensor.shape) for tensor in call.tensors]
    product = broadcast_dims(call.space, sides)
    for dims, _ in sides:
        call.space.lock(dims[call["dim"]], "its indices are directions in space")
    return [product]


@register("aten.linalg_solve_triangular")
def solved(call: Call) -> Sequence[Dims]:
    """The matrix is taken as a whole, and so is what its product should be."""
    sides = [(call.labels(tensor), tensor.shape) for tensor in call.tensors[:2]]
    for dims, _ in sides:
        for dim in dims[-2:]:
            call.space.lock(dim, SOLVED)
    batch = broadcast_dims(call.space, [(dims[:-2], sizes[:-2]) for dims, sizes in sides])
    return [(*batch, Fixed(SOLVED), Fixed(SOLVED))]


@register("aten._trilinear")
def trilinear(call: Call) -> Sequence[Dims]:
    """Three operands get single indices where the expansions say, are multiplied and summed over some dimensions."""
    sides = []
    for name, expansion in (("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")):
        dims, sizes = [*call.labels(call[name])], [*call[name].shape]
        for d in sorted(call[expansion]):
            dims.insert(d, ONE_INDEX)
            sizes.insert(d, 1)
        sides.append((dims, sizes))
    product = broadcast_dims(call.space, sides)
    return [tuple(dim for d, dim in enumerate(product) if d not in call["sumdim"])]
