"""The integers that modules hold, replaced for the time of a trace by ones that remember where they are held."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import cache, partial
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from prunescope.core.expressions import AttributeKey, Entry, Field, OfAttribute, Step, Variable
from prunescope.core.holders import Variables, attributes_of, entries_of, held_inside, slot_names
from prunescope.core.sizes import NumPysSizeInt, SizeInt, sequence_like


@contextmanager
def remembered_attributes(modules: Mapping[str, nn.Module]) -> Iterator[Callable[[], list[SizeInt]]]:
    """Integer attributes of modules, by path, remember where they are held; also in containers and plain objects.

    Gives a function that lists them.
    """
    memory = _Memory()
    try:
        for path, module in modules.items():
            memory.remember_module(path, module)
        yield memory.sizes
    finally:
        memory.put_back()


def copied_from(path: str, module: nn.Module, keys: Iterable[AttributeKey]) -> dict[AttributeKey, AttributeKey]:
    """Where a copy of the module takes these attributes from, where it makes them of others.

    A class may say itself what a copy, or a pickle, is made of; what else it holds is then computed of that again.
    """
    kind: Any = type(module)
    if not _makes_copies_itself(kind):
        return {}
    with remembered_attributes({path: module}) as sizes:
        kept = (*module.parameters(), *module.buffers(), *sizes())
        made = copy.deepcopy(module, {id(value): value for value in kept})
    origins = {key: getattr(_held(made, key), "expression", None) for key in keys}
    return {key: origin.key for key, origin in origins.items() if isinstance(origin, OfAttribute) and origin.key != key}


def _held(module: nn.Module, key: AttributeKey) -> Any:
    """What the module holds there; None where a copy leaves it out, as what its class holds for all."""
    value: Any = module
    try:
        for step in (Field(key.name), *key.trail):
            value = held_inside(value, step)
    except (AttributeError, LookupError, TypeError):
        return None
    return value


@cache
def _makes_copies_itself(kind: Any) -> bool:
    ways = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    own = [getattr(kind, way) for way in ways if getattr(kind, way) is not getattr(nn.Module, way)]
    # torch's layers only fill in what an older version did not have
    return hasattr(kind, "__deepcopy__") or any(not made.__module__.startswith("torch.nn.modules.") for made in own)


class _Memory:
    """What was replaced, and how to put it back."""

    def __init__(self) -> None:
        self._replaced: list[tuple[MutableMapping[Any, Any], Hashable, Any]] = []
        self._seen: set[int] = set()  # ids of objects that several modules may share

    def sizes(self) -> list[SizeInt]:
        found = tree_leaves([holder[name] for holder, name, _ in self._replaced])
        return [value for value in found if isinstance(value, SizeInt)]

    def put_back(self) -> None:
        for holder, name, value in reversed(self._replaced):
            holder[name] = value
            if value is _ABSENT:
                del holder[name]

    def remember_module(self, path: str, module: nn.Module) -> None:
        own = vars(module)
        self._remember_class(own, type(module))
        names = [name for name, value in own.items() if type(value) not in _WITHOUT_SIZES and name not in _NO_SIZES]
        self._remember(own, names, lambda name: AttributeKey(path, name))

    def _remember_class(self, own: MutableMapping[Any, Any], kind: Any) -> None:
        """An instance holds what its class holds for all of them while it is remembered."""
        for name, value in _class_sizes(kind).items():
            if name not in own:
                self._replace(own, name, value)

    def _replace(self, holder: MutableMapping[Any, Any], name: Hashable, value: Any) -> None:
        self._replaced.append((holder, name, holder.get(name, _ABSENT)))
        holder[name] = value

    def _remember(
        self, holder: MutableMapping[Any, Any], names: Iterable[Any], key_of: Callable[[Any], AttributeKey]
    ) -> None:
        for name in names:
            value = holder[name]
            kind = type(value)
            # one unit cannot go, and no or fewer units are no size
            if kind in _WITHOUT_SIZES or (kind in INTEGERS and value <= 1):
                continue
            if kind not in _WITH_SIZES and not _is_named_tuple(value):
                self._remember_inside(value, key_of(name))
                continue
            key = key_of(name)
            remembered = _remembered(value, key)
            if remembered is not value:
                self._replace(holder, name, remembered)
            if kind in INTEGERS:
                continue
            for n, item in enumerate(value[:_MANY]):
                if type(item) not in _WITHOUT_SIZES:
                    self._remember_inside(item, key._replace(trail=(*key.trail, n)))

    def _remember_inside(self, value: Any, key: AttributeKey) -> None:
        """What a dictionary, a plain object or a function holds, be it an entry of a list or by itself."""
        inside = _insides(value) if id(value) not in self._seen and len(key.trail) < _DEEP else ()
        self._seen.update([id(value)] if inside else [])
        for step, inner in inside:
            if step is Field and hasattr(value, "__dict__") and not isinstance(value, partial):
                self._remember_class(inner, type(value))
            names = [name for name in inner if step is not Field or name not in _NO_SIZES]
            self._remember(inner, names, partial(_inner_key, key, step))


def _inner_key(key: AttributeKey, step: Callable[[Any], Step], name: Any) -> AttributeKey:
    return key._replace(trail=(*key.trail, step(name)))


def _class_sizes(kind: Any) -> Mapping[str, Any]:
    """Integers, and tuples and lists of them, that a class of the user's holds for all its objects, as they are now."""
    found = {name: getattr(kind, name, None) for name in _class_names(kind)}
    return {name: value for name, value in found.items() if _remembered(value, AttributeKey("", name)) is not value}


@cache
def _class_names(kind: Any) -> tuple[str, ...]:
    """Names under which a class may hold sizes."""
    own = [base for base in reversed(kind.__mro__) if base.__module__.split(".")[0] not in ("torch", "builtins")]
    found = {name: value for base in own for name, value in vars(base).items() if not name.startswith("_")}
    return tuple(name for name, value in found.items() if type(value) in _WITH_SIZES or _is_named_tuple(value))


_ABSENT = object()
OWN_ATTRIBUTES = frozenset(vars(nn.Module()))
_WITHOUT_SIZES = frozenset((bool, float, str, type(None)))
INTEGERS = frozenset((int, np.int32, np.int64))
_WITH_SIZES = INTEGERS | {tuple, list, torch.Size}
_DEEP = 4  # objects inside objects that are looked into
_MANY = 64  # entries of a container that are looked into, or of a dictionary
_LONG = 1024  # sizes in one list
# torch's names for sizes along positions, which no cut changes
_POSITIONS = frozenset(
    ("kernel_size", "stride", "padding", "dilation", "output_padding", "_reversed_padding_repeated_twice")
)
_NO_SIZES = OWN_ATTRIBUTES | _POSITIONS


def _remembered(value: Any, key: AttributeKey) -> Any:
    if type(value) in INTEGERS:
        # one unit cannot go, and no or fewer units are no size
        kind = SizeInt if type(value) is int else NumPysSizeInt
        return kind(value, OfAttribute(key, int(value))) if value > 1 else value
    if type(value) not in _WITH_SIZES and not _is_named_tuple(value):
        return value
    if len(value) > _LONG or len(key.trail) > _DEEP or not any(type(v) in _WITH_SIZES for v in value):
        return value
    inner = [_remembered(v, AttributeKey(key.module, key.name, (*key.trail, n))) for n, v in enumerate(value)]
    changed = any(a is not b for a, b in zip(inner, value, strict=True))
    return sequence_like(value, inner) if changed else value


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_make")


def _insides(value: Any) -> Sequence[tuple[Callable[[Any], Step], MutableMapping[Any, Any]]]:
    """What a dictionary, a plain object (a configuration) or a function holds, and the step to one of it.

    Nothing for what is none of these. A dictionary of a class of its own may have attributes beside its entries.
    """
    if isinstance(value, FunctionType):
        own = value.__module__.split(".")[0] != "torch"
        holds = own and (value.__closure__ or value.__defaults__ or value.__kwdefaults__)
        return [(Variable, Variables(value))] if holds else ()
    if isinstance(value, dict):
        # a long one is a vocabulary, or some other table of numbers that are no sizes
        entries = [(Entry, entries_of(value))] if len(value) <= _MANY else []
        attributes = getattr(value, "__dict__", value)
        return entries if attributes is value else [*entries, (Field, attributes)]
    if isinstance(value, nn.Module | Tensor | type | Enum):
        return ()
    if isinstance(value, partial):
        return [(Field, attributes_of(value))]
    kind: Any = type(value)
    maker = kind.__module__.split(".")[0]
    if maker in ("torch", "builtins") or (callable(value) and maker in sys.stdlib_module_names):
        return ()
    return [(Field, attributes_of(value))] if hasattr(value, "__dict__") or slot_names(kind) else ()
