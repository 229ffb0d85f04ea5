"""Dimensions that the code wants as large as ones that cannot be cut (`x.reshape(B, N, C)`): they cannot be either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prunescope.core.expressions import OfAttribute, OfDim, SizeUse
from prunescope.core.labels import LabelSpace, Locked, Vector

HELD = "the code asks for it in a size that cannot change"


def lock_held(space: LabelSpace, component: Vector) -> None:
    """Lock the labels of dimensions whose size has to stay.

    Args:
        space: Of a run whose other locks are known.
        component: (labels,) labels of one component are tied by edges.
    """
    locked = np.zeros(int(component.max(initial=-1)) + 1, dtype=bool)
    for lock in space.locks:
        locked[component[lock.labels]] = True
    waiting, before = _alike(space.uses), -1
    # a size that stays may hold one that was asked for earlier
    while len(waiting) != before:
        before = len(waiting)
        waiting = [uses for uses in waiting if not _is_held(space, uses, component, locked)]


def _is_held(space: LabelSpace, uses: Sequence[SizeUse], component: Vector, locked: NDArray[np.bool_]) -> bool:
    """Whether one of the sizes that are equal stays; what is free of the others is locked then, in `locked` too."""
    sides = [side for use in uses for side in (use.wanted, *use.dims)]
    if not any(_stays(side, component, locked) for side in sides):
        return False
    for use in uses:
        for labels in use.dims:
            free = labels[(labels >= 0) & ~locked[component[labels]]]
            if free.size:
                space.locks.append(Locked(free, HELD, use.operation))
                locked[component[free]] = True
    return True


def _alike(uses: Sequence[SizeUse]) -> list[list[SizeUse]]:
    """Uses that say together that some dimensions are equally large: of a dimension's size, or of one attribute."""
    by_attribute: dict[object, list[SizeUse]] = defaultdict(list)
    found: list[list[SizeUse]] = []
    for use in uses:
        if use.apart:
            continue
        if isinstance(use.expression, OfDim):
            found.append([use])
        elif isinstance(use.expression, OfAttribute):
            by_attribute[use.expression.key].append(use)
    return [*found, *(alike for alike in by_attribute.values() if len(alike) > 1)]


def _stays(side: Vector | int, component: Vector, locked: NDArray[np.bool_]) -> bool:
    """Whether a size is a number, or none of a dimension's units can go."""
    if isinstance(side, int):
        return True
    labels = side[side >= 0]
    return bool(locked[component[labels]].all())
