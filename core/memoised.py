"""Functions that keep what they returned (`functools.lru_cache`) compute anew while a trace runs.

What they kept was made of another dimension's size of the same value, or of a number from before the trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import _lru_cache_wrapper, cache
from types import FrameType, ModuleType
from typing import Any


class Memoised:
    """The functions that were called with sizes that remember."""

    def __init__(self) -> None:
        self._called: dict[int, _lru_cache_wrapper[Any]] = {}

    def forget(self, frame: FrameType) -> None:
        """Let those that the code of this frame can call compute anew, whatever they have kept."""
        self._forget(_named_in(frame))

    def forget_methods(self, kinds: Iterable[type]) -> None:
        """Let the methods of these classes compute anew: what they have kept is called by no size."""
        for kind in kinds:
            self._forget(_methods(kind))

    def _forget(self, functions: Iterable[_lru_cache_wrapper[Any]]) -> None:
        for function in functions:
            function.cache_clear()
            self._called[id(function)] = function

    def forget_all(self) -> None:
        """Leave nothing behind that holds a size which remembers."""
        for function in self._called.values():
            function.cache_clear()
        self._called.clear()


@cache
def _methods(kind: Any) -> tuple[_lru_cache_wrapper[Any], ...]:
    own = [base for base in kind.__mro__ if base.__module__.split(".")[0] not in ("torch", "builtins")]
    return tuple(value for base in own for value in vars(base).values() if isinstance(value, _lru_cache_wrapper))


def _named_in(frame: FrameType) -> Iterator[_lru_cache_wrapper[Any]]:
    """Those that the code of a frame has a name for: alone, in a module, or in the class of an object."""
    code, inside = frame.f_code, frame.f_locals
    owner = type(inside.get(code.co_varnames[0])) if code.co_argcount else object
    # what they hold already: to ask a module for a name may import others
    holders: list[Mapping[str, Any]] = [vars(kind) for kind in owner.__mro__]
    for name in (*code.co_names, *code.co_varnames, *code.co_freevars):
        value = inside[name] if name in inside else frame.f_globals.get(name)
        if isinstance(value, _lru_cache_wrapper):
            yield value
        elif isinstance(value, ModuleType):
            holders.append(vars(value))
    found = (holder.get(name) for holder in holders for name in code.co_names)
    yield from (value for value in found if isinstance(value, _lru_cache_wrapper))
