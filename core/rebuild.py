"""Copies of a model with other tensors in the place of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.core.labels import Vector

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
    """A copy of the model with some tensors, by id, replaced everywhere they occur; tied tensors stay tied."""
    memo: dict[int, Any] = dict(tensors)
    # what deepcopy would do with every module, without the time that it takes over what is empty or cannot change
    kinds: list[tuple[nn.Module, Any]] = [(module, type(module)) for module in model.modules()]
    ordinary = [module for module, kind in kinds if _is_ordinary(kind)]
    copies = [type(module).__new__(type(module)) for module in ordinary]
    memo.update((id(module), made) for module, made in zip(ordinary, copies, strict=True))
    for module, made in zip(ordinary, copies, strict=True):
        state = module.__getstate__()
        made.__setstate__({name: v if type(v) in _ATOMS else _attribute(name, v, memo) for name, v in state.items()})
    return copy.deepcopy(model, memo)


_OWN_ATTRIBUTES = frozenset(vars(nn.Module()))
_ATOMS = frozenset((bool, int, float, str, type(None)))


def _attribute(name: str, value: Any, memo: dict[int, Any]) -> Any:
    if name not in _OWN_ATTRIBUTES or not isinstance(value, dict | set):
        return _copied(value, memo)
    if not value:
        return type(value)()
    if isinstance(value, set):
        return type(value)(value)
    return type(value)((key, _copied(item, memo)) for key, item in value.items())


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    kind = type(value)
    if isinstance(value, dict) and getattr(value, "__dict__", None) is value:
        return _with_entries_for_attributes(value, memo)
    if kind in _ATOMS or (kind is tuple and all(type(item) in _ATOMS for item in value)):
        return value
    if kind is Tensor and value.numel() == 1 and value.is_leaf and not vars(value):
        # a counter, as normalisation layers have: no other tensor is a part of it
        return memo.setdefault(id(value), value.detach().clone().requires_grad_(value.requires_grad))
    return copy.deepcopy(value, memo)


def _with_entries_for_attributes(value: Any, memo: dict[int, Any]) -> dict[Any, Any]:
    """A copy of a dictionary that is its own `__dict__`, which deepcopy would leave without attributes."""
    kind: Any = type(value)
    made = memo[id(value)] = kind.__new__(kind)
    made.__dict__ = made
    made.update({key: _copied(item, memo) for key, item in value.items()})
    return cast("dict[Any, Any]", made)


@cache
def _is_ordinary(kind: type[nn.Module]) -> bool:
    """Whether deepcopy would copy its state and nothing else."""
    plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
    return plain and not hasattr(kind, "__deepcopy__")
