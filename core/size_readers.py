"""Sizes in the arguments of calls of torch's functions, beside the labels of what they return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from prunescope.core.labels import CHANNEL_GROUPS, REPEATED, Factor, FactorUse, Fixed
from prunescope.core.plain_numbers import plain_number
from prunescope.core.sizes import SizeFloat, SizeInt, expression_of, plain_float

if TYPE_CHECKING:
    from prunescope.core.size_calls import SizeCalls


def plain_shape(tensor: Tensor) -> Sequence[int]:
    """The shape, without an origin of its sizes."""
    with torch._C.DisableTorchFunction():
        return tuple(tensor.shape)


def _asked(values: Sequence[Any]) -> list[Any]:
    """view(2, 3) and view((2, 3)) alike; sizes that tensors or NumPy's numbers give as the numbers that they are."""
    given = values[0] if len(values) == 1 and isinstance(values[0], list | tuple) else values
    return [size if isinstance(size, int) else plain_number(size) for size in given]


def _read_shape(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """view, reshape, expand: a size for each dimension of the result, -1 for 'whatever it is'."""
    given = args[1:] or [kwargs.get("size", kwargs.get("shape", ()))]
    asked = _asked(given)
    dims = calls.labels(result)
    if len(asked) != len(dims) or not all(isinstance(size, int) for size in asked):
        return
    for size, dim in zip(asked, dims, strict=True):
        if size != -1:
            calls.use(expression_of(size), dim, name)


def _read_repeat(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """repeat, tile: how often; a single index as often as the result has indices."""
    x = args[0] if args else kwargs["input"]
    asked = _asked(args[1:] or [kwargs.get("repeats", kwargs.get("dims", ()))])
    rank = result.dim()
    counts, sizes = ([*([1] * (rank - len(given))), *given] for given in (asked, plain_shape(x)))
    for count, size, dim in zip(counts, sizes, calls.labels(result), strict=True):
        calls.repeated(count, size, dim, name)


def _read_interleaved(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """repeat_interleave: the same along one dimension."""
    x = args[0] if args else kwargs["input"]
    count = args[1] if len(args) > 1 else kwargs.get("repeats")
    at = args[2] if len(args) > 2 else kwargs.get("dim")
    if isinstance(count, int) and at is not None and plain_shape(x)[at] == 1:
        calls.repeated(count, 1, calls.labels(result)[at], name)
        return
    if isinstance(count, int):
        calls.keeps(expression_of(count), name)
    for labels in calls.space.repeats:
        calls.space.lock(labels, REPEATED)


def _read_expand_as(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    other = args[1] if len(args) > 1 else kwargs["other"]
    for mine, theirs in zip(calls.labels(result), calls.labels(other), strict=True):
        calls.space.join(mine, theirs)


def _read_attention(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """Without a scale of its own the width of the heads sets the temperature."""
    query, key = (args[n] if len(args) > n else kwargs[name] for n, name in enumerate(("query", "key")))
    if kwargs.get("scale") is None:
        calls.attended(query, key, calls.first_operation)


def _read_factor(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """A size, or what was made of sizes, that takes part in arithmetic with a tensor."""
    for value in tree_leaves((args, kwargs)):
        factors = _factors_of(calls, value)
        power = value.power if isinstance(value, SizeFloat) else 1.0
        for factor in factors if name in _MULTIPLYING else ():
            factor.used.append(FactorUse(calls.steps(), plain_float(value), power))


def _factors_of(calls: SizeCalls, value: Any) -> Sequence[Factor]:
    """What a number in the arguments of the call is made of."""
    if isinstance(value, SizeFloat):
        return value.factors
    if not isinstance(value, SizeInt):
        return ()
    # torch may have made a float of it already
    heard = [each for each in calls.space.factors[calls.heard :] if each.expression is value.expression]
    return heard or calls.factor(value.expression, int(value))


def _read_norm(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """layer_norm, rms_norm: the sizes of the last dimensions."""
    x = args[0] if args else kwargs["input"]
    asked = args[1] if len(args) > 1 else kwargs["normalized_shape"]
    for size, dim in zip(asked, calls.labels(x)[-len(asked) :], strict=True):
        calls.use(expression_of(size), dim, name)


def _read_groups(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """Convolutions and group_norm: how many groups the channels are in."""
    at, keyword, of = _GROUPS[name]
    groups = args[at] if len(args) > at else kwargs.get(keyword, 1)
    channels = calls.labels(args[of] if len(args) > of else kwargs[("input", "weight")[of]])[1 - of]
    if groups == 1:
        return
    if isinstance(channels, Fixed) or channels.size == groups:
        calls.use(expression_of(groups), channels, "groups")
        return
    calls.use(expression_of(groups), calls.space.grid(channels, groups, *CHANNEL_GROUPS).rows, "groups")


# position and keyword of the number of groups, position of the tensor (input or weight) that is in groups
_GROUPS: dict[str, tuple[int, str, int]] = {
    **{f"conv{kind}{rank}d": (6, "groups", 1) for kind in ("", "_transpose") for rank in (1, 2, 3)},
    "group_norm": (1, "num_groups", 0),
}


def _read_positions(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """Adaptive pools and interpolation: the sizes of the last dimensions, some of which may have units."""
    asked: Any = args[1] if len(args) > 1 else kwargs["output_size"]
    pooled = result if isinstance(result, Tensor) else result[0]
    sizes = [asked] if isinstance(asked, int) else asked or ()
    for size, dim in zip(sizes, calls.labels(pooled)[pooled.dim() - len(sizes) :], strict=True):
        if size is not None and not isinstance(dim, Fixed):
            calls.use(expression_of(size), dim, name)


def _read_unflatten(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    at = args[1] if len(args) > 1 else kwargs["dim"]
    asked = args[2] if len(args) > 2 else kwargs["sizes"]
    dims = calls.labels(result)
    first = at % (len(dims) - len(asked) + 1)
    for size, dim in zip(asked, dims[first:], strict=False):
        if size != -1:
            calls.use(expression_of(size), dim, name)


def _read_split(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """split(n) asks every piece for n, split([a, b]) a size for each piece."""
    asked: Any = args[1] if len(args) > 1 else kwargs.get("split_size_or_sections", kwargs.get("split_size"))
    at = args[2] if len(args) > 2 else kwargs.get("dim", 0)
    sizes = [asked] * len(result) if isinstance(asked, int) else list(asked)
    for size, piece in zip(sizes, result, strict=True):
        if piece.shape[at] == int(size):
            calls.use(expression_of(size), calls.labels(piece)[at], name)


def _read_pad(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """Padding by sizes that are remembered adds indices that follow them."""
    x, pad, *_ = args
    if not any(isinstance(width, SizeInt) for width in pad):
        return
    dims = list(calls.labels(result))
    for n, width in enumerate(pad):
        d = x.dim() - 1 - n // 2
        dim = dims[d]
        if isinstance(dim, Fixed) or not isinstance(width, SizeInt) or width < 1:
            continue
        added = calls.space.new(int(width))
        calls.use(width.expression, added, name)
        dims[d] = np.concatenate([dim[: -int(width)], added] if n % 2 else [added, dim[int(width) :]])
    calls.relabel(result, tuple(dims))


def _read_factory(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """zeros, empty, ...: a tensor of sizes that are remembered gets labels of its own, which follow them."""
    # a size may be a tensor too, but the first argument of x.new_zeros is x
    given = (args[1:] if name.startswith("new") else args) or (kwargs.get("size", ()),)
    asked = _asked(given[:1] if isinstance(given[0], list | tuple) else given)
    if not isinstance(result, Tensor) or len(asked) != result.dim():
        return
    if name.endswith("full"):
        _read_factor(calls, name, given[1:], kwargs, result)
    if not any(isinstance(size, SizeInt) and size > 1 for size in asked):
        return
    dims = list(calls.labels(result))
    for d, size in enumerate(asked):
        if isinstance(size, SizeInt) and size > 1:
            dims[d] = calls.space.new(int(size))
            calls.use(size.expression, dims[d], name)
    calls.relabel(result, tuple(dims))


_MULTIPLYING = frozenset(("mul", "div", "true_divide", "mul_", "div_", "__rtruediv__", "__rdiv__"))
_ARITHMETIC = (
    *("add", "sub", "mul", "div", "true_divide", "pow", "clamp", "add_", "sub_", "mul_", "div_"),
    *("fill_", "masked_fill", "full_like", "tensor", "as_tensor", "scalar_tensor"),
    *("rsub", "__rsub__", "__rtruediv__", "__rpow__", "__rdiv__"),
)

_TO_SIZES = (
    *(f"adaptive_{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)),
    *(f"{kind}{n}d" for kind in ("upsample_nearest", "_upsample_nearest_exact") for n in (1, 2, 3)),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
)

_Reader = Callable[["SizeCalls", str, tuple[Any, ...], dict[str, Any], Any], None]

READERS: dict[str, _Reader] = {
    **dict.fromkeys(("view", "reshape", "expand", "broadcast_to"), _read_shape),
    "expand_as": _read_expand_as,
    **dict.fromkeys(("repeat", "tile"), _read_repeat),
    "repeat_interleave": _read_interleaved,
    "scaled_dot_product_attention": _read_attention,
    "unflatten": _read_unflatten,
    "pad": _read_pad,
    **dict.fromkeys(("layer_norm", "rms_norm"), _read_norm),
    **dict.fromkeys(_GROUPS, _read_groups),
    **dict.fromkeys(_TO_SIZES, _read_positions),
    **dict.fromkeys(_ARITHMETIC, _read_factor),
    **dict.fromkeys(("split", "split_with_sizes"), _read_split),
    **dict.fromkeys(
        ("zeros", "ones", "empty", "full", "rand", "randn", "new_zeros", "new_ones", "new_empty", "new_full", "new"),
        _read_factory,
    ),
}
