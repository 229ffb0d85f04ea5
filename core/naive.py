"""A layer cut alone, without those that are coupled with it: what the dependency graph is there to prevent."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from prunescope.core.errors import BadPlan
from prunescope.core.graph import DependencyGraph, Group
from prunescope.core.inputs import as_call
from prunescope.core.preserve import preserved, set_mode
from prunescope.core.rebuild import Slices, cut, rebuilt
from prunescope.core.sources import source_of


@dataclass(frozen=True, slots=True)
class Sliced:
    """A parameter or buffer that was cut."""

    parameter: str  # full name
    before: tuple[int, ...]  # its shape
    after: tuple[int, ...]


@dataclass(frozen=True)
class NaiveCut:
    """One layer of a group cut alone, and what the model does then."""

    layer: str  # path of the module whose weights were cut
    sliced: tuple[Sliced, ...]
    error: str  # what torch raised, word for word; "" where the model runs
    module: str  # path of the module in which it broke; "" where it runs
    source: str  # line of the user's code that called it
    alone: bool  # whether the group has no other layer, so that the cut is complete

    @property
    def runs(self) -> bool:
        return not self.error


def cut_alone(graph: DependencyGraph, group: Group, layer: str, units: Sequence[int]) -> NaiveCut:
    """Cut units out of one layer's weights and nothing else, and run the model on the example inputs.

    The graph's model is left as it is.

    Args:
        graph: A traced model.
        group: A group of it.
        layer: Path of a module that owns members of the group.
        units: Positions in the group.

    Raises:
        BadPlan: the layer has no member in the group, or no unit would be left.
    """
    own = [member for member in group.members if member.layer == layer]
    if not own or not 0 < len(set(units)) < group.size:
        raise BadPlan(
            asked=f"cut {len(set(units))} units of {layer or 'the model'} alone",
            found=f"group {group.name} has {group.size} units in {', '.join(map(str, group.layers))}",
            where=f"group {group.name}",
            what_to_do="name one of these layers, and at least one unit but not all",
        )
    parameters = graph.record.parameters
    removed: dict[str, dict[int, Slices]] = {}
    for member in own:
        removed.setdefault(member.parameter, {})[member.dim] = Slices(member.of_units(list(units)), member.size)
    made = {name: cut(parameters[name].tensor, dims) for name, dims in removed.items()}
    model = rebuilt(graph.model, {id(parameters[name].tensor): tensor for name, tensor in made.items()})
    error, module, source = _run(model, graph)
    sliced = tuple(Sliced(name, tuple(parameters[name].tensor.shape), tuple(t.shape)) for name, t in made.items())
    return NaiveCut(layer, sliced, error, module, source, set(group.layers) == {layer})


def _run(model: nn.Module, graph: DependencyGraph) -> tuple[str, str, str]:
    """What the model raises on the example inputs, the module that it happens in, and the line; empty where it runs."""
    args, kwargs = as_call(graph.example_inputs)
    paths = {module: name for name, module in model.named_modules()}
    stack: list[str] = []

    def enter(module: nn.Module, inputs: object) -> None:
        stack.append(paths.get(module, ""))

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        stack.pop()

    handles = [
        handle
        for module in paths
        for handle in (module.register_forward_pre_hook(enter), module.register_forward_hook(leave))
    ]
    try:
        with preserved(model, graph.record.writes_parameters), torch.no_grad():
            set_mode(model, training=False)
            model(*args, **kwargs)
    except Exception as error:
        frames = [source_of(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        return f"{type(error).__name__}: {error}", stack[-1] if stack else "", next(filter(None, frames[::-1]), "")
    finally:
        for handle in handles:
            handle.remove()
    return "", "", ""
