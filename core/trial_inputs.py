"""Inputs to compare models on: those that were given, made lively, and a second batch size."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from prunescope.core.inputs import copied
from prunescope.core.preserve import preserved

ModelCall: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


def varied(call: ModelCall, reference: nn.Module, writes_parameters: bool) -> ModelCall:
    """Inputs that are all alike (zeros, ones) would hide a difference: such floats are drawn anew, if that runs.

    `writes_parameters`: whether the reference writes into its own while it runs.
    """
    alike = False

    def vary(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not has_floats(leaf):
            return leaf
        nonlocal alike
        if not bool((leaf == leaf.flatten()[0]).all()):
            return leaf
        alike = True
        return torch.randn(leaf.shape, generator=torch.Generator().manual_seed(0)).to(leaf)

    made = cast(ModelCall, tree_map(vary, call))
    with preserved(reference, writes_parameters):
        return made if alike and runs(reference, made) else call


def second_batch(call: ModelCall) -> int | None:
    """A batch size one larger where all tensors share their first size."""
    tensors = [leaf for leaf in tree_leaves(call) if isinstance(leaf, Tensor)]
    sizes = {leaf.shape[0] if leaf.dim() and leaf.layout is torch.strided else None for leaf in tensors}
    size = sizes.pop() if len(sizes) == 1 else None
    return None if size is None else size + 1


def enlarged(call: ModelCall, batch: int) -> ModelCall:
    return cast(
        ModelCall, tree_map(lambda leaf: torch.cat([leaf, leaf[:1]]) if isinstance(leaf, Tensor) else leaf, call)
    )


def has_floats(value: Tensor) -> bool:
    """Whether it holds several floats one beside the other, which may be all alike."""
    return value.is_floating_point() and value.numel() > 1 and not value.is_meta and value.layout is torch.strided


def called(model: nn.Module, call: ModelCall) -> Any:
    """What the model returns; it may write into its inputs, which others are run on too."""
    args, kwargs = copied(call)
    return model(*args, **kwargs)


def runs(model: nn.Module, call: ModelCall) -> bool:
    try:
        called(model, call)
    except Exception:
        return False
    return True
