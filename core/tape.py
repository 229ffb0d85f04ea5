"""The values of a run and the operations that made them of each other, without their tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from heapq import heappop, heappush
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prunescope.core.labels import Dims


@dataclass(slots=True, eq=False)
class Value:
    """What the trace knows of a tensor."""

    dims: Dims
    shape: tuple[int, ...]
    producer: str | None  # name of the layer that made it; None for parameters, constants and their like
    is_weight: bool  # made of parameters alone
    is_hollow: bool  # has no values: an operation before it was answered by shape alone
    made_of: tuple[str, ...] = ()  # names of the parameters and buffers that alone it was made of
    number: float | None = None  # the one that it is, where it is a constant in a dimension of one index

    @property
    def is_number(self) -> bool:
        """Whether it is a constant of one element."""
        return not (self.producer or self.made_of) and (self.number is not None or not self.shape)


_REAL = frozenset((torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32))


def number_of(constant: Tensor) -> float | None:
    """The number of a constant in a dimension of one index, None of others."""
    is_one = constant.shape == (1,) and constant.layout is torch.strided and constant.dtype in _REAL
    if not is_one or constant.is_meta:
        return None
    # what is asked here is no operation of the model's
    with torch._C._DisableTorchDispatch():
        return float(constant.item())


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for a tensor among the arguments of an operation."""

    position: int  # in `Step.operands`


@dataclass(slots=True)
class Operands:
    """What an operation is called with."""

    arguments: tuple[Any, ...] = ()  # positional, as a `Step` has them
    tensors: list[Tensor] = field(default_factory=list)  # every tensor among the arguments, in order
    values: list[Value] = field(default_factory=list)  # what is known of each
    noted: list[Value] = field(default_factory=list)  # of those that a `Step` has as operands
    is_hollow: bool = False  # one of the tensors has no values
    is_produced: bool = False  # one of the tensors was made by a layer
    is_weight: bool = True  # all were made of parameters alone

    @classmethod
    def of(cls, arguments: Sequence[Any], keywords: Mapping[str, Any], known: Callable[[Tensor], Value]) -> Operands:
        found = cls()
        found.arguments = tuple(found._read_all(arguments, known))
        if keywords:
            found._read_all(keywords.values(), known)
        return found

    def _read_all(self, arguments: Iterable[Any], known: Callable[[Tensor], Value]) -> list[Any]:
        read: list[Any] = []
        for argument in arguments:
            # most are plain, and a look at their type takes less time than isinstance
            if type(argument) in _PLAIN:
                read.append(argument)
            elif isinstance(argument, Tensor):
                read.append(self._read(argument, known(argument)))
            else:
                read.append(self._read_all(argument, known) if isinstance(argument, (list, tuple)) else argument)
        return read

    def _read(self, tensor: Tensor, value: Value) -> Any:
        self.is_hollow |= value.is_hollow
        self.is_produced |= value.producer is not None
        self.is_weight &= value.is_weight
        self.tensors.append(tensor)
        self.values.append(value)
        if not value.shape and not (value.producer or value.made_of or value.is_hollow or tensor.is_meta):
            return tensor.item()
        self.noted.append(value)
        return _slot(len(self.noted) - 1)


@cache
def _slot(position: int) -> Slot:
    return Slot(position)


_PLAIN = frozenset((int, float, bool, type(None), torch.dtype, torch.device, torch.layout))


class Step(NamedTuple):
    """One operation, as it ran."""

    name: str
    function: torch._ops.OpOverload
    arguments: tuple[Any, ...]  # positional; every tensor as a `Slot`, or as a number where it is a constant of one
    operands: tuple[Value, ...]  # every tensor that it read, in order
    outputs: tuple[Value, ...]

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

    @cached_property
    def readers(self) -> Mapping[Value, Sequence[int]]:
        """Value -> positions of the steps that read it, in order."""
        found: dict[Value, list[int]] = defaultdict(list)
        for position, step in enumerate(self.steps):
            for value in dict.fromkeys(step.operands):
                found[value].append(position)
        return found

    @cached_property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters that were read."""
        return frozenset(self.leaves.values())

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


def _filled(argument: Any, tensors: Sequence[Tensor]) -> Any:
    if isinstance(argument, Slot):
        return tensors[argument.position]
    if isinstance(argument, list | tuple):
        return type(argument)(_filled(inner, tensors) for inner in argument)
    return argument
