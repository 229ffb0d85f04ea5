"""Numbers that came of sizes and do not remember it: of `int(...)`, or through tensors and arrays of integers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunescope.core.expressions import Expression, Supposed
from prunescope.core.sizes import SizeInt
from prunescope.core.sources import written_numbers


class PlainNumbers:
    """Those that were made, by value. A number that the running code has written in it is never taken for one of them.

    Args:
        attribute: The size of a value that the modules that are running hold, for numbers that came by a tensor.
        has_values: Whether a tensor has values in this run.
        outermost: The code that runs the model.
    """

    def __init__(
        self,
        attribute: Callable[[int], Expression | None],
        has_values: Callable[[Tensor], bool],
        outermost: CodeType,
    ) -> None:
        self._made: dict[int, Expression] = {}  # the last size of each value
        self._attribute = attribute
        self._has_values = has_values
        self._outermost = outermost

    def add(self, value: int, expression: Expression) -> None:
        self._made[value] = expression

    def remembered(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call that the running code makes, their origins given back to such numbers."""
        if name in ("__getitem__", "__setitem__"):
            args = (args[0], self._told(args[1], sys._getframe(2)), *args[2:])
        if not self._made:
            return args, kwargs
        written = written_numbers(sys._getframe(2), self._outermost)
        made = {value: Supposed(size, by_value=False) for value, size in self._made.items() if value not in written}
        return _with_origins(args, made), {name: _with_origins(value, made) for name, value in kwargs.items()}

    def _told(self, value: Any, frame: FrameType) -> Any:
        """Bounds of slices as sizes where they are tensors or NumPy's numbers."""
        kind = type(value)
        if kind is slice:
            return slice(*(self._bound(bound, frame) for bound in (value.start, value.stop, value.step)))
        return tuple(self._told(part, frame) for part in value) if kind is tuple else value

    def _bound(self, value: Any, frame: FrameType) -> Any:
        if isinstance(value, Tensor) and not (value.numel() == 1 and self._has_values(value)):
            return value
        number = plain_number(value)
        if number is value or number in written_numbers(frame, self._outermost):
            return number
        size = self._attribute(number)
        return number if size is None else SizeInt(number, Supposed(size, by_value=True))


def plain_number(value: Any) -> Any:
    """The number of a tensor of one or of one of NumPy's integers; anything else as it is."""
    if not isinstance(value, Tensor | np.integer):
        return value
    # what is asked here is no operation of the model's
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        return int(value)


def _with_origins(value: Any, made: Mapping[int, Expression]) -> Any:
    kind = type(value)
    if kind is int:
        return SizeInt(value, made[value]) if value in made else value
    if kind is slice:
        return slice(*(_with_origins(bound, made) for bound in (value.start, value.stop, value.step)))
    if kind in (list, tuple):
        return kind(_with_origins(item, made) for item in value)
    return value
