"""Where the sizes in Python code come from: expressions over dimensions and attributes, and their value after a cut."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from prunescope.core.labels import Vector


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


@dataclass(frozen=True, slots=True, eq=False)
class Supposed:
    """What a number most likely is that came to be without its origin; never where a dimension has no units."""

    size: Expression
    by_value: bool  # an attribute's value tells, which counts only where the code takes sizes from it elsewhere


Expression: TypeAlias = Literal | OfDim | OfAttribute | Derived | Supposed

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
        case Supposed(size):
            return evaluated(size, kept, attributes)


def divides(expression: Expression, kept: Callable[[Vector], int], attributes: Mapping[AttributeKey, int]) -> bool:
    """Whether no quotient in an expression that can be computed leaves a remainder."""
    if not isinstance(expression, Derived):
        return True
    left, right = (evaluated(side, kept, attributes) or 0 for side in (expression.left, expression.right))
    even = expression.sign != "//" or (right != 0 and left % right == 0)
    return even and all(divides(side, kept, attributes) for side in (expression.left, expression.right))


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
