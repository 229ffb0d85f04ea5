"""What objects and functions hold by name, as mappings that can be changed: also where Python has no way of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, MutableMapping
from functools import cache, partial
from types import CellType, FunctionType
from typing import Any

from prunescope.core.expressions import Entry, Field, Step, Variable


def held_inside(holder: Any, step: Step) -> Any:
    if isinstance(step, Field):
        # of a module, its class may hold it
        own = attributes_of(holder)
        return own[step.name] if step.name in own else getattr(type(holder), step.name)
    if isinstance(step, Variable):
        return Variables(holder)[step.name]
    return holder[step.key if isinstance(step, Entry) else step]


def attributes_of(holder: Any) -> MutableMapping[Any, Any]:
    """What an object holds by name, to be read and changed as it is held: also where its class is frozen."""
    if isinstance(holder, partial):
        return _Bound(holder)
    return vars(holder) if hasattr(holder, "__dict__") else _Slots(holder)


def entries_of(holder: dict[Any, Any]) -> MutableMapping[Any, Any]:
    """What a dictionary holds, to be read and changed as it is held: also where its class refuses."""
    return holder if type(holder) is dict else _Entries(holder)


class _Entries(MutableMapping[Any, Any]):
    """The entries of a dictionary whose class may have ways of its own."""

    def __init__(self, holder: dict[Any, Any]) -> None:
        self._holder = holder

    def __getitem__(self, key: Any) -> Any:
        return dict.__getitem__(self._holder, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        dict.__setitem__(self._holder, key, value)

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self._holder, key)

    def __iter__(self) -> Iterator[Any]:
        return dict.__iter__(self._holder)

    def __len__(self) -> int:
        return dict.__len__(self._holder)


class _Slots(MutableMapping[str, Any]):
    """The attributes of an object whose class names them in `__slots__`."""

    def __init__(self, holder: Any) -> None:
        self._holder = holder
        kind: Any = type(holder)
        self._names = slot_names(kind)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names or not hasattr(self._holder, name):
            raise KeyError(name)
        return getattr(self._holder, name)

    def __setitem__(self, name: str, value: Any) -> None:
        object.__setattr__(self._holder, name, value)

    def __delitem__(self, name: str) -> None:
        object.__delattr__(self._holder, name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if hasattr(self._holder, name))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Bound(MutableMapping[str, Any]):
    """What a `functools.partial` calls, and what it calls it with."""

    def __init__(self, held: partial[Any]) -> None:
        self._held = held

    def __getitem__(self, name: str) -> Any:
        return self._state()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        state = {**self._state(), name: value}
        # the one way to change it in place
        self._held.__setstate__((*state.values(), vars(self._held)))  # type: ignore[attr-defined]

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"a partial always has its {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._state())

    def __len__(self) -> int:
        return len(self._state())

    def _state(self) -> dict[str, Any]:
        return {"func": self._held.func, "args": self._held.args, "keywords": self._held.keywords}


class Variables(MutableMapping[str, Any]):
    """The integers, and tuples of them, that a function has closed over or has as defaults of its arguments.

    What else it keeps is shared by a copy of the function.
    """

    def __init__(self, function: FunctionType) -> None:
        self._function = function
        self._cells = {name: cell for name, cell in _cells(function).items() if is_filled(cell)}

    def __getitem__(self, name: str) -> Any:
        return self._sizes()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._cells:
            self._cells[name].cell_contents = value
        elif name in (keywords := self._function.__kwdefaults__ or {}):
            self._function.__kwdefaults__ = {**keywords, name: value}
        else:
            self._function.__defaults__ = tuple({**_defaults(self._function), name: value}.values())

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"a function always has its {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes())

    def __len__(self) -> int:
        return len(self._sizes())

    def _sizes(self) -> dict[str, Any]:
        closed = {name: cell.cell_contents for name, cell in self._cells.items()}
        held = {**closed, **_defaults(self._function), **(self._function.__kwdefaults__ or {})}
        return {name: value for name, value in held.items() if _is_plain_size(value)}


def with_variable(function: FunctionType, name: str, value: Any) -> FunctionType:
    """The function with another value of a variable that it has closed over or as an argument's default.

    The others are shared.
    """
    cells = {free: CellType(value) if free == name else cell for free, cell in _cells(function).items()}
    made = with_cells(function, cells.values())
    if name not in cells:
        Variables(made)[name] = value
    return made


def with_cells(function: FunctionType, cells: Iterable[CellType]) -> FunctionType:
    """The function over other variables, in the order of its own."""
    code, defaults = function.__code__, function.__defaults__
    made = FunctionType(code, function.__globals__, function.__name__, defaults, tuple(cells))
    made.__qualname__, made.__doc__, made.__module__ = function.__qualname__, function.__doc__, function.__module__
    made.__dict__.update(function.__dict__)
    made.__annotations__, made.__kwdefaults__ = function.__annotations__, function.__kwdefaults__
    return made


def is_filled(cell: CellType) -> bool:
    """An empty one belongs to a variable that has no value (yet)."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _cells(function: FunctionType) -> dict[str, CellType]:
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def _defaults(function: FunctionType) -> dict[str, Any]:
    """Of the arguments that may be given by position; those are the last ones."""
    values, code = function.__defaults__ or (), function.__code__
    return dict(zip(code.co_varnames[code.co_argcount - len(values) : code.co_argcount], values, strict=True))


def _is_plain_size(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, tuple) and all(isinstance(item, int) for item in value))


@cache
def slot_names(kind: Any) -> tuple[str, ...]:
    """Names of the slots that instances of a class have; none of those of Python's own."""
    owners = [base for base in kind.__mro__ if base.__module__.split(".")[0] not in sys.stdlib_module_names]
    slots = [vars(base).get("__slots__", ()) for base in owners]
    return tuple(name for names in slots for name in ([names] if isinstance(names, str) else names))
