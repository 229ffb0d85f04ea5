"""What cannot be cut, and why: padlocks for the layers, and a row for each reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from prunescope.core import DependencyGraph, Lock
from prunescope.core.labels import Fixed, Vector
from prunescope.core.run import ParameterDims

Place: TypeAlias = Literal["out", "in", "weight", "group"]

UNREAD = "no layer reads it in this run"
SINGLE = "it is a single number"
POSITIONS = "its indices are positions, no units"
_NO_GROUP, _OPEN = -1, -2


@dataclass(frozen=True, slots=True)
class Padlock:
    """What of one layer cannot be cut."""

    place: Place  # the layer's output side, its input side, a weight that is on neither, or the whole of a group
    units: int  # how many of the side's indices, or of the weight's dimension
    size: int  # of how many
    reason: str
    layer: str  # name of the layer that fixes them, "" where no layer does
    source: str  # line of the user's code, "" where there is none
    weights: tuple[str, ...] = ()  # "fc.weight, dimension 0": the locked dimensions that the layer reads

    @property
    def is_whole(self) -> bool:
        return self.units == self.size

    @property
    def text(self) -> str:
        """What cannot be cut, in words."""
        names = {"out": "output side f\u207a", "in": "input side f\u207b", "group": "this group"}
        what = names.get(self.place) or f"weight {'; '.join(self.weights)}"
        return f"{what} cannot be cut" if self.is_whole else f"{self.units} of {self.size} of {what} cannot be cut"

    @property
    def where(self) -> str:
        return ", ".join(part for part in (self.layer, self.source) if part)

    @property
    def origin(self) -> tuple[str, str, str]:
        return self.reason, self.layer, self.source


def padlocks(graph: DependencyGraph) -> dict[str, tuple[Padlock, ...]]:
    """The padlocks of every layer that has one: for its output side, and for its weights where these say more."""
    states = _label_states(graph)
    weights = _weight_padlocks(graph)
    found = {}
    for layer in graph.layers:
        out = tuple(_output_padlocks(graph, states, layer.output_labels))
        named = tuple(_with_weights(lock, weights.get(layer.name, ())) for lock in out)
        own = (*named, *_untold(out, weights.get(layer.name, ())))
        if own:
            found[layer.name] = own
    return found


def _label_states(graph: DependencyGraph) -> Vector:
    """(labels,) index of the locked group that holds a label; _OPEN where it can be cut, _NO_GROUP where none does."""
    groups = (*graph.groups, *graph.locked_groups)
    states = np.full(graph.record.couplings[0].component.size, _NO_GROUP)
    open_labels = np.zeros(states.size, dtype=bool)
    for option, coupling in reversed(list(enumerate(graph.record.couplings))):
        owners = np.full(coupling.lock.size, _NO_GROUP)
        for group in groups:
            if group.option == option:
                owners[group.components] = group.index if group.lock else _OPEN
        owner = owners[coupling.component]
        states[owner >= 0] = owner[owner >= 0]
        open_labels |= owner == _OPEN
    states[open_labels] = _OPEN
    return states


def _output_padlocks(graph: DependencyGraph, states: Vector, vectors: Iterable[Vector]) -> Iterator[Padlock]:
    """One for each reason that holds indices of these dimensions."""
    held = [states[vector[vector >= 0]] for vector in vectors]
    state = np.concatenate(held) if held else states[:0]
    size = int((state != _NO_GROUP).sum())
    counts: Counter[tuple[str, str, str]] = Counter()
    for index, count in Counter(state[state >= 0].tolist()).items():
        lock = _lock_of(graph, index)
        counts[lock.reason, lock.layer, lock.source] += count
    return (Padlock("out", count, size, *origin) for origin, count in counts.items())


def _lock_of(graph: DependencyGraph, index: int) -> Lock:
    lock = graph.locked_groups[index - len(graph.groups)].lock
    assert lock is not None, "a locked group has its lock"
    return lock


def _weight_padlocks(graph: DependencyGraph) -> dict[str, tuple[Padlock, ...]]:
    """For each layer the locked dimensions of the parameters that it reads; those locked alike are one."""
    by_parameter: dict[str, list[Lock]] = {}
    for lock in graph.locks:
        by_parameter.setdefault(lock.parameter, []).append(lock)
    found = {}
    for layer in graph.layers:
        merged: dict[tuple[object, ...], Padlock] = {}
        for lock in (lock for name in layer.parameters for lock in by_parameter.get(name, ())):
            made = _of_weight(graph, lock)
            key = (made.place, made.units, made.size, made.origin)
            before = merged.get(key)
            merged[key] = replace(made, weights=(*before.weights, *made.weights)) if before else made
        if merged:
            found[layer.name] = tuple(merged.values())
    return found


def _of_weight(graph: DependencyGraph, lock: Lock) -> Padlock:
    dim = graph.record.parameters[lock.parameter].dims[lock.dim]
    sides = set() if isinstance(dim, Fixed) else set(graph.record.sides[dim[dim >= 0]].tolist())
    places: dict[int, Place] = {1: "in", 2: "out"}
    place = places.get(sides.pop(), "weight") if len(sides) == 1 else "weight"
    name = f"{lock.parameter}, dimension {lock.dim}"
    return Padlock(place, lock.units, lock.size, lock.reason, lock.layer, lock.source, (name,))


def _with_weights(lock: Padlock, weights: Iterable[Padlock]) -> Padlock:
    names = [name for other in weights if other.origin == lock.origin and other.place != "in" for name in other.weights]
    return replace(lock, weights=tuple(names))


def _untold(told: Iterable[Padlock], weights: Iterable[Padlock]) -> Iterator[Padlock]:
    """The weights' padlocks without those that the output side's already say."""
    origins = {lock.origin for lock in told}
    return (lock for lock in weights if lock.place == "in" or lock.origin not in origins)


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """One reason, and what it holds."""

    reason: str
    layers: tuple[str, ...]  # names of the layers with a padlock for it
    sources: tuple[str, ...]  # where it arises: "fc, models.py:58 in forward"
    stays: int  # parameters that stay whatever is cut, and that it takes part in holding
    partly: int  # parameters that it holds along one dimension and that can go along another


@dataclass(frozen=True, slots=True)
class Locked:
    """What of a whole model cannot be cut."""

    parameters: int  # of the model
    stays: int  # of them: those that no cut of units removes
    rows: tuple[ReasonRow, ...]  # those that hold most first; a parameter counts in the row of each of its reasons


def what_is_locked(graph: DependencyGraph) -> Locked:
    """The reasons why parts of a model cannot be cut, with the layers and parameters that each holds."""
    states = _label_states(graph)
    stays: Counter[str] = Counter()
    partly: Counter[str] = Counter()
    total = held = 0
    for parameter in graph.record.parameters.values():
        if not parameter.is_buffer:
            count = _held_elements(graph, parameter, states, stays, partly)
            total, held = total + parameter.tensor.numel(), held + count
    known = {id(parameter.tensor) for parameter in graph.record.parameters.values()}
    unread = sum(p.numel() for p in graph.model.parameters() if id(p) not in known)
    if unread:
        stays[UNREAD] = unread
    return Locked(total + unread, held + unread, _rows(padlocks(graph), stays, partly))


def _held_elements(
    graph: DependencyGraph, parameter: ParameterDims, states: Vector, stays: Counter[str], partly: Counter[str]
) -> int:
    """How many numbers of a parameter no cut removes; adds them to the counters of the reasons that hold them.

    A number stays where none of its indices can go. Of those the ones that a reason has no part in have all their
    indices held by something else: of a 10 x 8 weight with 10 rows locked and 3 columns open, 10 * 5 stay.
    """
    shape = parameter.tensor.shape
    reasons = [_reasons(graph, dim, states) for dim in parameter.dims]
    closed = [size - found.pop("", 0) for size, found in zip(shape, reasons, strict=True)]
    held = prod(closed)
    for reason in dict.fromkeys(name for found in reasons for name in found):
        counts = [found.get(reason, 0) for found in reasons]
        own = held - prod(size - count for size, count in zip(closed, counts, strict=True))
        touched = prod(shape) - prod(size - count for size, count in zip(shape, counts, strict=True))
        stays[reason] += own
        partly[reason] += touched - own
    if held and not any(reasons):
        stays[_nothing_to_cut(parameter)] += held
    return held


def _reasons(graph: DependencyGraph, dim: Vector | Fixed, states: Vector) -> Counter[str]:
    """How many indices of a dimension each reason holds; "" counts those that can be cut."""
    if isinstance(dim, Fixed):
        return Counter()
    counts: Counter[str] = Counter()
    for state, count in Counter(states[dim].tolist()).items():
        if state != _NO_GROUP:
            counts["" if state == _OPEN else _lock_of(graph, state).reason] += count
    return counts


def _nothing_to_cut(parameter: ParameterDims) -> str:
    if not parameter.dims:
        return SINGLE
    return next((dim.reason for dim in parameter.dims if isinstance(dim, Fixed)), POSITIONS)


def _rows(locks: Mapping[str, tuple[Padlock, ...]], stays: Counter[str], partly: Counter[str]) -> tuple[ReasonRow, ...]:
    layers: dict[str, dict[str, None]] = {}
    sources: dict[str, dict[str, None]] = {}
    for name, own in locks.items():
        for lock in own:
            layers.setdefault(lock.reason, {})[name] = None
            sources.setdefault(lock.reason, {}).update({lock.where: None} if lock.where else {})
    reasons = dict.fromkeys((*layers, *stays, *partly))
    rows = [
        ReasonRow(reason, tuple(layers.get(reason, ())), tuple(sources.get(reason, ())), stays[reason], partly[reason])
        for reason in reasons
    ]
    return tuple(sorted(rows, key=lambda row: (-row.stays, -row.partly, row.reason)))
