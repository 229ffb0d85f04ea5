"""Reads the sizes that the model's Python code asks for, and hands out sizes that remember their dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

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
from prunescope.core.labels import BY_POSITION, ONE_INDEX, REPEATED, Dims, Factor, Fixed, LabelSpace, Vector
from prunescope.core.memoised import Memoised
from prunescope.core.plain_numbers import PlainNumbers
from prunescope.core.rewritten import rewritten
from prunescope.core.size_readers import READERS, plain_shape
from prunescope.core.sizes import SizeInt, expression_of, heard_by, size_of_dim


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
        self.space.factors_at_work = self._beside(name, args) if name in _PRODUCTS else []
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
        reader = READERS.get(name)
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

    def _beside(self, name: str, args: tuple[Any, ...]) -> list[Dims]:
        """The labels of the tensors that a call brings to one shape, where they all have as many dimensions."""
        dims = [self.labels(tensor) for tensor in tree_leaves(args) if isinstance(tensor, Tensor)]
        rank = max(map(len, dims), default=0)
        return dims if name != _BROADCAST else [(*[ONE_INDEX] * (rank - len(each)), *each) for each in dims]

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
        dims, shape = self.labels(tensor), plain_shape(tensor)
        if len(dims) != len(shape):
            # an operation is just giving it another shape
            return torch.Size(shape)
        return torch.Size([size_of_dim(dim, n) for dim, n in zip(dims, shape, strict=True)])

    def _size(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        asked = args[1] if len(args) > 1 else kwargs.get("dim")
        sizes = self._sizes(args[0])
        return sizes if asked is None else sizes[asked]

    def repeated(self, count: int, size: int, dim: Vector | Fixed, text: str) -> None:
        """The code repeated a dimension of this size; `dim`: what it became."""
        if size != 1:
            self.keeps(expression_of(count), text)
        elif count != 1:
            self.use(expression_of(count), dim, text)

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
            self.stays(expression, text)
        elif isinstance(expression, Literal):
            self.space.lock(labels, f"its size {expression.value} is a number in the code ({text})")
        elif not (isinstance(expression, OfDim) and expression.labels is labels):
            self.space.uses.append(SizeUse(expression, labels, self.space.operation, text))

    def _suppose(self, supposed: Supposed, labels: Vector | Fixed, text: str) -> None:
        if isinstance(labels, Fixed):
            return
        uses = self.space.supposed if supposed.by_value else self.space.uses
        uses.append(SizeUse(supposed.size, labels, self.space.operation, text))

    def stays(self, expression: Expression, text: str) -> None:
        """An attribute that gave the size of a dimension without units has to give it after a cut too."""
        if attributes_in(expression):
            self.keeps(expression, text)

    def keeps(self, expression: Expression, text: str) -> None:
        """What the code made of sizes has to come out the same after a cut."""
        if attributes_in(expression) or dims_in(expression):
            size = evaluated(expression, lambda labels: labels.size, {})
            assert size is not None
            self.space.uses.append(SizeUse(expression, size, self.space.operation, text))


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


_MAX_POOLS = frozenset(f"max_pool{n}d" for n in (1, 2, 3))
_BROADCAST = "broadcast_tensors"
_PRODUCTS = frozenset(("matmul", "__matmul__", "__rmatmul__", _BROADCAST))
_REPEATING = frozenset(("expand", "expand_as", "broadcast_to", "repeat", "tile", "repeat_interleave"))
_READ = frozenset((*READERS, "size", "numel"))
