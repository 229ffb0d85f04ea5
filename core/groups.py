"""Connected components of labels -> groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.core.coupling import PLAIN_KIND, Coupling
from prunescope.core.expressions import Derived
from prunescope.core.graph import Group, Lock, Member
from prunescope.core.labels import POSITIONS, Fixed, Vector

if TYPE_CHECKING:
    from prunescope.core.trace import Record

_SIDES: tuple[Literal["both", "in", "out"], ...] = ("both", "in", "out")


class Dimension(NamedTuple):
    """A parameter dimension with labels."""

    parameter: str
    dim: int
    labels: Vector  # consecutive
    layer: str
    is_buffer: bool


@dataclass(frozen=True, slots=True)
class _Column:
    """Dimensions that hold the same units at the same indices: a weight and its norm, say. One stands for all."""

    positions: list[int]  # in the list of all dimensions; their first stands for all
    labels: Vector  # of the first
    components: Vector  # of those labels


def dimensions_of(record: Record) -> list[Dimension]:
    """Every parameter dimension with labels, in the order of their labels."""
    return [
        Dimension(parameter.name, d, dim, parameter.name.rpartition(".")[0], parameter.is_buffer)
        for parameter in record.parameters.values()
        for d, dim in enumerate(parameter.dims)
        if not isinstance(dim, Fixed)
    ]


def _columns(dimensions: Sequence[Dimension], coupling: Coupling) -> list[_Column]:
    found: dict[bytes, _Column] = {}
    for position, dimension in enumerate(dimensions):
        first = dimension.labels[0]
        components = coupling.component[first : first + dimension.labels.size]
        column = found.setdefault(components.tobytes(), _Column([], dimension.labels, components))
        column.positions.append(position)
    return list(found.values())


def groups_of(record: Record, dimensions: Sequence[Dimension]) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """The groups that can be cut and the ones that cannot, in the order in which the model reads their parameters."""
    gridded = _gridded_families(record)
    found = _groups_in(record, dimensions, 0, np.ones_like(gridded))
    if len(record.couplings) > 1:
        # a family without a grid is cut in one way only: the first coupling has it
        in_grids = gridded[record.couplings[1].family]
        found += _groups_in(record, [dim for dim in dimensions if in_grids[dim.labels].any()], 1, gridded)
        found = _without_repeats(found)
    names: dict[str, int] = {}
    groups: list[Group] = []
    locked: list[Group] = []
    for _, group in sorted(found, key=lambda pair: (pair[1].option, pair[0])):
        (locked if group.lock else groups).append(group)
    return _numbered(groups, 0, names), _numbered(locked, len(groups), names)


def _has_units(coupling: Coupling) -> NDArray[np.bool_]:
    """(components,) False for pixels and kernel taps, which nobody takes for units."""
    positions = [lock.reason == POSITIONS.reason for lock in coupling.locks]
    # -1, nothing locks it, reads the last entry
    return ~np.array([*positions, False])[coupling.lock]


def _gridded_families(record: Record) -> NDArray[np.bool_]:
    family = record.couplings[0].family
    gridded = np.zeros(int(family.max(initial=-1)) + 1, dtype=bool)
    for grid in record.space.grids:
        gridded[family[grid.elements[grid.elements >= 0]]] = True
    return gridded


def _groups_in(
    record: Record, dimensions: Sequence[Dimension], option: int, families: NDArray[np.bool_]
) -> list[tuple[int, Group]]:
    """Components that touch the same parameter dimensions form a group; `families`: (families,) which are wanted."""
    coupling = record.couplings[option]
    columns = _columns(dimensions, coupling)
    if not columns:
        return []
    label, component = (
        np.concatenate([getattr(column, name) for column in columns]) for name in ("labels", "components")
    )
    lengths = [column.labels.size for column in columns]
    owner = np.repeat(np.arange(len(columns)), lengths)
    index = np.concatenate([np.arange(length) for length in lengths])
    wanted = _has_units(coupling)[component] & families[coupling.family[label]]
    # the rows are in the order of column and index already
    order = wanted.nonzero()[0]
    order = order[np.argsort(component[order], kind="stable")]
    if not order.size:
        return []
    label, column, index, component = label[order], owner[order], index[order], component[order]
    runs = _starts(component)  # where the rows of each component begin
    sizes = np.diff(runs, append=label.size)
    signature = _signatures(component, column, runs, len(columns), coupling, _slices(record))
    first = np.minimum.reduceat(label, runs)
    group_first = np.full(int(signature.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(group_first, signature, first)
    # rows of one group together, its units in the order of their first label, column by column
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    owner = np.repeat(signature, sizes)
    key = (owner * len(columns) + column) * first.size + np.repeat(rank, sizes)
    order = np.argsort(key, kind="stable")
    rows = _Rows(*(values[order] for values in (label, column, index, component, owner)))
    statistics = _statistics(record, coupling, rows.component[_starts(rows.owner)])
    return [
        (
            int(group_first[part]),
            _group(record, option, rows.component[at], int(rows.label[at.start]), found, statistics),
        )
        for part, at, found in _members(record, dimensions, columns, rows, np.bincount(signature))
    ]


def _slices(record: Record) -> list[Vector]:
    """Labels that the code takes as a computed share of a dimension (`x[:, : C // 4]`): as much of each has to stay."""
    asked = (use.wanted for use in record.space.uses if isinstance(use.expression, Derived) and not use.apart)
    return [labels for labels in asked if isinstance(labels, np.ndarray)]


def _signatures(
    component: Vector, column: Vector, runs: Vector, columns: int, coupling: Coupling, slices: Sequence[Vector]
) -> Vector:
    """A number for each run of a component: equal where the columns, the slices, the lock and the kind are equal."""
    present = component[runs]
    new = np.zeros(component.size, dtype=bool)
    new[_starts(component, column)] = True
    locks, hashed = len(coupling.locks) + 1, np.random.default_rng(0)
    weights, lock_weights, kind_weights, slice_weights = (
        hashed.integers(0, 2**63, size=size, dtype=np.uint64)
        for size in (columns, locks, len(coupling.kinds), len(slices))
    )
    total = np.add.reduceat(np.where(new, weights[column], 0), runs)
    total += lock_weights[coupling.lock[present]] + kind_weights[coupling.kind[present]]
    sliced = np.zeros(coupling.lock.size, dtype=np.uint64)
    for weight, labels in zip(slice_weights, slices, strict=True):
        sliced[coupling.component[labels[labels >= 0]]] += weight
    total += sliced[present]
    # components of one group mostly follow each other, and a look takes less time than a sort
    starts = _starts(total)
    signature = np.unique(total[starts], return_inverse=True)[1].reshape(-1).astype(np.int64)
    return np.repeat(signature, np.diff(starts, append=total.size))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Indices of columns, one a row: group by group, column by column, unit by unit."""

    label: Vector
    column: Vector  # the column's number
    index: Vector
    component: Vector
    owner: Vector  # the group's number


def _starts(*columns: Vector) -> Vector:
    """Where runs of rows that are equal in all columns begin."""
    new = np.ones(columns[0].size, dtype=bool)
    new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return new.nonzero()[0]


def _members(
    record: Record, dimensions: Sequence[Dimension], columns: Sequence[_Column], rows: _Rows, units: Vector
) -> list[tuple[int, slice, list[Member]]]:
    """For each group its number, the rows of its first member and all its members; `units`: how many each has."""
    found: list[tuple[int, slice, dict[int, Member]]] = []
    starts = _starts(rows.owner, rows.column)
    stops = np.append(starts[1:], rows.label.size)
    runs = (starts, stops, rows.owner[starts], rows.column[starts])
    sides = iter(_sides(record, dimensions, [columns[number].positions for number in runs[-1]], rows.index[starts]))
    for start, stop, part, number in zip(*(values.tolist() for values in runs), strict=True):
        at = slice(start, stop)
        if not found or found[-1][0] != part:
            found.append((part, at, {}))
        indices = _by_unit(rows.index[at], rows.component[at], int(units[part]))
        for position in columns[number].positions:
            name, dim, labels, layer, is_buffer = dimensions[position]
            side = _SIDES[next(sides)]
            found[-1][2][position] = Member(name, dim, labels.size, side, layer, is_buffer, indices)
    return [(part, at, [members[position] for position in sorted(members)]) for part, at, members in found]


def _sides(record: Record, dimensions: Sequence[Dimension], positions: Sequence[list[int]], index: Vector) -> list[int]:
    """The side, as the record has it, of each dimension in lists of positions, at the index of its list."""
    first = np.array([dimension.labels[0] for dimension in dimensions])
    lengths = [len(part) for part in positions]
    labels = first[np.concatenate(positions)] + np.repeat(index, lengths)
    sides: list[int] = record.sides[labels].tolist()
    return sides


def _group(
    record: Record,
    option: int,
    component: Vector,
    label: int,
    members: list[Member],
    statistics: Mapping[int, tuple[str, ...]],
) -> Group:
    """The group of these members; `component` and `label`: of the rows of the first, and of the first of them."""
    coupling = record.couplings[option]
    units = component[_starts(component)]
    first = int(units[0])
    owner = next((member for member in members if member.side != "in"), members[0])
    return Group(
        index=-1,
        name=owner.layer or owner.parameter,
        kind=coupling.kinds[coupling.kind[first]],
        size=units.size,
        members=tuple(members),
        family=int(coupling.family[label]),
        statistics=statistics.get(first, ()),
        lock=_group_lock(record, coupling, int(coupling.lock[first]), members, units.size),
        components=units,
        option=option,
    )


def _statistics(record: Record, coupling: Coupling, components: Vector) -> dict[int, tuple[str, ...]]:
    """Of these components, those over whose labels layers take a statistic, and the names of the layers."""
    wanted = np.zeros(coupling.lock.size, dtype=bool)
    wanted[components] = True
    found: dict[int, dict[str, None]] = {}
    for statistic in record.space.statistics:
        layer = record.operations[statistic.operation].layer
        over = coupling.component[statistic.labels[statistic.labels >= 0]]
        for component in over[wanted[over]].tolist():
            found.setdefault(component, {})[layer] = None
    return {component: tuple(layers) for component, layers in found.items()}


def _by_unit(index: Vector, component: Vector, units: int) -> Vector | tuple[Vector, ...]:
    """The indices of each unit, from indices that are sorted by unit; every unit holds one or more."""
    if index.size == units:
        return index.reshape(units, 1)
    if index.size % units == 0:
        table = component.reshape(units, -1)
        if (table == table[:, :1]).all():
            return index.reshape(units, -1)
    return tuple(np.split(index, np.flatnonzero(component[1:] != component[:-1]) + 1))


def _group_lock(record: Record, coupling: Coupling, lock: int, members: list[Member], units: int) -> Lock | None:
    member = members[0]
    if lock >= 0:
        found = coupling.locks[lock]
        operation = record.operations[found.operation]
        return Lock(member.parameter, member.dim, units, member.size, found.reason, operation.layer, operation.source)
    if units > 1:
        return None
    reason = "it has a single unit: all its indices are coupled with each other"
    return Lock(member.parameter, member.dim, units, member.size, reason, member.layer, "")


def _without_repeats(found: list[tuple[int, Group]]) -> list[tuple[int, Group]]:
    """Both couplings may give the same group: keep the first."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for first, group in found:
        key = tuple((m.parameter, m.dim, _bytes(m.indices), len(m.indices)) for m in group.members)
        if key not in seen:
            seen.add(key)
            kept.append((first, group))
    return kept


def _bytes(indices: Vector | tuple[Vector, ...]) -> bytes:
    return (indices if isinstance(indices, np.ndarray) else np.concatenate(indices)).tobytes()


def _numbered(groups: list[Group], start: int, names: dict[str, int]) -> tuple[Group, ...]:
    result = []
    for n, group in enumerate(groups):
        name = group.name if group.kind == PLAIN_KIND else f"{group.name} ({group.kind})"
        names[name] = names.get(name, 0) + 1
        unique = name if names[name] == 1 else f"{name} [{names[name]}]"
        result.append(replace(group, index=start + n, name=unique))
    return tuple(result)


def locks_of(record: Record, dimensions: Sequence[Dimension]) -> tuple[Lock, ...]:
    """Every parameter dimension that cannot be cut, or the part of it, whichever way the grids are cut."""
    result = []
    first = record.couplings[0]
    told = np.array([*(lock.reason != POSITIONS.reason for lock in first.locks), False])[first.lock][first.component]
    before = np.concatenate([[0], np.cumsum(told)])  # how many labels before each are told of
    starts = np.array([dimension.labels[0] for dimension in dimensions], dtype=np.int64)
    stops = starts + np.array([dimension.labels.size for dimension in dimensions], dtype=np.int64)
    for number in (before[starts] < before[stops]).nonzero()[0].tolist():
        dimension = dimensions[number]
        dim = dimension.labels
        locks = [coupling.lock[coupling.component[dim]] for coupling in record.couplings]
        everywhere = np.all([lock >= 0 for lock in locks], axis=0)
        for n in np.unique(locks[0][everywhere]).tolist():
            found = first.locks[n]
            operation = record.operations[found.operation]
            if found.reason == POSITIONS.reason:
                continue
            units = int((everywhere & (locks[0] == n)).sum())
            where = (operation.layer, operation.source)
            result.append(Lock(dimension.parameter, dimension.dim, units, dim.size, found.reason, *where))
    return tuple(result)
