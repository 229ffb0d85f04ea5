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
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple, Protocol, TypeAlias

from prunescope.core.labels import Fixed, Vector


@dataclass(frozen=True, slots=True)
class Entry:
    """A step into a dictionary."""

    key: Hashable

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclass(frozen=True, slots=True)
class Field:
    """A step to an attribute of a plain object."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A step to what a function keeps for a variable: it has closed over it, or it is an argument's default."""

    name: str

    def __str__(self) -> str:
        return f"({self.name})"


Step: TypeAlias = Field | int | Entry | Variable  # a number is a position in a tuple or list


class AttributeKey(NamedTuple):
    """An integer that a module holds, itself or inside a container or a plain object."""

    module: str  # dotted path
    name: str
    trail: tuple[Step, ...] = ()  # the way inside

    def __str__(self) -> str:
        inner = "".join(f"[{step}]" if isinstance(step, int) else str(step) for step in self.trail)
        return f"{self.module}.{self.name}{inner}" if self.module else f"{self.name}{inner}"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number that no cut changes: written in the code, or the size of a dimension without units."""

    value: int


@dataclass(frozen=True, slots=True, eq=False)
class OfDim:
    """The size of a dimension."""

    labels: Vector


class OfAttribute(NamedTuple):
    """The value of an attribute."""

    key: AttributeKey
    value: int  # before any cut


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """What an operator made of two sizes."""

    sign: str  # a key of `OPERATORS`
    left: Expression
    right: Expression


Expression: TypeAlias = Literal | OfDim | OfAttribute | Derived

OPERATORS: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}


@dataclass(frozen=True, slots=True, eq=False)
class SizeUse:
    """A place in the code that computes a size: after any cut it has to come out as wanted."""

    expression: Expression
    wanted: Vector | int  # the size that is left of these labels; or this value still, where the code decided by it
    operation: int  # index of the operation that was running
    text: str  # how the code asked, e.g. "reshape"
    apart: bool = False  # the code told two sizes apart: their difference, the expression, may be anything but `wanted`

    @property
    def dims(self) -> tuple[Vector, ...]:
        """All dimensions that the use depends on."""
        wanted = () if isinstance(self.wanted, int) else (self.wanted,)
        return (*wanted, *dims_in(self.expression))


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

    def __neg__(self) -> SizeInt:
        return SizeInt(-_plain(self), Derived("-", Literal(0), self.expression))

    def __int__(self) -> int:
        _became_factor(self, certain=False)
        return _plain(self)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's functions (`np.sqrt`) take plain numbers."""
        _became_factor(self, certain=False)
        plain = [_plain(value) if isinstance(value, SizeInt) else value for value in inputs]
        return getattr(function, method)(*plain, **options)

    def __float__(self) -> float:
        _became_factor(self)
        return float(_plain(self))

    def __pow__(self, power: float) -> Any:  # type: ignore[override]
        _became_factor(self)
        return _plain(self) ** power

    def __truediv__(self, other: Any) -> Any:
        _became_factor(self, other if isinstance(other, int | float) else 1.0)
        return _plain(self) / other

    def __rtruediv__(self, other: Any) -> Any:
        _became_factor(self, other if isinstance(other, int | float) else 1.0)
        return other / _plain(self)


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

    def method(self: SizeInt, other: object) -> Any:
        if not isinstance(other, int) or isinstance(other, bool):
            return NotImplemented
        left, right = (other, self) if swapped else (self, other)
        return SizeInt(compute(_plain(left), _plain(right)), Derived(sign, expression_of(left), expression_of(right)))

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

    def factor(self, expression: Expression, value: int, times: float = 1.0, certain: bool = True) -> None:
        """A size became a fraction (`C ** -0.5`, `2 / C`: two times): a factor that has to keep its value.

        It is not certain where the size only became a plain number, of which anything may be made.
        """


_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


class heard_by:  # noqa: N801  read as a verb: `with heard_by(listener):`
    """Tell the listener, or nobody, what becomes of sizes inside."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener

    def __enter__(self) -> None:
        self._token = _LISTENER.set(self._listener)

    def __exit__(self, *error: object) -> None:
        _LISTENER.reset(self._token)


def _became_factor(size: SizeInt, times: float = 1.0, certain: bool = True) -> None:
    listener = _LISTENER.get()
    if listener is not None:
        listener.factor(size.expression, _plain(size), times, certain)


def _plain(size: int) -> int:
    """The number alone, unheard."""
    return int.__int__(size)


def size_of_dim(dim: Vector | Fixed, size: int) -> int:
    """The size as an int that remembers the dimension; a plain one where the dimension has no units."""
    return size if isinstance(dim, Fixed) else SizeInt(size, OfDim(dim))


def sequence_like(value: Sequence[Any], items: Iterable[Any]) -> Any:
    """These items in a list, tuple or named tuple like another."""
    return value._make(items) if hasattr(value, "_make") else type(value)(items)  # type: ignore[call-arg]


def evaluated(
    expression: Expression, kept: Callable[[Vector], int], attributes: Mapping[AttributeKey, int]
) -> int | None:
    """The value of an expression after a cut; None where it cannot be computed (division by zero).

    Args:
        kept: How many of a dimension's labels are left.
        attributes: New values; an attribute that is not among them keeps its value.
    """
    match expression:
        case Literal(value):
            return value
        case OfDim(labels):
            return kept(labels)
        case OfAttribute(key, value):
            return attributes.get(key, value)
        case Derived(sign, left, right):
            a, b = evaluated(left, kept, attributes), evaluated(right, kept, attributes)
            if a is None or b is None or (b == 0 and sign in ("//", "%")):
                return None
            return OPERATORS[sign](a, b)


def substituted(expression: Expression, known: Mapping[AttributeKey, Expression]) -> Expression:
    """The expression with others in the place of these attributes."""
    match expression:
        case OfAttribute(key):
            return known.get(key, expression)
        case Derived(sign, left, right):
            return Derived(sign, substituted(left, known), substituted(right, known))
        case _:
            return expression


def attributes_in(expression: Expression) -> tuple[OfAttribute, ...]:
    match expression:
        case OfAttribute():
            return (expression,)
        case Derived(_, left, right):
            return (*attributes_in(left), *attributes_in(right))
        case _:
            return ()


def dims_in(expression: Expression) -> tuple[Vector, ...]:
    match expression:
        case OfDim(labels):
            return (labels,)
        case Derived(_, left, right):
            return (*dims_in(left), *dims_in(right))
        case _:
            return ()
