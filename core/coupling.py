"""Labels -> connected components, for each way to cut the grids of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from prunescope.core.labels import COMPETING_UNITS, Edges, Grid, LabelSpace, Locked, Vector

PLAIN_KIND = "channels"
BOTH_WAYS = "it is the rows and the columns of one dimension, which cannot be cut both ways at once"


@dataclass(frozen=True, slots=True)
class Coupling:
    """One way to cut the whole model: by rows of every grid, or by columns, where the grid allows it."""

    component: Vector  # (labels,) labels of one component stay or go together
    lock: Vector  # (components,) position in `locks` of what locks it, -1 where nothing does
    locks: tuple[Locked, ...]
    kind: Vector  # (components,) position in `kinds` of what a unit is
    kinds: tuple[str, ...]
    family: Vector  # (labels,) labels of one family are tied by edges or grids
    edges: tuple[Edges, ...]


@dataclass(frozen=True, slots=True)
class Components:
    """What ties labels before a way to cut is chosen."""

    by_edges: Vector  # (labels,) labels of one component are tied by edges alone
    family: Vector  # (labels,) labels of one family are tied by edges or grids


def components_of(space: LabelSpace) -> Components:
    by_edges = _components(space.count, space.edges, space.made)
    return Components(by_edges, _joined(by_edges, [edge for grid in space.grids for edge in _both_ways(grid)]))


def couplings_of(space: LabelSpace, components: Components) -> tuple[Coupling, ...]:
    """One coupling for a model without grids, else two: whole rows first (heads), whole columns first."""
    choices = _choices(space, components.by_edges)
    return tuple(_coupling(space, components, choices, way) for way in ((0, 1) if choices else (0,)))


class _Choice(NamedTuple):
    """How a grid can be cut."""

    grid: Grid
    by_rows: tuple[bool, bool]  # whether the first way cuts whole rows, and the second
    is_open: bool  # whether rows and columns can both be cut
    is_square: bool  # whether rows and columns are the same units


def _choices(space: LabelSpace, component: Vector) -> list[_Choice]:
    locked, competing = (np.zeros(component.max(initial=-1) + 1, dtype=bool) for _ in range(2))
    for lock in space.locks:
        locked[component[lock.labels]] = True
    for labels in space.competing:
        competing[component[labels[labels >= 0]]] = True
    return [_choice(grid, component, locked, competing) for grid in space.grids]


def _choice(grid: Grid, component: Vector, locked: NDArray[np.bool_], competing: NDArray[np.bool_]) -> _Choice:
    """Whole rows come first, but units that compete behind others; only one side where the other cannot be cut."""
    rows, columns = (component[labels[labels >= 0]] for labels in (grid.rows, grid.columns))
    open_rows, open_columns = (not locked[side].all() for side in (rows, columns))
    rows_first = not competing[rows].all() or bool(competing[columns].all())
    by_rows = (rows_first, not rows_first) if open_rows == open_columns else (open_rows, open_rows)
    return _Choice(grid, by_rows, open_rows and open_columns, np.array_equal(rows, columns))


def _coupling(space: LabelSpace, components: Components, choices: Sequence[_Choice], way: int) -> Coupling:
    before = components.by_edges
    ties = LabelSpace(count=space.count, reasons=space.reasons, _reason_codes=space._reason_codes)
    kinds: list[tuple[bool, Vector, str]] = []
    for choice in choices:
        grid, by_rows = choice.grid, choice.by_rows[way]
        _tie(ties, grid, by_rows, choice.is_square)
        kinds.append((choice.is_open, grid.elements, grid.row_kind if by_rows else grid.column_kind))
    edges, locks = (*space.edges, *ties.edges), (*space.locks, *ties.locks)
    component = _joined(before, ties.edges)
    count = int(component.max(initial=-1)) + 1
    lock_of = np.full(count, -1, dtype=np.int64)
    for n in range(len(locks) - 1, -1, -1):
        lock_of[component[locks[n].labels]] = n
    named = {PLAIN_KIND: 0}
    kind = np.zeros(count, dtype=np.int64)
    # a grid that leaves a choice says what is chosen, before one that can be cut in one way only
    for _, labels, name in sorted(kinds, key=lambda kind: kind[0]):
        kind[component[labels[labels >= 0]]] = named.setdefault(name, len(named))
    for labels in space.competing:
        kind[component[labels[labels >= 0]]] = named.setdefault(COMPETING_UNITS, len(named))
    return Coupling(component, lock_of, locks, kind, tuple(named), components.family, edges)


def _tie(ties: LabelSpace, grid: Grid, by_rows: bool, both: bool) -> None:
    """Elements go with their row, and the columns stay whole; or the other way round. `both`: these are the same."""
    ties.operation = grid.operation
    kind, stays = (grid.row_kind, grid.columns) if by_rows else (grid.column_kind, grid.rows)
    ties.join(grid.elements, _rows_of(grid) if by_rows else _columns_of(grid))
    ties.lock(stays, BOTH_WAYS if both else f"whole {kind} are cut here")


def _both_ways(grid: Grid) -> list[Edges]:
    return [
        Edges(side[keep], grid.elements[keep], grid.operation)
        for side in (_rows_of(grid), _columns_of(grid))
        for keep in [(side >= 0) & (grid.elements >= 0)]
    ]


def _rows_of(grid: Grid) -> Vector:
    """(R * C,) the row of every element"""
    return np.repeat(grid.rows, grid.columns.size)


def _columns_of(grid: Grid) -> Vector:
    # NumPy's own tile takes several times as long
    return np.broadcast_to(grid.columns, (grid.rows.size, grid.columns.size)).reshape(-1)


def _joined(component: Vector, edges: Sequence[Edges]) -> Vector:
    """The components that these become with more edges between their labels."""
    if not edges:
        return component
    between = [Edges(component[edge.left], component[edge.right], edge.operation) for edge in edges]
    return _components(int(component.max()) + 1, between)[component]


def _components(count: int, edges: Sequence[Edges], made: Sequence[Vector] = ()) -> Vector:
    """`made`: dimensions whose labels were made for them alone, one behind the other."""
    if not edges:
        return np.arange(count, dtype=np.int64)
    following, tied = _parted(count, edges, made)
    searched = np.ones(count, dtype=bool)
    for follower, _ in following:
        searched[follower[0] : follower[-1] + 1] = False
    component: Vector = np.cumsum(searched) - 1
    if tied:
        left, right = (component[np.concatenate([getattr(edge, side) for edge in tied])] for side in ("left", "right"))
        size = int(component[-1]) + 1
        matrix = coo_array((np.ones(left.size, dtype=np.int8), (left, right)), shape=(size, size))
        component = connected_components(matrix, directed=False)[1].astype(np.int64)[component]
    for follower, leader in following:
        component[follower[0] : follower[-1] + 1] = component[leader]
    return component


def _parted(
    count: int, edges: Sequence[Edges], made: Sequence[Vector]
) -> tuple[list[tuple[Vector, Vector]], list[Edges]]:
    """Dimensions that one edge alone ties, as most are (a bias, a norm), with what they follow; the other edges.

    To search the labels of the others only is several times as fast.
    """
    whole = {id(dim) for dim in made}
    uses = Counter(id(labels) for edge in edges for labels in (edge.left, edge.right))
    parts = {id(labels): labels for edge in edges for labels in (edge.left, edge.right) if id(labels) not in whole}
    touched = np.zeros(count, dtype=bool)
    for labels in parts.values():
        touched[labels] = True
    sizes = np.array([dim.size for dim in made], dtype=np.int64)
    stops = np.cumsum(sizes)
    before = np.concatenate([[0], np.cumsum(touched)])  # how many labels before each are touched
    untouched = before[stops] == before[stops - sizes]
    alone = {id(dim) for dim, free in zip(made, untouched.tolist(), strict=True) if free and uses[id(dim)] == 1}
    following: list[tuple[Vector, Vector]] = []
    tied: list[Edges] = []
    for edge in edges:
        if id(edge.right) in alone:
            following.append((edge.right, edge.left))
        elif id(edge.left) in alone:
            following.append((edge.left, edge.right))
        else:
            tied.append(edge)
    return following, tied
