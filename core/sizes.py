"""Ints that remember where they came from, so that the sizes in Python code can follow a cut.

While a trace runs, `x.shape` and the integer attributes of modules give ints of a subclass that carry an expression:
'size of that dimension', 'attribute num_heads of blocks.0.attn', and what arithmetic made of them. Calls that take
sizes (view, reshape, split, zeros ...) read the expression back and compare it with the labels of the result: from
that follows which attribute has to be repaired and to what, which sizes must shrink together, and which are numbers
in the code that no cut can change.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from fractions import Fraction
from math import ceil, floor, inf, isfinite
from types import FrameType
from typing import Any, Protocol

import numpy as np

from prunescope.core.expressions import OPERATORS, Derived, Expression, Literal, OfDim
from prunescope.core.labels import Factor, Fixed, Vector


class SizeInt(int):
    """An int with its expression; arithmetic with ints keeps it."""

    expression: Expression

    def __new__(cls, value: int, expression: Expression) -> SizeInt:
        made = super().__new__(cls, value)
        made.expression = expression
        return made

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        # copies and pickles outlive the trace, and are plain
        return int, (_plain(self),)

    def __hash__(self) -> int:
        listener = _LISTENER.get()
        if listener is not None:
            listener.looked_up(sys._getframe(1))
        return int.__hash__(self)

    def __eq__(self, other: object) -> bool:
        same = int.__eq__(self, other)
        listener = _LISTENER.get()
        if listener is not None and isinstance(other, int):
            (listener.equal if same else listener.unequal)(self.expression, expression_of(other))
        return same

    def __ne__(self, other: object) -> bool:
        same = self.__eq__(other)
        return same if same is NotImplemented else not same

    def __floor__(self) -> SizeInt:
        return self

    __ceil__ = __trunc__ = __floor__

    def __round__(self, digits: int | None = None) -> int:  # type: ignore[override]
        return self if digits is None else round(_plain(self), digits)

    def __neg__(self) -> SizeInt:
        return SizeInt(-_plain(self), Derived("-", Literal(0), self.expression))

    def __int__(self) -> int:
        _became_factor(self, certain=False)
        return _made_plain(self)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's functions (`np.sqrt`) take plain numbers."""
        _became_factor(self, certain=False)
        plain = [_plain(value) if isinstance(value, SizeInt) else value for value in inputs]
        return getattr(function, method)(*plain, **options)

    def __float__(self) -> float:
        _became_factor(self)
        return float(_plain(self))

    def __pow__(self, power: Any, modulo: Any = None) -> Any:
        value = pow(_plain(self), power, modulo)
        heard = _became_factor(self)
        if isinstance(self, NumPysSizeInt) and type(value) is float:
            return np.float64(value)
        return SizeFloat.of(value, heard, power=_number(power))

    def __truediv__(self, other: Any) -> Any:
        # which has factors of its own, and takes this one up
        return NotImplemented if isinstance(other, SizeFloat) else _quotient(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _quotient(other, self)


class NumPysSizeInt(SizeInt):
    """In the place of one of NumPy's integers, with what these have beside."""

    def item(self) -> SizeInt:
        return SizeInt(_plain(self), self.expression)

    def __getattr__(self, name: str) -> Any:
        return getattr(np.int64(_plain(self)), name)


class SizeFloat(float):
    """What fractions of sizes make, and products of these; a quotient that is rounded to an int is a size again."""

    factors: tuple[Factor, ...]  # the sizes, as they were heard
    sides: tuple[Expression, Expression] | None  # what was divided, where it is one quotient, not negative
    power: float | None  # of the one size that this is a multiple of; None where it is of none or of several

    @classmethod
    def of(
        cls,
        value: Any,
        factors: Iterable[Factor],
        sides: tuple[Expression, Expression] | None = None,
        power: float | None = None,
    ) -> SizeFloat | Any:
        """The value itself where it is no plain float: a tensor, a complex number."""
        if type(value) is not float:
            return value
        made = cls(value)
        made.factors, made.sides = tuple(factors), sides
        made.power = power if len(made.factors) == 1 else None
        return made

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (plain_float(self),)

    def __floor__(self) -> int:
        if self.sides is None:
            return floor(plain_float(self))
        self._is_answered()
        return SizeInt(floor(plain_float(self)), Derived("//", *self.sides))

    __trunc__ = __floor__

    def __ceil__(self) -> int:
        if self.sides is None:
            return ceil(plain_float(self))
        self._is_answered()
        left, right = self.sides
        below = Derived("//", Derived("-", Literal(0), left), right)
        return SizeInt(ceil(plain_float(self)), Derived("-", Literal(0), below))

    def __round__(self, digits: int | None = None) -> Any:  # type: ignore[override]
        return self.__floor__() if digits is None and self.is_integer() else round(plain_float(self), digits)

    def __int__(self) -> int:
        return int(self.__floor__()) if self.sides is not None else int(plain_float(self))

    def _is_answered(self) -> None:
        for factor in self.factors:
            factor.is_answered = True

    def __float__(self) -> float:
        for factor in self.factors:
            factor.is_lost = True
        return plain_float(self)

    def __abs__(self) -> SizeFloat:
        return SizeFloat.of(abs(plain_float(self)), self.factors, power=self.power)

    def __neg__(self) -> SizeFloat:
        return SizeFloat.of(-plain_float(self), self.factors, power=self.power)


def _product(name: str) -> Callable[[SizeFloat, Any], Any]:
    compute = getattr(float, name)

    def method(self: SizeFloat, other: Any) -> Any:
        heard = _became_factor(other) if isinstance(other, SizeInt) else getattr(other, "factors", ())
        power = _POWER_AFTER[name](self.power, _number(other)) if self.power is not None else None
        return SizeFloat.of(compute(plain_float(self), other), (*self.factors, *heard), power=power)

    return method


# of what arithmetic with a number makes of a multiple of a power
_POWER_AFTER: Mapping[str, Callable[[float, float | None], float | None]] = {
    **dict.fromkeys(("__mul__", "__rmul__", "__truediv__"), lambda power, number: power),
    "__rtruediv__": lambda power, number: -power,
    "__pow__": lambda power, number: None if number is None else power * number,
    "__rpow__": lambda power, number: None,
}


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None


def _comparison(name: str) -> Callable[[SizeFloat, Any], Any]:
    compare = getattr(float, name)

    def method(self: SizeFloat, other: Any) -> Any:
        self._is_answered()
        return compare(plain_float(self), other)

    return method


for _name in ("lt", "le", "gt", "ge"):
    setattr(SizeFloat, f"__{_name}__", _comparison(f"__{_name}__"))

for _name in ("mul", "truediv", "pow"):
    for _side in ("", "r"):
        setattr(SizeFloat, f"__{_side}{_name}__", _product(f"__{_side}{_name}__"))


def _quotient(left: Any, right: Any) -> Any:
    """`left / right`, one of them a size and the other whatever the code has."""
    one, other = (_plain(value) if isinstance(value, SizeInt) else value for value in (left, right))
    heard = [
        factor
        for size, times in ((left, other), (right, one))
        if isinstance(size, SizeInt)
        for factor in _became_factor(size, times if isinstance(times, int | float) else 1.0)
    ]
    power = 1.0 if isinstance(left, SizeInt) else -1.0
    value = one / other
    if isinstance(left, NumPysSizeInt) or isinstance(right, NumPysSizeInt):
        return np.float64(value)
    if type(value) is not float or value < 0 or not all(float(side).is_integer() for side in (one, other)):
        return SizeFloat.of(value, heard, power=power)
    numerator, denominator = (expression_of(side if isinstance(side, int) else int(side)) for side in (left, right))
    return SizeFloat.of(value, heard, (numerator, denominator), power)


def _share(size: SizeInt, of: float) -> Any:
    """`size * of`"""
    value = _plain(size) * of
    # most shares are rounded to a size
    heard = _became_factor(size, 1 / of, certain=False) if of and isfinite(of) else ()
    share = Fraction(of).limit_denominator(_FINEST) if 0 <= of < inf else None
    if share is None or float(share) != of:
        return SizeFloat.of(value, heard, power=1.0)
    times = Derived("*", size.expression, Literal(share.numerator))
    return SizeFloat.of(value, heard, (times, Literal(share.denominator)), 1.0)


_FINEST = 1000  # denominator of a share that was written as a decimal fraction


def _ordering(compare: Callable[[int, int], bool]) -> Callable[[SizeInt, object], Any]:
    def method(self: SizeInt, other: object) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        # code that asks which of two equal sizes is larger wants them equal
        if _plain(self) == _plain(other) and isinstance(other, SizeInt):
            self.__eq__(other)
        return compare(_plain(self), _plain(other))

    return method


for _compare in (operator.lt, operator.le, operator.gt, operator.ge):
    setattr(SizeInt, f"__{_compare.__name__}__", _ordering(_compare))


def _arithmetic(sign: str, swapped: bool) -> Callable[[SizeInt, object], Any]:
    compute = OPERATORS[sign]

    def method(self: SizeInt, other: Any) -> Any:
        if type(other) is float and sign == "*":
            return _share(self, other)
        if not isinstance(other, int) or isinstance(other, bool):
            return NotImplemented
        left, right = (other, self) if swapped else (self, other)
        value = compute(_plain(left), _plain(right))
        return type(self)(value, Derived(sign, expression_of(left), expression_of(right)))

    return method


for _sign, _name in (("+", "add"), ("-", "sub"), ("*", "mul"), ("//", "floordiv"), ("%", "mod")):
    setattr(SizeInt, f"__{_name}__", _arithmetic(_sign, swapped=False))
    setattr(SizeInt, f"__r{_name}__", _arithmetic(_sign, swapped=True))


def expression_of(value: int) -> Expression:
    return value.expression if isinstance(value, SizeInt) else Literal(int(value))


class Listener(Protocol):
    """Hears what the code does with sizes beside passing them to torch."""

    def equal(self, one: Expression, other: Expression) -> None:
        """Two sizes were compared and found equal (`assert C == self.embed_dim`)."""

    def unequal(self, one: Expression, other: Expression) -> None:
        """Two sizes were compared and found to differ (`if self.width != self.width_out`)."""

    def looked_up(self, frame: FrameType) -> None:
        """Code looked something up by a size: in a dictionary, or in what a function returned for it before."""

    def factor(
        self, expression: Expression, value: int, times: float = 1.0, certain: bool = True
    ) -> tuple[Factor, ...]:
        """A size became a fraction (`C ** -0.5`, `2 / C`: two times): a factor that has to keep its value.

        It is not certain where the size only became a plain number, of which anything may be made.
        """

    def made_plain(self, expression: Expression, value: int) -> None:
        """`int(...)` of a size, which can only be a number without its origin."""


_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


class heard_by:  # noqa: N801  read as a verb: `with heard_by(listener):`
    """Tell the listener, or nobody, what becomes of sizes inside."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener

    def __enter__(self) -> None:
        self._token = _LISTENER.set(self._listener)

    def __exit__(self, *error: object) -> None:
        _LISTENER.reset(self._token)


def _became_factor(size: SizeInt, times: float = 1.0, certain: bool = True) -> tuple[Factor, ...]:
    listener = _LISTENER.get()
    return () if listener is None else listener.factor(size.expression, _plain(size), times, certain)


def _made_plain(size: SizeInt) -> int:
    listener = _LISTENER.get()
    if listener is not None:
        listener.made_plain(size.expression, _plain(size))
    return _plain(size)


def _plain(size: int) -> int:
    """The number alone, unheard."""
    return int.__int__(size)


def plain_float(value: Any) -> float:
    """The number alone, unheard."""
    plain: float = float.__float__(value) if isinstance(value, float) else float(_plain(value))
    return plain


def size_of_dim(dim: Vector | Fixed, size: int) -> int:
    """The size as an int that remembers the dimension; a plain one where the dimension has no units."""
    return size if isinstance(dim, Fixed) else SizeInt(size, OfDim(dim))


def sequence_like(value: Sequence[Any], items: Iterable[Any]) -> Any:
    """These items in a list, tuple or named tuple like another."""
    return value._make(items) if hasattr(value, "_make") else type(value)(items)  # type: ignore[call-arg]
