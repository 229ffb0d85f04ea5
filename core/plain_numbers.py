"""Numbers that `int(...)` made of sizes: Python gives them no way to remember where they came from."""

from __future__ import annotations

import sys
from typing import Any

from prunescope.core.expressions import Expression
from prunescope.core.sizes import SizeInt
from prunescope.core.sources import written_numbers


class PlainNumbers:
    """Those that were made, by value. A number that the code has written in it is never taken for one of them."""

    def __init__(self) -> None:
        self._made: dict[int, Expression] = {}  # the last size of each value

    def add(self, value: int, expression: Expression) -> None:
        self._made[value] = expression

    def remembered(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call that the running code makes, their origins given back to such numbers."""
        if not self._made:
            return args, kwargs
        written = written_numbers(sys._getframe(2))
        made = {value: expression for value, expression in self._made.items() if value not in written}
        return _with_origins(args, made), {name: _with_origins(value, made) for name, value in kwargs.items()}


def _with_origins(value: Any, made: dict[int, Expression]) -> Any:
    kind = type(value)
    if kind is int:
        return SizeInt(value, made[value]) if value in made else value
    if kind is slice:
        return slice(*(_with_origins(bound, made) for bound in (value.start, value.stop, value.step)))
    if kind in (list, tuple):
        return kind(_with_origins(item, made) for item in value)
    return value
