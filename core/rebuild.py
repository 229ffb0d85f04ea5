"""Copies of a model with other tensors in the place of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.core.labels import Vector


@torch.no_grad()
def cut(tensor: Tensor, dims: Mapping[int, Vector]) -> Tensor:
    """The tensor without these indices, of the same kind (parameter or buffer, frozen or not)."""
    left = tensor.detach()
    for dim, indices in dims.items():
        keep = np.setdiff1d(np.arange(tensor.shape[dim]), indices, assume_unique=True)
        left = left.index_select(dim, torch.from_numpy(keep).to(left.device))
    return as_kind(tensor, left)


def as_kind(tensor: Tensor, value: Tensor) -> Tensor:
    """`value` as a parameter where `tensor` is one."""
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=tensor.requires_grad)
    return value


def rebuilt(model: nn.Module, tensors: dict[int, Tensor]) -> nn.Module:
    """A copy of the model with some tensors, by id, replaced everywhere they occur; tied tensors stay tied."""
    memo: dict[int, Any] = dict(tensors)
    return copy.deepcopy(model, memo)
