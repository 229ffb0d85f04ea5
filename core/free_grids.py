"""Grids that only come and go: dimensions that are merged for a product and taken apart again behind it.

`torch.einsum("rb,bio->rio", ...)` does so with i and o. Nothing holds the elements of such a grid, so whole rows and
whole columns can go at once, each by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from prunescope.core.expressions import dims_in
from prunescope.core.labels import Fixed, Grid, LabelSpace, Term, Vector
from prunescope.core.run import ParameterDims


def without_free_grids(space: LabelSpace, by_edges: Vector, parameters: Iterable[ParameterDims]) -> None:
    """Leave these grids out; what their elements cost is said by their rows and columns.

    Args:
        space: Of a whole run; its grids and terms are replaced.
        by_edges: (labels,) labels of one component are tied by edges.
        parameters: That the run read.
    """
    spoken_of = np.bincount(by_edges)[by_edges] > 1
    if not _unspoken(space.grids, spoken_of):
        return
    for labels in _spoken_of(space, parameters):
        spoken_of[labels[labels >= 0]] = True
    while free := _free(space, _unspoken(space.grids, spoken_of)):
        grid = {int(label): grid for grid in free for label in grid.elements}
        space.grids = [each for each in space.grids if not any(each is other for other in free)]
        space.terms = [_by_sides(term, grid) for term in space.terms]


def _unspoken(grids: Sequence[Grid], spoken_of: NDArray[np.bool_]) -> list[Grid]:
    return [grid for grid in grids if grid.elements.min() >= 0 and not spoken_of[grid.elements].any()]


def _spoken_of(space: LabelSpace, parameters: Iterable[ParameterDims]) -> Iterator[Vector]:
    """Labels that something but an edge is held by, asked of, or taken over."""
    for parameter in parameters:
        yield from (dim for dim in parameter.dims if not isinstance(dim, Fixed))
    yield from (lock.labels for lock in space.locks)
    yield from (statistic.labels for statistic in space.statistics)
    yield from space.competing
    for use in space.uses:
        yield from use.dims
    for factor in space.factors:
        yield from dims_in(factor.expression)


def _free(space: LabelSpace, unspoken: Sequence[Grid]) -> list[Grid]:
    """Those of whose elements nothing else speaks, another grid or a part of a product neither."""
    if not unspoken:
        return []
    grids = np.zeros(space.count, dtype=np.int64)  # how many each label is in
    for grid in space.grids:
        for labels in (grid.elements, grid.rows, grid.columns):
            grids[np.unique(labels[labels >= 0])] += 1
    whole = {_key(grid.elements) for grid in space.grids}
    in_parts = np.zeros(space.count, dtype=bool)
    for dim in (dim for term in space.terms for dim in term.dims):
        if _key(dim) not in whole:
            in_parts[dim[dim >= 0]] = True
    return [grid for grid in unspoken if not in_parts[grid.elements].any() and (grids[grid.elements] == 1).all()]


def _by_sides(term: Term, grids: dict[int, Grid]) -> Term:
    dims: list[Vector] = []
    for dim in term.dims:
        grid = grids.get(int(dim[0])) if dim.size else None
        dims.extend((dim,) if grid is None else (grid.rows, grid.columns))
    return term._replace(dims=tuple(dims))


def _key(labels: Vector) -> bytes:
    """The same for the same labels in any order."""
    return np.sort(labels).tobytes()
