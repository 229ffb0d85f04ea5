"""Indices that the run did not read: positions beyond the traced length, a piece of a split that nothing takes up.

What they are for cannot be seen from the run, so they stay.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from prunescope.core.labels import Fixed, LabelSpace, Locked, Vector
from prunescope.core.linear import TAKES_ALL_PARTS, TAKES_PARTS, TAKES_WHOLE, along, indices, linear
from prunescope.core.tape import Tape, Value

UNREAD = "no operation of the run reads it"


def lock_unread(space: LabelSpace, tape: Tape) -> None:
    """Lock the labels of indices that were taken apart from others and then left alone."""
    taken_apart = (_origin(tape, step.operands[0]) for step in tape.steps if step.name in TAKES_PARTS)
    read = np.zeros(space.count, dtype=bool)
    unread: list[tuple[Vector, int]] = []
    for value in dict.fromkeys(taken_apart):
        whole = _read_as_a_whole(tape, value)
        for d, dim in enumerate(value.dims):
            if isinstance(dim, Fixed):
                continue
            seen = np.arange(dim.size) if whole or _is_read_in_a_part(tape, value, dim) else _read(tape, value, d)
            left = np.delete(dim, seen)
            unread.append((left[left >= 0], tape.readers[value][0]))
            seen = dim[seen]
            read[seen[seen >= 0]] = True
    for labels, operation in unread:
        # a layer that is called again may be read whole the next time
        missed = labels[~read[labels]]
        if missed.size:
            space.locks.append(Locked(missed, UNREAD, operation))


def _origin(tape: Tape, value: Value) -> Value:
    """The parameter, or the result of an operation, whose elements a value has."""
    step = tape.producers.get(value)
    while step is not None and step.name in TAKES_WHOLE | TAKES_PARTS:
        value = step.operands[0]
        step = tape.producers.get(value)
    return value


def _read_as_a_whole(tape: Tape, value: Value) -> bool:
    """Whether operations that compute read all of it, one by itself or each a part of it, whatever others do."""
    if value in tape.results:
        return True
    for position in tape.readers.get(value, ()):
        step = tape.steps[position]
        if step.name in TAKES_ALL_PARTS and all(_read_as_a_whole(tape, output) for output in step.outputs):
            return True
        if step.name in TAKES_PARTS:
            continue
        if step.name not in TAKES_WHOLE or _read_as_a_whole(tape, step.outputs[0]):
            return True
    return False


def _is_read_in_a_part(tape: Tape, value: Value, labels: Vector) -> bool:
    """Whether something that was taken of it, and has this dimension as it is, is read as a whole."""
    parts = (
        output
        for position in tape.readers.get(value, ())
        for step in [tape.steps[position]]
        if step.name in TAKES_WHOLE | TAKES_PARTS
        for output in step.outputs
        if any(dim is labels for dim in output.dims)
    )
    return any(_read_as_a_whole(tape, part) or _is_read_in_a_part(tape, part, labels) for part in parts)


def _read(tape: Tape, value: Value, dim: int) -> Vector:
    """The indices of a dimension that an operation that computes reads, of a value that none reads as a whole."""
    marks: dict[Value, Tensor] = {value: along(value.shape, dim, torch.arange(value.shape[dim]))}
    read: list[Tensor] = []
    for position in tape.after(marks):
        step = tape.steps[position]
        rule = linear(step)
        assert rule is not None, f"{step.name} computes"
        for output, mark in zip(step.outputs, rule.push(step, 0, marks[step.operands[0]]), strict=True):
            if mark is None:
                continue
            if _read_as_a_whole(tape, output):
                read.append(mark)
            else:
                marks[output] = mark
    return indices(read)
