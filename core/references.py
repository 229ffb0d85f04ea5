"""Functions and weak references that hold parts of a model: `deepcopy` takes them as they are, so a copy would go on
using the original's parts. These are made anew, with the copies in the place of what they held.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from prunescope.core.attributes import OWN_ATTRIBUTES
from prunescope.core.holders import is_filled, with_cells

_Memo = dict[int, Any]  # id of an object of the original -> its copy, as `deepcopy` keeps it


def follow(modules: Iterable[nn.Module], memo: _Memo) -> None:
    """Let the functions and weak references of copied modules, hooks among them, refer to the copies."""
    for module in modules:
        own = vars(module)
        # most refers to nothing or is empty, and a look at the type takes less time than isinstance
        others = [
            (name, value)
            for name, value in own.items()
            if type(value) not in _PLAIN and (name not in OWN_ATTRIBUTES or value) and name not in _REGISTRIES
        ]
        for name, value in others:
            if isinstance(value, _REFERRING):
                own[name] = _followed(value, memo)
            elif type(value) is tuple and any(isinstance(item, _REFERRING) for item in value):
                own[name] = tuple(_followed(item, memo) for item in value)
            elif isinstance(value, dict | list):
                _follow_inside(value, memo)


def _follow_inside(holder: dict[Any, Any] | list[Any], memo: _Memo) -> None:
    for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
        if isinstance(value, _REFERRING):
            holder[key] = _followed(value, memo)


def _followed(value: Any, memo: _Memo) -> Any:
    """The value with the copies of what it holds; itself where it holds nothing that was copied."""
    if id(value) in memo or not _reaches(value, memo, set()):
        return memo.get(id(value), value)
    if isinstance(value, weakref.ReferenceType):
        return weakref.ref(_followed(value(), memo), value.__callback__)
    if isinstance(value, MethodType):
        return MethodType(_followed(value.__func__, memo), _followed(value.__self__, memo))
    if isinstance(value, partial):
        keywords = {name: _followed(item, memo) for name, item in value.keywords.items()}
        return type(value)(_followed(value.func, memo), *(_followed(item, memo) for item in value.args), **keywords)
    return _function(value, memo)


def _function(function: FunctionType, memo: _Memo) -> FunctionType:
    cells = [memo.setdefault(id(cell), CellType()) for cell in function.__closure__ or ()]
    made = with_cells(function, cells)
    # before what it holds: that may hold the function itself
    memo[id(function)] = made
    made.__defaults__ = function.__defaults__ and tuple(_followed(item, memo) for item in function.__defaults__)
    if function.__kwdefaults__:
        made.__kwdefaults__ = {name: _followed(item, memo) for name, item in function.__kwdefaults__.items()}
    for cell, before in zip(cells, function.__closure__ or (), strict=True):
        if is_filled(before):
            cell.cell_contents = _followed(before.cell_contents, memo)
    return made


def _reaches(value: Any, memo: _Memo, seen: set[int]) -> bool:
    """Whether anything that was copied is held by the value, or by a function that it holds."""
    if id(value) in memo:
        return memo[id(value)] is not value
    if id(value) in seen:
        return False
    seen.add(id(value))
    return any(_reaches(part, memo, seen) for part in _parts(value))


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if is_filled(cell)]
        return (*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
    if isinstance(value, MethodType):
        return value.__self__, value.__func__
    if isinstance(value, partial):
        return value.func, *value.args, *value.keywords.values()
    return (value(),) if isinstance(value, weakref.ReferenceType) else ()


_PLAIN = frozenset((bool, int, float, str, type(None), torch.Tensor))
_REGISTRIES = frozenset(("_parameters", "_buffers", "_modules"))
_REFERRING = (FunctionType, MethodType, partial, weakref.ReferenceType)
