"""Ints that remember where they came from, so that the sizes in Python code can follow a cut.

While a trace runs, `x.shape` and the integer attributes of modules give ints of a subclass that carry an expression:
'size of that dimension', 'attribute num_heads of blocks.0.attn', and what arithmetic made of them. Calls that take
sizes (view, reshape, split, zeros ...) read the expression back and compare it with the labels of the result: from
that follows which attribute has to be repaired and to what, which sizes must shrink together, and which are numbers
in the code that no cut can change.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeAlias

from torch import Tensor, nn

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


Step: TypeAlias = Field | int | Entry  # a number is a position in a tuple or list


@dataclass(frozen=True, slots=True)
class AttributeKey:
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


@dataclass(frozen=True, slots=True)
class OfAttribute:
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
        return int, (int(self),)

    def __hash__(self) -> int:
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
        return SizeInt(-int(self), Derived("-", Literal(0), self.expression))

    def __float__(self) -> float:
        _became_factor(self)
        return float(int(self))

    def __pow__(self, power: float) -> Any:  # type: ignore[override]
        _became_factor(self)
        return int(self) ** power

    def __truediv__(self, other: float) -> Any:
        _became_factor(self)
        return int(self) / other

    def __rtruediv__(self, other: float) -> Any:
        _became_factor(self)
        return other / int(self)


def _arithmetic(sign: str, swapped: bool) -> Callable[[SizeInt, object], Any]:
    compute = OPERATORS[sign]

    def method(self: SizeInt, other: object) -> Any:
        if not isinstance(other, int) or isinstance(other, bool):
            return NotImplemented
        left, right = (other, self) if swapped else (self, other)
        return SizeInt(compute(int(left), int(right)), Derived(sign, expression_of(left), expression_of(right)))

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

    def factor(self, expression: Expression, value: int) -> None:
        """A size became a fraction (`C ** -0.5`, `1 / C`): a factor that has to keep its value."""


_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


class heard_by:  # noqa: N801  read as a verb: `with heard_by(listener):`
    """Tell the listener, or nobody, what becomes of sizes inside."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener

    def __enter__(self) -> None:
        self._token = _LISTENER.set(self._listener)

    def __exit__(self, *error: object) -> None:
        _LISTENER.reset(self._token)


def _became_factor(size: SizeInt) -> None:
    listener = _LISTENER.get()
    if listener is not None:
        listener.factor(size.expression, int(size))


def size_of_dim(dim: Vector | Fixed, size: int) -> int:
    """The size as an int that remembers the dimension; a plain one where the dimension has no units."""
    return size if isinstance(dim, Fixed) else SizeInt(size, OfDim(dim))


@contextmanager
def remembered_attributes(modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Integer attributes of modules, by path, remember where they are held; also in containers and plain objects."""
    replaced: list[tuple[dict[Any, Any], Hashable, Any]] = []
    seen: set[int] = set()
    try:
        for path, module in modules.items():
            kind: Any = type(module)
            for name, value in _class_sizes(kind).items():
                if name not in vars(module):
                    replaced.append((vars(module), name, _ABSENT))
                    vars(module)[name] = value
            _remember_in(vars(module), path, (), replaced, seen)
        yield
    finally:
        for holder, name, value in reversed(replaced):
            holder[name] = value
            if value is _ABSENT:
                del holder[name]


def _remember_in(
    holder: dict[Any, Any],
    module: str,
    steps: tuple[Step, ...],
    replaced: list[tuple[dict[Any, Any], Hashable, Any]],
    seen: set[int],
    is_dictionary: bool = False,
    first: str = "",
) -> None:
    """Replace the integers of a module's or an object's attributes, or of a dictionary.

    The steps lead from the module to it, beginning with its attribute `first`.
    """
    for name in [name for name in holder if is_dictionary or name not in _NO_SIZES]:
        value = holder[name]
        kind = type(value)
        if kind in _WITHOUT_SIZES:
            continue
        way = (*steps, Entry(name) if is_dictionary else Field(name))
        if kind not in _WITH_SIZES and not _is_named_tuple(value):
            inner = _inside(value)
            if inner is not None and id(value) not in seen and len(steps) < 3:
                seen.add(id(value))
                _remember_in(inner, module, way, replaced, seen, inner is value, first or name)
            continue
        remembered = _remembered(value, AttributeKey(module, first or name, way[1:]))
        if remembered is not value:
            replaced.append((holder, name, value))
            holder[name] = remembered


@cache
def _class_sizes(kind: type[nn.Module]) -> Mapping[str, int]:
    """Integers that a class of the user's holds for all its modules."""
    own = [base for base in reversed(kind.__mro__) if base.__module__.split(".")[0] not in ("torch", "builtins")]
    found = {name: value for base in own for name, value in vars(base).items() if not name.startswith("_")}
    return {name: value for name, value in found.items() if type(value) is int and value > 1}


_ABSENT = object()
_OWN_ATTRIBUTES = frozenset(vars(nn.Module()))
_WITHOUT_SIZES = frozenset((bool, float, str, type(None)))
_WITH_SIZES = frozenset((int, tuple, list))
_MANY = 64  # entries of a container that may hold sizes
# torch's names for sizes along positions, which no cut changes
_POSITIONS = frozenset(("kernel_size", "stride", "padding", "dilation", "output_padding"))
_NO_SIZES = _OWN_ATTRIBUTES | _POSITIONS


def _remembered(value: Any, key: AttributeKey) -> Any:
    if type(value) is int:
        # one unit cannot go, and no or fewer units are no size
        return SizeInt(value, OfAttribute(key, value)) if value > 1 else value
    if isinstance(value, int) or len(value) > _MANY or not any(type(v) in (int, tuple, list) for v in value):
        return value
    inner = [_remembered(v, AttributeKey(key.module, key.name, (*key.trail, n))) for n, v in enumerate(value)]
    changed = any(a is not b for a, b in zip(inner, value, strict=True))
    return sequence_like(value, inner) if changed else value


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_make")


def sequence_like(value: Sequence[Any], items: Iterable[Any]) -> Any:
    """These items in a list, tuple or named tuple like another."""
    return value._make(items) if hasattr(value, "_make") else type(value)(items)  # type: ignore[call-arg]


def _inside(value: Any) -> dict[Any, Any] | None:
    """What a dictionary or a plain object (a configuration) holds; None for what is neither."""
    if isinstance(value, dict):
        # a long one is a vocabulary, or some other table of numbers that are no sizes
        return value if len(value) <= _MANY else None
    if isinstance(value, nn.Module | Tensor | type) or callable(value):
        return None
    plain = hasattr(value, "__dict__") and type(value).__module__.split(".")[0] not in ("torch", "builtins")
    return vars(value) if plain else None


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


@dataclass(frozen=True, slots=True)
class Clash:
    """A size in the code that would no longer fit."""

    use: SizeUse
    wanted: int  # the size that is left of the labels
    given: int | None  # what the code would ask for


@dataclass(frozen=True, slots=True)
class Settled:
    """The sizes in the code after a cut."""

    attributes: Mapping[AttributeKey, int]  # new values, those that stay included
    clashes: tuple[Clash, ...]


def settle(uses: tuple[SizeUse, ...], kept: Callable[[Vector], int]) -> Settled:
    """Find the attribute values with which every use gets the size that is left, and the uses where none do."""
    attributes: dict[AttributeKey, int] = {}
    clashes: list[Clash] = []
    derived: list[SizeUse] = []
    for use in uses:
        if not isinstance(use.expression, OfAttribute):
            if not _is_question(use):
                derived.append(use)
            continue
        wanted = _wanted(use, kept)
        given = attributes.setdefault(use.expression.key, wanted)
        if given != wanted:
            clashes.append(Clash(use, wanted, given))
    clashes += _derived(derived, kept, attributes)
    for use in filter(_is_question, uses):
        wanted, found = _wanted(use, kept), evaluated(use.expression, kept, attributes)
        if (found == wanted) == use.apart:
            clashes.append(Clash(use, 1, 0) if use.apart else Clash(use, wanted, found))
    return Settled(attributes, tuple(clashes))


def _derived(
    waiting: Sequence[SizeUse], kept: Callable[[Vector], int], attributes: dict[AttributeKey, int]
) -> list[Clash]:
    """Set the attributes that only derived sizes ask for; those uses that no value serves."""
    clashes: list[Clash] = []
    while waiting:
        still_open: dict[int, list[OfAttribute]] = {}
        for position, use in enumerate(waiting):
            unset = [found for found in dict.fromkeys(attributes_in(use.expression)) if found.key not in attributes]
            if unset:
                still_open[position] = unset
                continue
            wanted, found = _wanted(use, kept), evaluated(use.expression, kept, attributes)
            if found != wanted:
                clashes.append(Clash(use, wanted, found))
        alone: dict[OfAttribute, list[SizeUse]] = {}
        for position, unset in still_open.items():
            if len(unset) == 1:
                alone.setdefault(unset[0], []).append(waiting[position])
        for attribute, asking in alone.items():
            value = _solution(attribute, asking, kept, attributes)
            attributes[attribute.key] = attribute.value if value is None else value
        if still_open and not alone:
            position, unset = next(iter(still_open.items()))
            stays = _that_may_stay(waiting[position], unset, kept, attributes)
            attributes[stays.key] = stays.value
        waiting = [waiting[position] for position in still_open]
    return clashes


def _solution(
    attribute: OfAttribute,
    asking: Sequence[SizeUse],
    kept: Callable[[Vector], int],
    attributes: Mapping[AttributeKey, int],
) -> int | None:
    """A value with which all these uses get what is left, else the first of them; None where there is none."""
    wanted = [_wanted(use, kept) for use in asking]
    before = evaluated(asking[0].expression, lambda labels: labels.size, {}) or 1
    # as much less as the size itself, else as it was, else whatever fits
    values = dict.fromkeys((attribute.value * wanted[0] // before, *range(attribute.value, 0, -1)))

    def served(value: int, count: int) -> bool:
        trial = {**attributes, attribute.key: value}
        pairs = zip(asking[:count], wanted, strict=False)
        return all(evaluated(use.expression, kept, trial) == size for use, size in pairs)

    return next((value for count in (len(asking), 1) for value in values if value > 0 and served(value, count)), None)


def _that_may_stay(
    use: SizeUse, unset: Sequence[OfAttribute], kept: Callable[[Vector], int], attributes: Mapping[AttributeKey, int]
) -> OfAttribute:
    """One of several open attributes of a use that may keep its value, because another one can make up for it."""
    for stays in unset:
        others = [other for other in unset if other is not stays]
        trial = {**attributes, **{other.key: other.value for other in (stays, *others[1:])}}
        if _solution(others[0], [use], kept, trial) is not None:
            return stays
    return unset[0]


def _is_question(use: SizeUse) -> bool:
    """Whether the code only asks (two sizes differ, one divides another): no attribute changes for the answer."""
    return use.apart or (isinstance(use.expression, Derived) and use.expression.sign == "%")


def _wanted(use: SizeUse, kept: Callable[[Vector], int]) -> int:
    return use.wanted if isinstance(use.wanted, int) else kept(use.wanted)
