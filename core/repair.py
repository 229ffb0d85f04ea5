"""Attributes that hold sizes, set to what they are after a cut."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from prunescope.core.attributes import copied_from
from prunescope.core.errors import BadInput
from prunescope.core.expressions import AttributeKey, Entry, Field, Step, Variable
from prunescope.core.holders import attributes_of, entries_of, held_inside, with_variable
from prunescope.core.known_layers import sizes_of
from prunescope.core.sizes import sequence_like


@dataclass(frozen=True, slots=True)
class Repair:
    """An attribute of a module that follows the new sizes."""

    module: str  # dotted path
    attribute: str
    before: Any
    after: Any

    def __str__(self) -> str:
        name = f"{self.module}.{self.attribute}" if self.module else self.attribute
        return f"{name} {self.before} -> {self.after}"


def repaired(
    original: nn.Module, model: nn.Module, attributes: Mapping[AttributeKey, int], kept: Collection[AttributeKey]
) -> tuple[Repair, ...]:
    modules, before = dict(model.named_modules()), dict(original.named_modules())
    repairs: dict[tuple[str, str], Repair] = {}
    by_module: dict[str, list[AttributeKey]] = {}
    for key in attributes:
        by_module.setdefault(key.module, []).append(key)
    origins = [copied_from(path, modules[path], keys) for path, keys in by_module.items()]
    in_copies = {origin: attributes[key] for found in origins for key, origin in found.items()}
    for key, value in {**attributes, **in_copies}.items():
        for each in (key, *_also_held(key, modules[key.module])):
            _set_inside(repairs, each, modules[key.module], value, before[key.module])
    for path, module in modules.items():
        meant = sizes_of(before[path])
        for attribute, value in sizes_of(module).items():
            # a class may mean something else by it
            if getattr(before[path], attribute) == meant[attribute] and AttributeKey(path, attribute) not in kept:
                _set(repairs, path, module, attribute, value)
    return tuple(repairs.values())


def _also_held(key: AttributeKey, module: nn.Module) -> list[AttributeKey]:
    """The attribute that a dictionary has beside an entry of the same name and value, or that entry."""
    found: list[AttributeKey] = []
    holder: Any = module
    for n, step in enumerate((Field(key.name), *key.trail)):
        if n and isinstance(holder, dict) and isinstance(step, Field | Entry):
            name = _name(step)
            other, held = (
                (Entry(name), entries_of(holder))
                if isinstance(step, Field)
                else (Field(name), getattr(holder, "__dict__", {}))
            )
            if name in held and held[name] == held_inside(holder, step):
                found.append(key._replace(trail=(*key.trail[: n - 1], other, *key.trail[n:])))
        holder = held_inside(holder, step)
    return found


def _name(step: Field | Entry) -> Any:
    return step.name if isinstance(step, Field) else step.key


def _set_inside(
    repairs: dict[tuple[str, str], Repair], key: AttributeKey, module: nn.Module, value: int, original: nn.Module
) -> None:
    """Set an attribute of a module, or what it holds: an entry of a container, an attribute of an object.

    Raises:
        BadInput: the holder is the original's own, because its class gives itself for a copy.
    """
    if not key.trail:
        _set(repairs, key.module, module, key.name, value)
        return
    steps: tuple[Step, ...] = (Field(key.name), *key.trail)
    holders: list[Any] = [module]
    theirs: list[Any] = [original]
    for step in steps[:-1]:
        holders.append(held_inside(holders[-1], step))
        theirs.append(held_inside(theirs[-1], step))
    before = held_inside(holders[-1], steps[-1])
    if before == value:
        return
    # a tuple cannot be changed in place, a function is the original's too: made anew, like what holds them
    changed: Any = type(before)(value)
    for holder, its, step in zip(reversed(holders), reversed(theirs), reversed(steps), strict=True):
        if isinstance(step, Field | Entry) and holder is its:
            raise BadInput(
                asked=f"set {key} to {value} in a copy of the model",
                found=f"the copy shares the {type(holder).__name__} that holds it with the original",
                where=f"module {key.module}" if key.module else "the model",
                what_to_do="let its class make copies (no __deepcopy__ that gives the object itself)",
            )
        if isinstance(step, Field | Entry):
            # as the object holds it: it may not be meant to be changed
            (attributes_of(holder) if isinstance(step, Field) else entries_of(holder))[_name(step)] = changed
            break
        if isinstance(step, Variable):
            changed = with_variable(holder, step.name, changed)
            continue
        changed = sequence_like(holder, (*holder[:step], changed, *holder[step + 1 :]))
    inside = str(key).removeprefix(f"{key.module}.")
    repairs[key.module, inside] = Repair(key.module, inside, before, value)


def _set(repairs: dict[tuple[str, str], Repair], path: str, module: nn.Module, attribute: str, value: Any) -> None:
    before = getattr(module, attribute)
    if before == value:
        return
    # NumPy's integers stay such
    setattr(module, attribute, type(before)(value) if isinstance(before, np.integer) else value)
    first = repairs.get((path, attribute))
    repairs[path, attribute] = Repair(path, attribute, first.before if first else before, value)
