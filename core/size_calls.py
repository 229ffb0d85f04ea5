"""Reads the sizes that the model's Python code asks for, and hands out sizes that remember their dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from prunescope.core.expressions import (
    Derived,
    Expression,
    Literal,
    OfDim,
    SizeUse,
    Supposed,
    attributes_in,
    dims_in,
    evaluated,
)
from prunescope.core.labels import BY_POSITION, CHANNEL_GROUPS, REPEATED, Dims, Factor, Fixed, LabelSpace, Vector
from prunescope.core.memoised import Memoised
from prunescope.core.plain_numbers import PlainNumbers, plain_number
from prunescope.core.rewritten import rewritten
from prunescope.core.sizes import SizeFloat, SizeInt, expression_of, heard_by, size_of_dim


class SizeCalls(TorchFunctionMode):
    """Sees every call of torch's functions with its raw Python arguments, sizes among them."""

    def __init__(
        self,
        space: LabelSpace,
        labels: Callable[[Tensor], Dims],
        relabel: Callable[[Tensor, Dims], None],
        attended: Callable[[Tensor, Tensor, int], None],
        plain_numbers: PlainNumbers,
    ) -> None:
        super().__init__()
        self.space = space
        self.labels = labels
        self.relabel = relabel  # give a tensor that the code made other labels
        self.attended = attended  # attention whose width is its temperature: query, key, index of its first operation
        self.first_operation = 0  # of the call that is read
        self.heard = 0  # how many factors there were before it
        self.memoised = Memoised()
        self.plain_numbers = plain_numbers

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        args, kwargs = self.plain_numbers.remembered(name, args, kwargs or {})
        made = rewritten(name, args, kwargs)
        if made is not None:
            return made
        first_operation, heard = self.space.operation + 1, len(self.space.factors)
        self.space.lists = [part for part in _key(name, args) if isinstance(part, list)]
        self.space.only_values = name in _MAX_POOLS
        self.space.by_size = name in _REPEATING and any(isinstance(n, SizeInt) for n in tree_leaves((args, kwargs)))
        self.space.factors_at_work = self._factors(args) if name in _PRODUCTS else []
        result = function(*args, **kwargs)
        self.first_operation, self.heard = first_operation, heard
        if name == "__get__" and function.__self__ is Tensor.shape:
            return self._sizes(args[0])
        if name not in _READ and not (self.space.slices or self.space.repeats):
            return result
        # what is compared from here on is no question of the model's
        with heard_by(None):
            return self._read(name, args, kwargs, result)

    def _read(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Read the sizes that a call asked for; gives its result, with sizes that remember where it is one."""
        if name == "size":
            return self._size(args, kwargs, result)
        if name == "numel":
            return self._numel(args[0])
        reader = _READERS.get(name)
        if reader is not None:
            reader(self, name, args, kwargs, result)
        self._bound_slices(_slices(name, args, kwargs))
        if name not in _REPEATING:
            for labels in self.space.repeats:
                self.space.lock(labels, REPEATED)
        self.space.repeats.clear()
        return result

    def steps(self) -> range:
        """Indices of the operations that the call that is read came apart into."""
        return range(self.first_operation, self.space.operation + 1)

    def _factors(self, args: tuple[Any, ...]) -> list[Dims]:
        return [self.labels(factor) for factor in args if isinstance(factor, Tensor)]

    def _numel(self, tensor: Tensor) -> int:
        count = 1
        for size in self._sizes(tensor):
            count = count * size
        return count

    def _bound_slices(self, asked: Sequence[slice]) -> None:
        """Read the bounds of the slices just taken; one that nobody asked for in the code is taken by position."""
        waiting = list(asked)
        for taken in self.space.slices:
            bounds = (taken.start, taken.stop, 1)
            found = next((s for s in waiting if s.indices(taken.labels.size) == bounds), None)
            if found is None:
                self.space.lock(taken.labels, BY_POSITION)
                continue
            waiting.remove(found)
            for bound, position in ((found.start, taken.start), (found.stop, taken.stop)):
                # a number that is the whole size may be any that is large enough
                end = taken.labels.size + isinstance(bound, SizeInt)
                if bound is None or not 0 < position < end or abs(bound) > taken.labels.size:
                    continue
                if bound < 0:
                    # counted from the end
                    self.use(expression_of(-bound), taken.labels[position:], "a slice")
                else:
                    self.use(expression_of(bound), taken.labels[:position], "a slice")
        self.space.slices.clear()

    def _sizes(self, tensor: Tensor) -> torch.Size:
        dims = self.labels(tensor)
        return torch.Size([size_of_dim(dim, n) for dim, n in zip(dims, _plain_shape(tensor), strict=True)])

    def _size(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        asked = args[1] if len(args) > 1 else kwargs.get("dim")
        sizes = self._sizes(args[0])
        return sizes if asked is None else sizes[asked]

    def repeated(self, count: int, size: int, dim: Vector | Fixed, text: str) -> None:
        """The code repeated a dimension of this size; `dim`: what it became."""
        if count != 1 and size == 1:
            self.use(expression_of(count), dim, text)
        elif count != 1:
            self._stays(expression_of(count), text)

    def equal(self, one: Expression, other: Expression) -> None:
        """The code compared two sizes and found them equal."""
        for dim, expression in ((one, other), (other, one)):
            if isinstance(dim, OfDim) and not isinstance(expression, Literal):
                self.use(expression, dim.labels, "==")
                return
            # a number alone may be no question of the code's, but of a dictionary that has it for a key
            if isinstance(dim, Derived) and dim.sign == "%" and isinstance(expression, Literal):
                self.space.uses.append(SizeUse(dim, expression.value, self.space.operation, "=="))
                return

    def unequal(self, one: Expression, other: Expression) -> None:
        """The code told two sizes apart, and has to after a cut too."""
        if not any(isinstance(side, Literal) and side.value < 1 for side in (one, other)):
            difference = Derived("-", one, other)
            self.space.uses.append(SizeUse(difference, 0, self.space.operation, "!=", apart=True))

    def looked_up(self, frame: FrameType) -> None:
        """What a function kept for a size of this value was made of another dimension's, or of a number."""
        self.memoised.forget(frame)

    def factor(
        self, expression: Expression, value: int, times: float = 1.0, certain: bool = True
    ) -> tuple[Factor, ...]:
        """The code made a factor of a size, which has to keep its value."""
        if not dims_in(expression) and not attributes_in(expression):
            return ()
        made = Factor(expression, value, times, certain, self.space.operation)
        self.space.factors.append(made)
        return (made,)

    def made_plain(self, expression: Expression, value: int) -> None:
        """A number of this value is this size from here on."""
        self.plain_numbers.add(value, expression)

    def use(self, expression: Expression, labels: Vector | Fixed, text: str) -> None:
        """The code asked for this size, and the result has these labels."""
        if isinstance(expression, Supposed):
            self._suppose(expression, labels, text)
        elif isinstance(labels, Fixed):
            self._stays(expression, text)
        elif isinstance(expression, Literal):
            self.space.lock(labels, f"its size {expression.value} is a number in the code ({text})")
        elif not (isinstance(expression, OfDim) and expression.labels is labels):
            self.space.uses.append(SizeUse(expression, labels, self.space.operation, text))

    def _suppose(self, supposed: Supposed, labels: Vector | Fixed, text: str) -> None:
        if isinstance(labels, Fixed):
            return
        uses = self.space.supposed if supposed.by_value else self.space.uses
        uses.append(SizeUse(supposed.size, labels, self.space.operation, text))

    def _stays(self, expression: Expression, text: str) -> None:
        """An attribute that gave the size of a dimension without units has to give it after a cut too."""
        if attributes_in(expression):
            size = evaluated(expression, lambda labels: labels.size, {})
            assert size is not None
            self.space.uses.append(SizeUse(expression, size, self.space.operation, text))


def _plain_shape(tensor: Tensor) -> Sequence[int]:
    with torch._C.DisableTorchFunction():
        return tuple(tensor.shape)


def _slices(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[slice]:
    """The slices that the code asks a call for."""
    if name == "narrow":
        start, length = (args[n] if len(args) > n else kwargs[name] for n, name in ((2, "start"), (3, "length")))
        return [slice(start, start + length)] if isinstance(start, int) else []
    return [part for part in _key(name, args) if isinstance(part, slice)]


def _key(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The parts of the key in `x[key]`."""
    if name not in ("__getitem__", "__setitem__"):
        return ()
    return args[1] if isinstance(args[1], tuple) else (args[1],)


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
    counts, sizes = ([*([1] * (rank - len(given))), *given] for given in (asked, _plain_shape(x)))
    for count, size, dim in zip(counts, sizes, calls.labels(result), strict=True):
        calls.repeated(count, size, dim, name)


def _read_interleaved(calls: SizeCalls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
    """repeat_interleave: the same along one dimension."""
    x = args[0] if args else kwargs["input"]
    count = args[1] if len(args) > 1 else kwargs.get("repeats")
    at = args[2] if len(args) > 2 else kwargs.get("dim")
    if isinstance(count, int) and at is not None and _plain_shape(x)[at] == 1:
        calls.repeated(count, 1, calls.labels(result)[at], name)
        return
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
    steps = calls.steps()
    for value in tree_leaves((args, kwargs)):
        if isinstance(value, SizeInt):
            # torch may have made a float of it already
            heard = [each for each in calls.space.factors[calls.heard :] if each.expression is value.expression]
            factors = heard or calls.factor(value.expression, int(value))
        else:
            factors = value.factors if isinstance(value, SizeFloat) else ()
        for factor in factors if name in _MULTIPLYING else ():
            factor.used.append(steps)


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

_Reader = Callable[[SizeCalls, str, tuple[Any, ...], dict[str, Any], Any], None]

_READERS: dict[str, _Reader] = {
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

_MAX_POOLS = frozenset(f"max_pool{n}d" for n in (1, 2, 3))
_PRODUCTS = frozenset(("matmul", "__matmul__", "__rmatmul__"))
_REPEATING = frozenset(("expand", "expand_as", "broadcast_to", "repeat", "tile", "repeat_interleave"))
_READ = frozenset((*_READERS, "size", "numel"))
