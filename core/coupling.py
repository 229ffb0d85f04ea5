"""Labels -> connected components, for each way to cut the grids of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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
    ways = (True, False) if space.grids else (True,)
    return tuple(_coupling(space, components, by_rows) for by_rows in ways)


def _coupling(space: LabelSpace, components: Components, by_rows: bool) -> Coupling:
    before = components.by_edges
    locked, competing = (np.zeros(before.max(initial=-1) + 1, dtype=bool) for _ in range(2))
    for lock in space.locks:
        locked[before[lock.labels]] = True
    for labels in space.competing:
        competing[before[labels[labels >= 0]]] = True
    ties = LabelSpace(count=space.count, reasons=space.reasons, _reason_codes=space._reason_codes)
    kinds: list[tuple[bool, Vector, str]] = []
    for grid in space.grids:
        open_rows, open_columns = _open_ways(grid, locked, before)
        rows = _rows_come_first(grid, competing, before) == by_rows if open_rows == open_columns else open_rows
        _tie(ties, grid, rows, _are_the_same(before[grid.rows], before[grid.columns]))
        kinds.append((open_rows and open_columns, grid.elements, grid.row_kind if rows else grid.column_kind))
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


def _open_ways(grid: Grid, locked: NDArray[np.bool_], component: Vector) -> tuple[bool, bool]:
    """Whether any whole row, and any whole column, of a grid can be cut."""
    rows, columns = (bool((~locked[component[labels[labels >= 0]]]).any()) for labels in (grid.rows, grid.columns))
    return rows, columns


def _rows_come_first(grid: Grid, competing: NDArray[np.bool_], component: Vector) -> bool:
    """Whole rows come first, but units that compete behind others."""
    rows, columns = _open_ways(grid, competing, component)
    return rows or not columns


def _are_the_same(rows: Vector, columns: Vector) -> bool:
    return rows.size == columns.size and bool((rows == columns).all())


def _tie(ties: LabelSpace, grid: Grid, by_rows: bool, both: bool) -> None:
    """Elements go with their row, and the columns stay whole; or the other way round. `both`: these are the same."""
    ties.operation = grid.operation
    rows, columns = grid.rows.size, grid.columns.size
    kind, stays = (grid.row_kind, grid.columns) if by_rows else (grid.column_kind, grid.rows)
    ties.join(grid.elements, np.repeat(grid.rows, columns) if by_rows else np.tile(grid.columns, rows))
    ties.lock(stays, BOTH_WAYS if both else f"whole {kind} are cut here")


def _both_ways(grid: Grid) -> list[Edges]:
    rows, columns = np.repeat(grid.rows, grid.columns.size), np.tile(grid.columns, grid.rows.size)
    return [
        Edges(side[keep], grid.elements[keep], grid.operation)
        for side in (rows, columns)
        for keep in [(side >= 0) & (grid.elements >= 0)]
    ]


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
