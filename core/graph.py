"""What a trace gives: layers, groups of coupled units, and what cannot be cut, as frozen records."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from torch import nn

from prunescope.core.errors import BadInput, TraceFailed
from prunescope.core.labels import Vector

if TYPE_CHECKING:
    import pandas as pd

    from prunescope.core.trace import Record

Side: TypeAlias = Literal["in", "out"]


class Operation(NamedTuple):
    """One operation below autograd that the model ran."""

    name: str  # e.g. "aten.convolution"
    layer: str  # name of the layer that it belongs to; "" for work on parameters outside any layer
    source: str  # "file.py:81 in forward", the innermost line outside torch; "" where there is none


@dataclass(frozen=True, slots=True)
class Layer:
    """A call of a module without children, or an operation that a module's own code ran."""

    name: str  # unique: the module's path, "#2" appended at its second call; "layer1.0.add" for an operation
    module: str  # path of the module; of the module whose code ran it for an operation
    kind: str  # the module's class name, or the operation's name
    is_module: bool
    parameters: tuple[str, ...]  # full names of the parameters and buffers that it reads
    input_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    source: str  # line of the user's code that called it
    macs: int  # multiply-accumulates of one run on the example inputs
    input_labels: tuple[Vector, ...] = field(repr=False, compare=False, default=())
    output_labels: tuple[Vector, ...] = field(repr=False, compare=False, default=())


class Member(NamedTuple):
    """One parameter dimension in a group."""

    parameter: str  # full name, e.g. "layer1.0.conv1.weight"; a buffer's name for running statistics
    dim: int
    size: int  # length of the dimension, whatever part of it the group holds
    side: Literal["in", "out", "both"]  # the layer's f-, f+, or both where one scheme cuts both
    layer: str  # path of the module that owns the parameter
    is_buffer: bool
    # (K, n): row k lists the n indices that unit k holds; a tuple of K vectors where units hold different numbers
    indices: Vector | tuple[Vector, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Member) and self[:-1] == other[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:-1])

    def __repr__(self) -> str:
        return f"Member{self[:-1]}"

    def of_units(self, units: Vector | list[int]) -> Vector:
        """All indices of these units, sorted."""
        if isinstance(self.indices, tuple):
            parts = [self.indices[int(unit)] for unit in units]
            return np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
        return np.sort(self.indices[np.asarray(units, dtype=np.int64)].reshape(-1))


@dataclass(frozen=True, slots=True)
class Group:
    """Layers coupled by the graph: unit k of every member stays or goes together.

    Invariant: every member holds the same K units, and removing any set of them leaves every tensor rectangular.
    """

    index: int  # position in `DependencyGraph.groups`, or after them for a locked group
    name: str  # unique; named after the first layer whose output it holds
    kind: str  # what a unit is: "channels", "heads", "head dimensions", "channel groups", ...
    size: int  # K, the number of units
    members: tuple[Member, ...]
    family: int  # groups of one family are ways of cutting the same dimensions: cut one kind of them
    statistics: tuple[str, ...]  # layers whose mean, variance or maximum runs over its units: a cut changes them
    lock: Lock | None = None  # why none of its units can go; None where they can
    components: Vector = field(repr=False, compare=False, default_factory=lambda: np.empty(0, dtype=np.int64))
    option: int = field(repr=False, compare=False, default=0)  # which of the record's couplings it comes from

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the modules that own a member, each once, in order."""
        return tuple(dict.fromkeys(member.layer for member in self.members))


@dataclass(frozen=True, slots=True)
class Lock:
    """A parameter dimension, or a part of it, that cannot be cut."""

    parameter: str
    dim: int
    units: int  # how many of its indices
    size: int  # of how many
    reason: str
    layer: str  # name of the layer whose operation fixes it
    source: str  # line of the user's code, "" where only torch's own code is involved

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.layer, self.source) if part)
        return f"{self.parameter}, dimension {self.dim} ({self.units} of {self.size}): {self.reason} ({where})"


@dataclass(frozen=True)
class DependencyGraph:
    """A traced model: its layers, the groups of units that must be cut together, and what cannot be cut."""

    model: nn.Module = field(repr=False)
    example_inputs: Any = field(repr=False)
    layers: tuple[Layer, ...]
    edges: tuple[tuple[str, str], ...]  # data flow between layers, by name
    groups: tuple[Group, ...]  # can be cut
    locked_groups: tuple[Group, ...]  # coupled too, but cannot be cut
    locks: tuple[Lock, ...]
    notes: tuple[str, ...]  # what the trace could not see, in words
    record: Record = field(repr=False, compare=False)

    @cached_property
    def _layers_by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def groups_by_name(self) -> dict[str, Group]:
        """All groups, the locked ones included."""
        return {group.name: group for group in (*self.groups, *self.locked_groups)}

    @cached_property
    def _groups_by_component(self) -> dict[tuple[int, int], Group]:
        found: dict[tuple[int, int], Group] = {}
        for group in (*self.groups, *self.locked_groups):
            for component in group.components.tolist():
                found[group.option, component] = group
        return found

    def layer(self, name: str) -> Layer:
        """The layer of this name.

        Raises:
            BadInput: no layer has it.
        """
        if name in self._layers_by_name:
            return self._layers_by_name[name]
        raise _unknown("layer", name, self._layers_by_name)

    def group(self, name: str) -> Group:
        """The group of this name, locked ones included.

        Raises:
            BadInput: no group has it.
        """
        if name in self.groups_by_name:
            return self.groups_by_name[name]
        raise _unknown("group", name, self.groups_by_name)

    def groups_of(self, layer: str, side: Side = "out") -> tuple[Group, ...]:
        """All groups that hold units of a layer's input or output side, the one with most of its indices first."""
        if side not in ("in", "out"):
            raise BadInput(
                asked=f"the groups of {layer}, side {side!r}",
                found=f"side is {side!r}",
                where="argument side",
                what_to_do="give 'in' (the layer's input) or 'out' (its output)",
            )
        found = self.layer(layer)
        held: dict[int, tuple[int, Group]] = {}
        for vector in found.input_labels if side == "in" else found.output_labels:
            for option, coupling in enumerate(self.record.couplings):
                components, counts = np.unique(coupling.component[vector[vector >= 0]], return_counts=True)
                for component, count in zip(components.tolist(), counts.tolist(), strict=True):
                    group = self._groups_by_component.get((option, component))
                    if group is not None:
                        total = held.get(group.index, (0, group))[0]
                        held[group.index] = (total + count, group)
        ranked = sorted(held.values(), key=lambda pair: (-pair[0], pair[1].index))
        return tuple(group for _, group in ranked)

    def group_of(self, layer: str, side: Side = "out") -> Group | None:
        """The group of a layer's output side (or input side); None where that side has no units.

        Raises:
            BadInput: no layer of that name, or `side` is neither "in" nor "out".
        """
        return next(iter(self.groups_of(layer, side)), None)

    def why(self, first: str, second: str) -> tuple[str, ...]:
        """The chain of layers that ties two layers, a step each in words; empty where nothing ties them."""
        from prunescope.core.why import chain

        return tuple(str(link) for link in chain(self, first, second))

    def table(self) -> pd.DataFrame:
        """Every layer: sizes, groups, prunable or why not, and what share of its parameters and MACs can be cut."""
        from prunescope.core.table import layer_table

        return layer_table(self)

    def check(self) -> None:
        """Raise TraceFailed where the graph breaks its own laws: any pass or test may call it."""
        names = set(self._layers_by_name)
        faults = [f"edge {a} -> {b} names no layer" for a, b in self.edges if a not in names or b not in names]
        for group in (*self.groups, *self.locked_groups):
            faults += _group_faults(group)
        if faults:
            raise TraceFailed(
                asked="a well-formed dependency graph",
                found="; ".join(faults),
                where=type(self.model).__name__,
                what_to_do="report this model: the fault is in Prunescope",
            )

    def __str__(self) -> str:
        lines = [f"{type(self.model).__name__}: {len(self.layers)} layers, {len(self.groups)} groups"]
        for group in (*self.groups, *self.locked_groups):
            state = f", locked: {group.lock.reason}" if group.lock else ""
            lines.append(f"  {group.name}: {group.size} {group.kind}{state}")
            lines += [f"    {m.parameter} dim {m.dim} ({m.side})" for m in group.members]
        return "\n".join(lines)


def _group_faults(group: Group) -> list[str]:
    faults = []
    for member in group.members:
        if len(member.indices) != group.size:
            faults.append(f"{group.name}: {member.parameter} has {len(member.indices)} units of {group.size}")
        held = member.of_units(np.arange(group.size))
        if np.unique(held).size != held.size or (held.size and not 0 <= held[0] <= held[-1] < member.size):
            faults.append(f"{group.name}: {member.parameter} dim {member.dim} holds an index twice or out of range")
    return faults


def _unknown(what: str, name: str, known: dict[str, Any]) -> BadInput:
    near = difflib.get_close_matches(name, known, n=3) or list(known)[:3]
    return BadInput(
        asked=f"the {what} {name!r}",
        found=f"no {what} of that name among {len(known)}",
        where=f"argument {what}",
        what_to_do=f"one of {', '.join(near)} may be meant; graph.table() lists all",
    )
