"""Sequences of several lengths, packed one step of all after the other, and unpacked again."""

from __future__ import annotations

from collections.abc import Sequence

from prunescope.core.labels import Dims, Fixed
from prunescope.core.rules.table import Call, register

STEPS = Fixed("its indices are steps of sequences or sequences")


@register("aten._pack_padded_sequence")
def pack(call: Call) -> Sequence[Dims]:
    """(T, N, ...) or (N, T, ...) -> (steps of all, ...), and how many sequences have each step."""
    first, second, *features = call.labels(call["input"])
    for dim in (first, second, *call.labels(call["lengths"])):
        call.space.lock(dim, STEPS.reason)
    return [(STEPS, *features), (STEPS,)]


@register("aten._pad_packed_sequence")
def pad(call: Call) -> Sequence[Dims]:
    """(steps of all, ...) -> (T, N, ...) or (N, T, ...), and the lengths."""
    steps, *features = call.labels(call["data"])
    for dim in (steps, *call.labels(call["batch_sizes"])):
        call.space.lock(dim, STEPS.reason)
    return [(STEPS, STEPS, *features), (STEPS,)]
