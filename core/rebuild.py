"""Copies of a model with other tensors in the place of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.core.labels import Vector


@torch.no_grad()
def cut(tensor: Tensor, dims: Mapping[int, Vector]) -> Tensor:
    """The tensor without these indices, of the same kind (parameter or buffer, frozen or not)."""
    left = tensor.detach()
    # rows first: they lie together in memory, and what they take with them need not be copied again
    for dim in sorted(dims):
        stays = np.ones(tensor.shape[dim], dtype=bool)
        stays[dims[dim]] = False
        left = left.index_select(dim, torch.from_numpy(np.flatnonzero(stays)).to(left.device))
    return as_kind(tensor, left)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Indices of one dimension of a tensor that are multiplied by a number."""

    dim: int
    indices: Vector
    by: float


@torch.no_grad()
def scaled(tensor: Tensor, scalings: Sequence[Scaling]) -> Tensor:
    """The tensor with these indices multiplied, of the same kind."""
    value = tensor.detach()
    for scaling in scalings:
        factors = torch.ones(tensor.shape[scaling.dim], dtype=torch.float64, device=value.device)
        factors[torch.from_numpy(scaling.indices).to(value.device)] = scaling.by
        # rounded once, in the end
        value = value.to(torch.promote_types(value.dtype, torch.float64))
        value = value * factors.view([-1 if d == scaling.dim else 1 for d in range(tensor.dim())])
    value = value.to(tensor.dtype)
    return as_kind(tensor, value) if scalings else tensor


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a parameter or buffer."""

    tensor: Tensor  # as it is in the original
    removed: Mapping[int, Vector]  # by dimension, the indices that go
    scalings: tuple[Scaling, ...] = ()  # by indices of the original

    def made(self, value: Tensor) -> Tensor:
        """The same done to a tensor of its shape."""
        return cut(scaled(value, self.scalings), self.removed)


def as_kind(tensor: Tensor, value: Tensor) -> Tensor:
    """`value` as a parameter where `tensor` is one."""
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=tensor.requires_grad)
    return value


def rebuilt(model: nn.Module, tensors: dict[int, Tensor]) -> nn.Module:
    """A copy of the model with some tensors, by id, replaced everywhere they occur; tied tensors stay tied."""
    memo: dict[int, Any] = dict(tensors)
    # what deepcopy would do with every module, without the time that it takes over the empty dicts in each
    ordinary = [module for module in model.modules() if _is_ordinary(type(module))]
    copies = [type(module).__new__(type(module)) for module in ordinary]
    memo.update((id(module), made) for module, made in zip(ordinary, copies, strict=True))
    for module, made in zip(ordinary, copies, strict=True):
        made.__setstate__({name: _copied(name, value, memo) for name, value in module.__getstate__().items()})
    return copy.deepcopy(model, memo)


_OWN_ATTRIBUTES = frozenset(vars(nn.Module()))
_ATOMS = frozenset((bool, int, float, str, type(None)))


def _copied(name: str, value: Any, memo: dict[int, Any]) -> Any:
    if type(value) in _ATOMS:
        return value
    if name in _OWN_ATTRIBUTES and isinstance(value, dict) and not value:
        return type(value)()
    return copy.deepcopy(value, memo)


def _is_ordinary(kind: type[nn.Module]) -> bool:
    """Whether deepcopy would copy its state and nothing else."""
    plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
    return plain and not hasattr(kind, "__deepcopy__")
