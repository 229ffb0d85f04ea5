"""Copies of a model with other tensors in the place of its own."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.core.attributes import OWN_ATTRIBUTES
from prunescope.core.errors import BadInput
from prunescope.core.held_tensors import held_containers
from prunescope.core.labels import Vector
from prunescope.core.references import follow

_CHUNK = 1 << 18  # elements that are cut together: about what the processor keeps near


@dataclass(frozen=True, eq=False)
class Slices:
    """Indices of a dimension that go. Dimensions that lose the same ones share it."""

    gone: Vector
    size: int  # of the dimension, before

    @cached_property
    def stay(self) -> Tensor:
        stays = np.ones(self.size, dtype=bool)
        stays[self.gone] = False
        return torch.from_numpy(stays.nonzero()[0])


def cut(tensor: Tensor, dims: Mapping[int, Slices]) -> Tensor:
    """The tensor without these indices; its own memory."""
    if not dims:
        return tensor.clone()
    # rows first: they lie together in memory, and what they take with them need not be copied again
    (first, rows), *others = ((dim, dims[dim].stay.to(tensor.device)) for dim in sorted(dims))
    if not others or tensor.numel() <= _CHUNK:
        return _selected(tensor.index_select(first, rows), others)
    sizes = [len(dims[dim].stay) if dim in dims else size for dim, size in enumerate(tensor.shape)]
    left, done = tensor.new_empty(sizes), 0
    for part in rows.split(max(1, _CHUNK * tensor.shape[first] // tensor.numel())):
        left.narrow(first, done, len(part)).copy_(_selected(tensor.index_select(first, part), others))
        done += len(part)
    return left


def _selected(tensor: Tensor, dims: Sequence[tuple[int, Tensor]]) -> Tensor:
    for dim, stay in dims:
        tensor = tensor.index_select(dim, stay)
    return tensor


@dataclass(frozen=True, slots=True)
class Scaling:
    """Indices of one dimension of a tensor that are multiplied by a number."""

    dim: int
    indices: Vector
    by: float


def scaled(tensor: Tensor, scalings: Sequence[Scaling]) -> Tensor:
    """The tensor with these indices multiplied."""
    value = tensor
    for scaling in scalings:
        factors = torch.ones(tensor.shape[scaling.dim], dtype=torch.float64, device=value.device)
        factors[torch.from_numpy(scaling.indices).to(value.device)] = scaling.by
        # rounded once, in the end
        value = value.to(torch.promote_types(value.dtype, torch.float64))
        value = value * factors.view([-1 if d == scaling.dim else 1 for d in range(tensor.dim())])
    return value.to(tensor.dtype)


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a parameter or buffer."""

    tensor: Tensor  # as it is in the original
    removed: Mapping[int, Slices]  # by dimension
    scalings: tuple[Scaling, ...] = ()  # by indices of the original

    def made(self, value: Tensor) -> Tensor:
        """The same done to a tensor of its shape; of the same kind (parameter or buffer, frozen or not)."""
        return as_kind(value, cut(scaled(value.detach(), self.scalings), self.removed))


def as_kind(tensor: Tensor, value: Tensor) -> Tensor:
    """`value` as a parameter where `tensor` is one."""
    if type(tensor) is not Tensor and isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=tensor.requires_grad)
    return value


def rebuilt(model: nn.Module, tensors: dict[int, Tensor]) -> nn.Module:
    """A copy of the model with some tensors, by id, replaced everywhere they occur; tied tensors stay tied.

    Raises:
        BadInput: a module holds something that cannot be copied (an open file, a lock).
    """
    memo: dict[int, Any] = {**_computed(list(model.modules())), **tensors}
    # what deepcopy would do with every module, without the time that it takes over what is empty or cannot change
    kinds: list[tuple[str, nn.Module, Any]] = [(path, module, type(module)) for path, module in model.named_modules()]
    ordinary = {path: module for path, module, kind in kinds if _is_ordinary(kind)}
    copies = [type(module).__new__(type(module)) for module in ordinary.values()]
    memo.update((id(module), made) for module, made in zip(ordinary.values(), copies, strict=True))
    for (path, module), made in zip(ordinary.items(), copies, strict=True):
        made.__setstate__(_state(path, module, memo))
    copied: nn.Module = copy.deepcopy(model, memo)
    follow(copied.modules(), memo)
    return copied


def _computed(modules: Sequence[nn.Module]) -> dict[int, Tensor]:
    """Copies, by id, of what a run has left in attributes and containers, which has a history that cannot be copied."""
    containers = (held.values() if isinstance(held, dict) else held for held in held_containers(modules))
    values = chain(*(vars(module).values() for module in modules), *containers)
    found = [value for value in values if isinstance(value, Tensor) and not value.is_leaf]
    return {id(tensor): tensor.detach().clone() for tensor in found}


_ATOMS = frozenset((bool, int, float, str, type(None)))
_DICTIONARIES = frozenset((dict, OrderedDict))


def _state(path: str, module: nn.Module, memo: dict[int, Any]) -> dict[str, Any]:
    """A copy of what the module holds."""
    found: dict[str, Any] = {**module.__getstate__()}
    for name, value in found.items():
        kind = type(value)
        if kind in _ATOMS:
            continue
        if kind in _DICTIONARIES and not value and name in OWN_ATTRIBUTES:
            # as most are; the handle of a hook refers to the dictionaries that hold it, or did
            found[name] = memo.setdefault(id(value), kind())
            continue
        try:
            found[name] = _attribute(name, value, memo)
        except Exception as error:
            raise BadInput(
                asked=f"copy {type(module).__name__}",
                found=f"its attribute {name}, of type {kind.__name__}, cannot be copied: "
                f"{type(error).__name__}: {error}",
                where=f"module {path}" if path else "the model",
                what_to_do="take it off the module, or give its class a __deepcopy__; copy.deepcopy(model) has to work",
            ) from error
    return found


def _attribute(name: str, value: Any, memo: dict[int, Any]) -> Any:
    if name not in OWN_ATTRIBUTES or not isinstance(value, dict | set):
        return _copied(value, memo)
    if isinstance(value, set):
        return type(value)(value)
    if id(value) in memo:
        return memo[id(value)]
    made = memo[id(value)] = type(value)()
    made.update((key, _copied(item, memo)) for key, item in value.items())
    return made


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    kind = type(value)
    if isinstance(value, dict) and _has_entries_for_attributes(value):
        return _with_entries_for_attributes(value, memo)
    if kind in _ATOMS or (kind is tuple and all(type(item) in _ATOMS for item in value)):
        return value
    if kind is Tensor and value.numel() == 1 and value.is_leaf and not vars(value):
        # a counter, as normalisation layers have: no other tensor is a part of it
        return memo.setdefault(id(value), value.detach().clone().requires_grad_(value.requires_grad))
    return copy.deepcopy(value, memo)


def _has_entries_for_attributes(value: dict[Any, Any]) -> bool:
    """Whether it is its own `__dict__`, or looks for attributes among its entries and raises KeyError for others."""
    try:
        getattr(value, "__deepcopy__", None)
    except KeyError:
        return True
    return getattr(value, "__dict__", None) is value


def _with_entries_for_attributes(value: dict[Any, Any], memo: dict[int, Any]) -> dict[Any, Any]:
    """A copy of such a dictionary, which deepcopy would leave without attributes or not make at all."""
    kind: Any = type(value)
    made: dict[Any, Any] = kind.__new__(kind)
    memo[id(value)] = made
    if vars(value) is value:
        made.__dict__ = made
    dict.update(made, {key: _copied(item, memo) for key, item in value.items()})
    return made


@cache
def _is_ordinary(kind: type[nn.Module]) -> bool:
    """Whether deepcopy would copy its state and nothing else."""
    plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
    return plain and not hasattr(kind, "__deepcopy__")
