"""One forward pass of the model -> operations, layers and labels -> the dependency graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from prunescope.core.accepted import accepted
from prunescope.core.coupling import Coupling, components_of, couplings_of
from prunescope.core.deciding import without_deciding_statistics
from prunescope.core.errors import BadInput, TraceFailed
from prunescope.core.free_grids import without_free_grids
from prunescope.core.graph import DependencyGraph, Layer, Operation
from prunescope.core.groups import dimensions_of, groups_of, locks_of
from prunescope.core.held_sizes import lock_held
from prunescope.core.inputs import as_call
from prunescope.core.labels import Fixed, LabelSpace, Vector
from prunescope.core.neutral import without_neutral_sums
from prunescope.core.preserve import collector_paused, preserved, set_mode
from prunescope.core.run import NeedsValues, ParameterDims, Run
from prunescope.core.temperature import Fold, folded
from prunescope.core.unread import lock_unread


@dataclass(frozen=True, slots=True)
class Record:
    """All that one trace wrote down, for the passes that come after it."""

    space: LabelSpace
    operations: tuple[Operation, ...]
    reference_operations: int  # how many of them belong to the first run, the one in evaluation mode
    parameters: Mapping[str, ParameterDims]
    couplings: tuple[Coupling, ...]  # the ways to cut: by rows of every grid, then by columns
    output_shapes: tuple[tuple[int, ...], ...]  # of every output tensor, in order
    writes_parameters: bool  # whether the model writes into parameters while it runs
    decides_by_values: bool  # whether shapes and control flow may depend on values
    folds: tuple[Fold, ...]  # what a cut changes in factors of the code, and what takes it up
    sides: Vector  # (labels,) 0 = both sides, 1 = a layer's input side, 2 = its output side


@collector_paused()
def trace(model: nn.Module, example_inputs: Any) -> DependencyGraph:
    """Run the model once and return its dependency graph. The model is left exactly as it was found.

    Convolutions and matrix products are answered by shape alone; a model that decides by values is run again with them.
    What a run in evaluation mode does not reach, parameters and the buffers of code that trains by itself, is sought in
    a second run in training mode.

    Args:
        model: Any module; what wraps it (DataParallel, torch.compile) is taken off. Its weights are read by name,
            never copied.
        example_inputs: One tensor, a tuple of positional arguments or a dict of keyword arguments.

    Raises:
        BadInput: `model` is no module that can be traced, `example_inputs` has no usable form, or tensors are nested.
        TraceFailed: the model raises on these inputs.
    """
    model = accepted(model)
    call = as_call(example_inputs)
    with preserved(model, watched=True), torch.no_grad():
        run = _run_first(model, call)
        _run_unreached(run, call)
    return _graph(run, example_inputs)


def _run_first(model: nn.Module, call: tuple[tuple[Any, ...], dict[str, Any]]) -> Run:
    """Without values where that works, else with them; in evaluation mode."""
    run = Run(model, with_values=False)
    set_mode(model, training=False)
    try:
        run.execute(call)
    except BadInput:
        raise
    except Exception:
        run = Run(model, with_values=True)
        try:
            run.execute(call)
        except Exception as error:
            raise _failure(model, run, call, error) from error
        run.notes.append("control flow or indices depend on values: traced with values computed")
    return run


def _run_unreached(run: Run, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    """Run again in training mode where evaluation mode left something out (auxiliary classifiers, moving means)."""
    run.reference_operations = len(run.operations)
    missed = run.unreached()
    if not missed and not run.trains_by_itself():
        return
    _run_in_training(run, call)
    left = run.unreached()
    if left:
        run.notes.append(
            f"{len(left)} parameters are not reached on these inputs and stay as they are: {', '.join(left[:5])}"
        )
    if len(left) < len(missed):
        run.notes.append(f"{len(missed) - len(left)} parameters are reached in training mode only")


def _run_in_training(run: Run, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    try:
        set_mode(run.model, training=True)
        _without_or_with_values(run, call)
    except Exception as error:
        run.notes.append(f"the model does not run in training mode on these inputs ({error})")


def _without_or_with_values(run: Run, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    as_before = run.with_values
    try:
        run.execute(call)
    except NeedsValues:
        run.with_values = True
        run.execute(call)
    finally:
        run.with_values = as_before


def _failure(model: nn.Module, run: Run, call: tuple[Any, Any], error: Exception) -> TraceFailed:
    shapes = [f"{tuple(leaf.shape)} {leaf.dtype}" for leaf in tree_leaves(call) if isinstance(leaf, Tensor)]
    last = run.operations[-1] if run.operations else None
    where = run.path or type(model).__name__
    return TraceFailed(
        asked=f"run {type(model).__name__} on example inputs {', '.join(shapes) or repr(call)}",
        found=f"{type(error).__name__}: {error}",
        where=f"module {where}" + (f", after {last.name} in {last.source}" if last and last.source else ""),
        what_to_do="check that model(*example_inputs) runs on its own, in evaluation mode, with these shapes and types",
    )


def _graph(run: Run, example_inputs: Any) -> DependencyGraph:
    components = components_of(run.space)
    without_deciding_statistics(run.space, run.tape)
    without_neutral_sums(run.space, run.tape, components)
    lock_unread(run.space, run.tape)
    folds = folded(run.space, run.tape, _floats(run.modules.values()) if run.space.factors else frozenset())
    without_free_grids(run.space, components.by_edges, run.parameters.values())
    lock_held(run.space, components.by_edges)
    couplings = couplings_of(run.space, components)
    sides = np.zeros(run.space.count, dtype=np.int64)
    # what a layer reads is its input side, whatever products its weight is a part of beside
    for labels, side in sorted(run.roles, key=lambda role: role[1] == "in"):
        sides[labels[labels >= 0]] = 1 if side == "in" else 2
    record = Record(
        space=run.space,
        operations=tuple(run.operations),
        reference_operations=run.reference_operations,
        parameters=run.parameters,
        couplings=couplings,
        output_shapes=run.output_shapes,
        writes_parameters=run.writes_parameters,
        decides_by_values=run.with_values,
        sides=sides,
        folds=folds,
    )
    dimensions = dimensions_of(record)
    groups, locked = groups_of(record, dimensions)
    return DependencyGraph(
        model=run.model,
        example_inputs=example_inputs,
        layers=_layers(run),
        edges=tuple(run.edges),
        groups=groups,
        locked_groups=locked,
        locks=locks_of(record, dimensions),
        notes=tuple(run.notes),
        record=record,
    )


def _floats(modules: Iterable[nn.Module]) -> frozenset[float]:
    """Those that modules hold as attributes."""
    return frozenset(value for module in modules for value in vars(module).values() if type(value) is float)


def _layers(run: Run) -> tuple[Layer, ...]:
    macs: Counter[str] = Counter()
    for term in run.space.terms:
        if term.operation < run.reference_operations:
            macs[run.operations[term.operation].layer] += term.factor * prod([dim.size for dim in term.dims])
    return tuple(
        Layer(
            name=notes.name,
            module=notes.module,
            kind=notes.kind,
            is_module=notes.is_module,
            parameters=tuple(notes.parameters),
            input_shapes=tuple(notes.input_shapes),
            output_shape=notes.output_shape,
            source=notes.source,
            macs=macs[notes.name],
            input_labels=tuple([dim for dims in notes.input_dims for dim in dims if not isinstance(dim, Fixed)]),
            output_labels=tuple([dim for dim in notes.output_dims if not isinstance(dim, Fixed)]),
        )
        for notes in run.layers.values()
    )
