"""Nothing broken leaves the core: the pruned model runs, and equals the original without the removed units."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from prunescope.core.decisions import Recording, Replaying, relative_difference
from prunescope.core.draws import SameDraws
from prunescope.core.errors import VerificationFailed
from prunescope.core.graph import DependencyGraph
from prunescope.core.inputs import as_call, plain_output
from prunescope.core.open_functions import without_fused_paths
from prunescope.core.preserve import preserved, set_mode, uncompiled
from prunescope.core.rebuild import Change
from prunescope.core.reference import AnotherRun, Reference, kept_of
from prunescope.core.rewritten import WholeProducts
from prunescope.core.trial_inputs import ModelCall, called, enlarged, runs, second_batch, varied
from prunescope.core.twins import everything, readers, tensors_by_name, twins, weights

TOLERANCE = 1e-5  # largest difference, relative to the largest output
_ROUNDINGS = 2  # times what rounding alone does to the output, where a model cannot be run in a higher precision
_MOST_ROUNDING = 1e-3  # a model that makes more of rounding than this cannot be compared at all


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked before a pruned model was handed out."""

    output_shapes: tuple[tuple[int, ...], ...]  # of the pruned model on the example inputs; the original's too
    second_batch: int | None  # another batch size that was run as well; None where the original takes only its own
    difference: float | None  # max |pruned - reference| / max |reference|; None where it could not be compared
    precision: str  # in which the difference was measured
    statistics: tuple[str, ...]  # layers whose mean or variance runs over what was cut; compared over what is left
    not_compared: str  # why there is no difference, "" where there is one
    training_mode: bool  # whether it was run in training mode too, where the original has layers used only there

    def __str__(self) -> str:
        if self.difference is None:
            return f"runs with the original's output shapes; not compared: {self.not_compared}"
        return f"runs; differs from the original without the removed units by {self.difference:.1e} ({self.precision})"


@torch.no_grad()
def verified(
    graph: DependencyGraph, pruned: nn.Module, changes: Mapping[str, Change], gone: NDArray[np.bool_]
) -> Verification:
    """Run the pruned model and compare it with the original whose removed units are zero.

    Normalisations over removed units are compared with statistics over those that are left.

    Args:
        graph: Of the original.
        pruned: The model to verify; left as found.
        changes: Parameter name -> what became of it.
        gone: (labels,) True where a label went.

    Raises:
        VerificationFailed: it does not run, has other output shapes, or differs by more than `TOLERANCE`.
    """
    reference, twin = twins(graph, pruned, changes, everything)
    writes = graph.record.writes_parameters
    call = varied(as_call(graph.example_inputs), reference, writes)
    rounding = 0.0
    with preserved(graph.model, writes), preserved(pruned, writes):
        set_mode(pruned, training=False)
        # a model may count its runs, or keep what it saw: those that are compared begin as they were before these
        with preserved(graph.model, writes), preserved(pruned, writes), preserved(reference, writes):
            shapes = _shapes_checked(graph, pruned, call)
            training = _runs_in_training(graph, pruned, call)
            batch = second_batch(call)
            larger = enlarged(call, batch) if batch else None
            if larger is not None and not runs(reference, larger):
                batch, larger = None, None
        if any(parameter.is_meta for parameter in pruned.parameters()):
            difference, precision, reason = None, "", "weights on the meta device have no values"
        else:
            difference, precision, reason = _compare(graph, reference, twin, larger or call, gone, changes)
            if difference is None and larger is not None:
                # another batch may take another way through the model
                larger = None
                difference, precision, reason = _compare(graph, reference, twin, call, gone, changes)
            for zeroed in (weights, readers):
                # zeros that are divided by their own length or sum: then less is zero, and tells as much
                if difference == math.inf:
                    reference, twin = twins(graph, pruned, changes, zeroed)
                    difference, precision, reason = _compare(graph, reference, twin, larger or call, gone, changes)
            if difference is not None and difference > TOLERANCE and precision != "float64":
                rounding = _rounding(twin, larger or call)
    if difference == math.inf:
        raise _failed(
            graph, "its outputs have other shapes than the original's, or one of the two gives no finite numbers"
        )
    if difference is not None and not difference <= max(TOLERANCE, min(_ROUNDINGS * rounding, _MOST_ROUNDING)):
        raise _failed(graph, f"its output differs by {difference:.1e} of the largest output, in {precision}")
    return Verification(shapes, batch, difference, precision, _statistics(graph, gone), reason, training)


def _compare(
    graph: DependencyGraph,
    reference: nn.Module,
    pruned: nn.Module,
    call: ModelCall,
    gone: NDArray[np.bool_],
    changes: Mapping[str, Change],
) -> tuple[float | None, str, str]:
    """(difference, precision, why not): in the model's own precision, and in float64 where that is not enough."""
    precision = next((str(p.dtype).removeprefix("torch.") for p in pruned.parameters()), "")
    try:
        difference = _difference(graph, reference, pruned, call, gone)
    except (AnotherRun, _NothingTold) as error:
        return None, "", str(error)
    if difference <= TOLERANCE:
        return difference, precision, ""
    try:
        exact_reference, exact_pruned = (copy.deepcopy(model).double() for model in (reference, pruned))
        _unround(pruned, exact_reference, exact_pruned, changes)
        exact_call = cast(ModelCall, tree_map(_doubled, call))
        return _difference(graph, exact_reference, exact_pruned, exact_call, gone), "float64", ""
    except (RuntimeError, VerificationFailed):
        # a model that fixes its own precision cannot be run in another; the first difference stands
        return difference, precision, ""


def _rounding(model: nn.Module, call: ModelCall) -> float:
    """How far the output moves, relative to its largest value, when each weight moves by a unit in its last place.

    A recurrent update makes much of little: sums in another order, as a narrower layer has them, do as much.
    """
    moved = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in moved.parameters():
            if parameter.is_floating_point():
                signs = torch.randint(0, 2, parameter.shape, generator=generator).to(parameter) * 2 - 1
                parameter.mul_(1 + torch.finfo(parameter.dtype).eps * signs)
    outputs = []
    for each in (model, moved):
        with uncompiled(), _same_draws():
            outputs.append(_floating(called(each, call)))
    before, after = outputs
    found = [relative_difference(a, b) for a, b in zip(before, after, strict=True) if a.shape == b.shape]
    return max(filter(math.isfinite, found), default=0.0)


def _floating(result: Any) -> list[Tensor]:
    leaves = tree_leaves(plain_output(result))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def _unround(pruned: nn.Module, reference: nn.Module, exact: nn.Module, changes: Mapping[str, Change]) -> None:
    """Give rows that were scaled, and so rounded, the values that they had before, in the copy of higher precision."""
    rounded, whole, made = (tensors_by_name(model) for model in (pruned, reference, exact))
    for name, change in changes.items():
        if change.scalings and name in made:
            value = change.made(whole[name])
            if torch.equal(value.to(rounded[name].dtype), rounded[name]):
                made[name].data = value.detach()


def _difference(
    graph: DependencyGraph, reference: nn.Module, pruned: nn.Module, call: ModelCall, gone: NDArray[np.bool_]
) -> float:
    """Largest relative difference over all outputs and all that is decided by values; inf where shapes differ."""
    recording = Recording()
    with _same_draws(), recording:
        expected = _reference_output(graph, reference, call, gone)
    replaying = Replaying(recording.decisions, TOLERANCE)
    with uncompiled(), _same_draws(), replaying:
        found = _tensors(_run_pruned(pruned, call, graph))
    difference = max(replaying.difference, _largest_difference(expected, found))
    if difference == math.inf or any(map(_tells, expected)):
        return difference
    # nothing was detected, or only numbers of classes are returned: the layers tell what the output does not
    with _same_draws(), _layer_outputs(reference) as expected:
        _reference_output(graph, reference, call, gone)
    with uncompiled(), _same_draws(), Replaying(recording.decisions, TOLERANCE), _layer_outputs(pruned) as found:
        _run_pruned(pruned, call, graph)
    if len(expected) != len(found):
        return float("inf")
    whole = [(a, b) for a, b in zip(expected, found, strict=True) if a.shape == b.shape]
    # equal numbers of classes tell something where they are all that there is
    if not any(_tells(a) for a, _ in whole) and not any(map(_varies, expected)):
        raise _NothingTold("neither its output nor a layer that is whole gives finite numbers that are not all alike")
    return max(difference, _largest_difference([a for a, _ in whole], [b for _, b in whole]))


class _NothingTold(Exception):
    """There is nothing in which a difference could be seen."""


def _tells(output: Tensor) -> bool:
    """Whether a small difference could be seen in it: finite numbers that are not all alike, or a single one."""
    if output.layout is not torch.strided:
        return True
    if not (output.is_floating_point() or output.is_complex()):
        return False
    return _varies(output) or (output.numel() == 1 and bool(output.isfinite().all()))


def _varies(output: Tensor) -> bool:
    finite = output[output.isfinite()]
    return bool(finite.numel()) and bool((finite != finite[0]).any())


@contextmanager
def _same_draws() -> Iterator[None]:
    """What the run inside draws at random is the same in every run."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    with SameDraws():
        yield


def _largest_difference(expected: list[Tensor], found: list[Tensor]) -> float:
    if [tensor.shape for tensor in expected] != [tensor.shape for tensor in found]:
        return float("inf")
    return max(map(relative_difference, expected, found), default=0.0)


@contextmanager
def _layer_outputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what the layers with parameters of their own return."""
    found: list[Tensor] = []
    layers = [module for module in model.modules() if next(module.parameters(recurse=False), None) is not None]
    handles = [layer.register_forward_hook(lambda *call: found.extend(_tensors(call[-1]))) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _doubled(leaf: Any) -> Any:
    return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


def _reference_output(
    graph: DependencyGraph, reference: nn.Module, call: ModelCall, gone: NDArray[np.bool_]
) -> list[Tensor]:
    with without_fused_paths(reference.modules()), WholeProducts(), Reference(graph, gone):
        return _tensors(called(reference, call))


def _shapes_checked(graph: DependencyGraph, pruned: nn.Module, call: ModelCall) -> tuple[tuple[int, ...], ...]:
    """The shapes of the pruned model's outputs, which have to be the original's, and finite somewhere where those are.

    Raises VerificationFailed where they are not.
    """
    outputs = _tensors(_run_pruned(pruned, call, graph))
    shapes = tuple(tuple(output.shape) for output in outputs)
    # how many boxes there are is for the comparison with the reference, not with the original
    if shapes != graph.record.output_shapes and not graph.record.decides_by_values:
        raise _failed(graph, f"its output shapes are {shapes}, the original's {graph.record.output_shapes}")
    finite = list(map(_is_finite_somewhere, outputs))
    if all(finite):
        return shapes
    set_mode(graph.model, training=False)
    originals = map(_is_finite_somewhere, _tensors(called(graph.model, call)))
    if any(own and not found for own, found in zip(originals, finite, strict=False)):
        raise _failed(graph, "it gives no finite numbers where the original does")
    return shapes


def _is_finite_somewhere(output: Tensor) -> bool:
    """Also where there is no number that could be looked at."""
    looked_at = output.numel() and not output.is_meta and output.layout is torch.strided
    return not looked_at or bool(output.isfinite().any())


def _run_pruned(pruned: nn.Module, call: ModelCall, graph: DependencyGraph) -> Any:
    try:
        return called(pruned, call)
    except Exception as error:
        raise _failed(graph, f"it does not run: {type(error).__name__}: {error}") from error


def _runs_in_training(graph: DependencyGraph, pruned: nn.Module, call: ModelCall) -> bool:
    """Layers that only training reaches were cut with the others, so they have to run too."""
    if len(graph.record.operations) == graph.record.reference_operations:
        return False
    with preserved(graph.model, unversioned=True), preserved(pruned, unversioned=True):
        for model in (graph.model, pruned):
            set_mode(model, training=True)
        trained = runs(graph.model, call)
        if trained:
            _run_pruned(pruned, call, graph)
    return trained


def _tensors(output: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(plain_output(output)) if isinstance(leaf, Tensor)]


def _statistics(graph: DependencyGraph, gone: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            graph.record.operations[statistic.operation].layer
            for statistic in graph.record.space.statistics
            if kept_of(statistic, gone) is not None
        )
    )


def _failed(graph: DependencyGraph, found: str) -> VerificationFailed:
    name = type(graph.model).__name__
    return VerificationFailed(
        asked=f"a pruned {name} that equals the original without the removed units",
        found=f"the pruned model was thrown away: {found}",
        where=name,
        what_to_do="protect groups to find the one at fault, and report the model; the original is unchanged",
    )
