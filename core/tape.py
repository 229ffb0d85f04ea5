"""The values of a run and the operations that made them of each other, without their tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heappop, heappush
from typing import Any

import torch
from torch import Tensor

from prunescope.core.labels import Dims
from prunescope.core.rules.table import operation_name


@dataclass(slots=True, eq=False)
class Value:
    """What the trace knows of a tensor."""

    dims: Dims
    shape: tuple[int, ...]
    producer: str | None  # name of the layer that made it; None for parameters, constants and their like
    is_weight: bool  # made of parameters alone
    is_hollow: bool  # has no values: an operation before it was answered by shape alone
    made_of: tuple[str, ...] = ()  # names of the parameters and buffers that alone it was made of


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for a tensor among the arguments of an operation."""

    position: int  # in `Step.operands`


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation, as it ran."""

    function: torch._ops.OpOverload
    arguments: tuple[Any, ...]  # positional; every tensor as a `Slot`, or as a number where it is a constant of one
    operands: tuple[Value, ...]  # every tensor that it read, in order
    outputs: tuple[Value, ...]

    @property
    def name(self) -> str:
        return operation_name(self.function)

    def filled(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The arguments with these tensors as operands."""
        return tuple(_filled(argument, tensors) for argument in self.arguments)


@dataclass
class Tape:
    """All steps of a run; their positions are the indices of its operations."""

    steps: list[Step] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)  # what the model returned
    # queries of attention without a scale of its own, and the steps that it came apart into
    attentions: list[tuple[Value, range]] = field(default_factory=list)
    leaves: dict[Value, str] = field(default_factory=dict)  # parameters that were read -> their names

    def record(
        self,
        function: torch._ops.OpOverload,
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        known: Callable[[Tensor], Value],
        outputs: Sequence[Value],
    ) -> None:
        operands: list[Value] = []
        noted = tuple(_noted(argument, known, operands) for argument in arguments)
        for argument in keywords.values():
            _noted(argument, known, operands)
        self.steps.append(Step(function, noted, tuple(operands), tuple(outputs)))

    @cached_property
    def readers(self) -> Mapping[Value, Sequence[int]]:
        """Value -> positions of the steps that read it, in order."""
        found: dict[Value, list[int]] = defaultdict(list)
        for position, step in enumerate(self.steps):
            for value in dict.fromkeys(step.operands):
                found[value].append(position)
        return found

    @cached_property
    def producers(self) -> Mapping[Value, Step]:
        return {value: step for step in self.steps for value in step.outputs}

    def after(self, marked: Mapping[Value, object]) -> Iterator[int]:
        """Positions of the steps that read a marked value, in order; values may be marked on the way."""
        seen: set[Value] = set()
        waiting: list[int] = []
        last = -1
        while True:
            for value in [value for value in marked if value not in seen]:
                seen.add(value)
                for position in self.readers.get(value, ()):
                    heappush(waiting, position)
            if not waiting:
                return
            position = heappop(waiting)
            if position > last:
                last = position
                yield position


def _noted(argument: Any, known: Callable[[Tensor], Value], operands: list[Value]) -> Any:
    if isinstance(argument, Tensor):
        value = known(argument)
        if not argument.dim() and not (value.producer or value.made_of or value.is_hollow or argument.is_meta):
            return argument.item()
        operands.append(value)
        return Slot(len(operands) - 1)
    if isinstance(argument, list | tuple):
        return [_noted(inner, known, operands) for inner in argument]
    return argument


def _filled(argument: Any, tensors: Sequence[Tensor]) -> Any:
    if isinstance(argument, Slot):
        return tensors[argument.position]
    if isinstance(argument, list | tuple):
        return type(argument)(_filled(inner, tensors) for inner in argument)
    return argument
