"""The original without the removed units and the pruned model, made ready to be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from prunescope.core.graph import DependencyGraph
from prunescope.core.held_tensors import tensor_attributes
from prunescope.core.labels import Vector
from prunescope.core.preserve import have_their_own_modes, set_mode
from prunescope.core.rebuild import Change, Slices, as_kind, rebuilt
from prunescope.core.run import ParameterDims
from prunescope.core.trial_inputs import has_floats

Zeroed: TypeAlias = Callable[[DependencyGraph, ParameterDims, Vector], bool]
"""Whether these labels of a parameter's dimension are zero."""


def everything(graph: DependencyGraph, parameter: ParameterDims, labels: Vector) -> bool:
    return True


def weights(graph: DependencyGraph, parameter: ParameterDims, labels: Vector) -> bool:
    """All but tables of constants."""
    return not parameter.is_buffer


def readers(graph: DependencyGraph, parameter: ParameterDims, labels: Vector) -> bool:
    """The weights that read a unit; what makes it has its values."""
    return not parameter.is_buffer and bool((graph.record.sides[labels] == 1).all())


def twins(
    graph: DependencyGraph, pruned: nn.Module, changes: Mapping[str, Change], zeroed: Zeroed
) -> tuple[nn.Module, nn.Module]:
    """The reference (the original with the removed slices set to zero) and the pruned model, both without weights that
    would hide a difference: those that are all alike (zeros, ones, a tiny scale) are drawn anew, the same in both.
    In evaluation mode.

    Tensors that do not change are shared with the given models, unless code of the model's own may change them.
    """
    own = have_their_own_modes(graph.model.modules())
    generator = torch.Generator().manual_seed(0)
    before, after = tensors_by_name(graph.model), tensors_by_name(pruned)
    reference, twin = (
        {id(tensor): as_kind(tensor, tensor.detach().clone()) if own else tensor for tensor in tensors.values()}
        for tensors in (before, after)
    )
    for name, tensor in before.items():
        change = changes.get(name, Change(tensor, {}))
        value = _lively(tensor, generator)
        if value is not tensor and name in after:
            twin[id(after[name])] = change.made(as_kind(tensor, value))
        if value is not tensor or change.removed:
            zeros = _zeros(graph, name, change, zeroed)
            reference[id(tensor)] = as_kind(tensor, _zeroed(value, zeros))
    made = rebuilt(graph.model, reference), rebuilt(pruned, twin)
    for model in made:
        set_mode(model, training=False)
    return made


def _zeros(graph: DependencyGraph, name: str, change: Change, zeroed: Zeroed) -> dict[int, Slices]:
    """By dimension, the indices of a parameter that are zero in the reference."""
    if not change.removed:
        return {}
    parameter = graph.record.parameters[name]
    labels = {
        dim: graph.record.space.vector(parameter.dims[dim], slices.size) for dim, slices in change.removed.items()
    }
    return {dim: slices for dim, slices in change.removed.items() if zeroed(graph, parameter, labels[dim][slices.gone])}


def tensors_by_name(model: nn.Module) -> dict[str, Tensor]:
    held = tensor_attributes(dict(model.named_modules()))
    return dict(model.named_parameters()) | dict(model.named_buffers()) | dict(held)


def _lively(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """The tensor, or where all its values are equal others of its kind: positive for a scale, around 0 for a shift."""
    value = tensor.detach()
    if not has_floats(value):
        return tensor
    first = value.flatten()[0]
    if not bool(torch.isfinite(first)) or not bool((value == first).all()):
        return tensor
    drawn = torch.rand(value.shape, generator=generator) + 0.5
    return (drawn if bool(first) else (drawn - 1) / 5).to(value)


def _zeroed(value: Tensor, dims: Mapping[int, Slices]) -> Tensor:
    zeros = value.detach().clone()
    for dim, slices in dims.items():
        zeros.index_fill_(dim, torch.from_numpy(slices.gone).to(zeros.device), 0)
    return zeros
