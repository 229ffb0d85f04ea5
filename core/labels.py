"""Labels: every index of every parameter dimension has a number, and the numbers flow with the values.

A tensor that is traced carries one *dimension label* for each of its dimensions:

* a vector of integers as long as the dimension. An entry >= 0 is a label: this index comes and goes with every other
  index that is connected to the same label. An entry < 0 is an index that cannot go; it encodes the reason.
* or `Fixed`, a whole dimension with nothing to remove (batch, pixels, tokens, the model's input), with the reason.

Operations that force two dimensions to keep the same indices add *edges* between labels. A dimension that is taken
apart into rows and columns adds a *grid*: index (i, j) is removed exactly when row i or column j is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from prunescope.core.expressions import AttributeKey, Expression, SizeUse

Vector: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A dimension with no unit to remove."""

    reason: str  # why not, in words that follow "cannot be cut: "


Dim: TypeAlias = Vector | Fixed
Dims: TypeAlias = tuple[Dim, ...]

ONE_INDEX = Fixed("it has a single index")
POSITIONS = Fixed("its indices are positions")  # pixels, kernel taps: never units, so not worth a word to the user
CHANNEL_GROUPS = ("channel groups", "channels in every group")  # the two ways to cut a dimension that is in groups
COMPETING_UNITS = "competing units"  # what a softmax runs over: shares of one whole, as of a distribution
COMPETING = "its indices compete for the input, they are not summed over"  # experts, rows that a router chooses among
NEIGHBOURS = (
    "neighbouring indices are computed with together"  # of a dimension that a convolution or pooling runs along
)
CONSTANT = Fixed("it meets a size that is fixed in code")


class Edges(NamedTuple):
    """Labels that an operation ties together, pair by pair: `left[i]` stays or goes with `right[i]`."""

    left: Vector
    right: Vector
    operation: int  # index of the operation that ties them


@dataclass(frozen=True, slots=True)
class Locked:
    """Labels that cannot be removed."""

    labels: Vector
    reason: str
    operation: int  # index of the operation that fixes them


@dataclass(frozen=True, slots=True)
class Grid:
    """One dimension seen as rows x columns. Element (i, j) is removed exactly when row i or column j is."""

    elements: Vector  # (R * C,) labels of the whole dimension, row by row
    rows: Vector  # (R,) labels of the rows
    columns: Vector  # (C,) labels of the columns
    row_kind: str  # what a row is called when whole rows are cut, e.g. "heads"
    column_kind: str  # what a column is called when whole columns are cut, e.g. "head dimensions"
    operation: int  # index of the operation that first took the dimension apart


@dataclass(frozen=True, slots=True)
class Statistic:
    """A normalisation or a reduction that runs over labels that may be cut: its result is of those that are left."""

    labels: Vector
    operation: int
    dim: int  # of the operand, the first one but in some products, which the labels belong to
    power: float = 0.0  # the code multiplies the result by so much a power of their number: -1 makes a sum a mean


class Term(NamedTuple):
    """A product of dimension sizes: `factor` times the sizes of `dims`. Multiply-accumulates of one operation."""

    operation: int
    factor: int
    dims: tuple[Vector, ...]


@dataclass(frozen=True, slots=True)
class FactorUse:
    """A product with what the code made of a size."""

    steps: range  # indices of the operations that the product came apart into
    number: float  # what it had made
    power: float | None  # of the size, of which `number` is a multiple; None where the way there was lost


@dataclass(slots=True, eq=False)
class Factor:
    """The code made a fraction of a size (`C ** -0.5`, `2 / C`), or took it into arithmetic with a tensor."""

    expression: Expression
    value: int  # of the size, before any cut
    times: float  # what the code divided by the size, or the size by
    certain: bool  # False where the size became a plain number, which need not be made a factor of
    operation: int  # index of the last operation before
    of_layer: AttributeKey | None = None  # size attribute of torch's layer that the code read for nothing else
    used: list[FactorUse] = field(default_factory=list)
    is_lost: bool = False  # the code has its value too, without its origin
    is_answered: bool = False  # it was rounded to a size, or compared, so that it need be no factor


REPEATED = "it repeats a single index a fixed number of times"
BY_POSITION = "its indices are taken by position in the code"


@dataclass(frozen=True, slots=True)
class Sliced:
    """A dimension of which a slice was taken in steps of one; whether its bounds can follow a cut is not known yet."""

    labels: Vector  # of the whole dimension
    start: int
    stop: int


_BLOCK = 1 << 15  # labels that are made at once


def counted_by(dim: Dim, position: int) -> Dim:
    """The indices of a dimension that a number in the code is counted by, itself among them: from 0 or from the end."""
    if isinstance(dim, Fixed):
        return dim
    return dim[position:] if position < 0 else dim[: position + 1]


@dataclass
class LabelSpace:
    """All labels of one trace and what ties them. The rules write to it while the model runs."""

    count: int = 0
    operation: int = 0  # index of the operation whose rule is at work
    made: list[Vector] = field(default_factory=list)  # every dimension that got labels of its own, as `new` gave it
    edges: list[Edges] = field(default_factory=list)
    locks: list[Locked] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    statistics: list[Statistic] = field(default_factory=list)
    competing: list[Vector] = field(default_factory=list)  # labels of units that share one whole
    terms: list[Term] = field(default_factory=list)
    uses: list[SizeUse] = field(default_factory=list)
    factors: list[Factor] = field(default_factory=list)
    supposed: list[SizeUse] = field(default_factory=list)  # of attributes that only their value tells
    kept_attributes: set[AttributeKey] = field(default_factory=set)  # of torch's layers, whose value a factor needs
    # since the last call of torch from the code: what is waiting for the code's own sizes
    slices: list[Sliced] = field(default_factory=list)
    lists: list[list[int]] = field(default_factory=list)  # lists of numbers in the key of the call at work
    factors_at_work: list[Dims] = field(default_factory=list)  # of the matrix product at work
    only_values: bool = False  # whether the call at work leaves away the places of the values that it gives
    by_size: bool = True  # whether the call at work repeats as often as a size of the code says, not a number
    repeats: list[Vector] = field(default_factory=list)  # labels of a single index that was repeated
    reasons: list[str] = field(default_factory=list)
    _numbers: Vector = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # labels are parts of it
    _first_number: int = 0  # the first of them
    _reason_codes: dict[str, int] = field(default_factory=dict)
    _split_grids: dict[tuple[bytes, int], Grid] = field(default_factory=dict)
    _merged: dict[tuple[bytes, bytes], Vector] = field(default_factory=dict)
    _elements: dict[frozenset[bytes], tuple[list[bytes], Vector]] = field(default_factory=dict)
    _parts: dict[bytes, list[tuple[Dim, int]]] = field(
        default_factory=dict
    )  # a merged dimension -> what of, with sizes

    def new(self, size: int) -> Vector:
        """`size` fresh labels, consecutive."""
        first, self.count = self.count, self.count + size
        if self.count > self._first_number + self._numbers.size:
            self._first_number = first
            self._numbers = np.arange(first, first + max(size, _BLOCK), dtype=np.int64)
            self._numbers.flags.writeable = False
        labels = self._numbers[first - self._first_number : self.count - self._first_number]
        self.made.append(labels)
        return labels

    def code(self, reason: str) -> int:
        """The negative number that stands for an index that cannot go, for this reason."""
        if reason not in self._reason_codes:
            self.reasons.append(reason)
            self._reason_codes[reason] = -len(self.reasons)
        return self._reason_codes[reason]

    def reason(self, code: int) -> str:
        return self.reasons[-code - 1]

    def vector(self, dim: Dim, size: int) -> Vector:
        """The dimension as a vector, whatever it was."""
        if isinstance(dim, Fixed):
            return np.full(size, self.code(dim.reason), dtype=np.int64)
        return dim

    def lock(self, dim: Dim, reason: str) -> None:
        """Nothing of this dimension may be cut, for this reason."""
        if isinstance(dim, Fixed):
            return
        # without a reason there is no index that cannot go
        labels = dim[dim >= 0] if self.reasons else dim
        if labels.size:
            self.locks.append(Locked(labels, reason, self.operation))

    def join(self, left: Dim, right: Dim) -> None:
        """Index k of one stays or goes with index k of the other. Where one cannot go, neither can the other."""
        if left is right:
            return
        if isinstance(left, Fixed):
            self.lock(right, left.reason)
            return
        if isinstance(right, Fixed):
            self.lock(left, right.reason)
            return
        # without a reason there is no index that cannot go
        if not self.reasons or not left.size or (left.min() >= 0 and right.min() >= 0):
            self._tie(left, right)
            return
        both = (left >= 0) & (right >= 0)
        self._tie(left[both], right[both])
        self._lock_opposite(left, right)
        self._lock_opposite(right, left)

    def _tie(self, left: Vector, right: Vector) -> None:
        if left.size and not (left[0] == right[0] and np.array_equal(left, right)):
            self.edges.append(Edges(left, right, self.operation))

    def _lock_opposite(self, fixed: Vector, other: Vector) -> None:
        facing = (fixed < 0) & (other >= 0)
        for code in np.unique(fixed[facing]):
            self.lock(other[facing & (fixed == code)], self.reason(int(code)))

    def statistic(self, dim: Dim, position: int) -> None:
        """The current operation runs over this dimension, number `position` of its first operand."""
        if not isinstance(dim, Fixed):
            self.statistics.append(Statistic(dim, self.operation, position))

    def compete(self, dim: Dim, position: int) -> None:
        """The same, and what it gives to its indices are shares of one whole: they are a kind of unit of their own."""
        self.statistic(dim, position)
        if not isinstance(dim, Fixed):
            self.competing.append(dim)

    def multiply_accumulates(self, factor: int, dims: Sequence[tuple[Dim, int]]) -> None:
        """Record the cost of the current operation: `factor` x the sizes of `dims`, given as (labels, size)."""
        fixed = prod(size for dim, size in dims if isinstance(dim, Fixed))
        vectors = tuple(dim for dim, _ in dims if not isinstance(dim, Fixed))
        self.terms.append(Term(self.operation, factor * fixed, vectors))

    def merge(self, dims: Sequence[Dim], sizes: Sequence[int]) -> Dim:
        """The labels of the one dimension that `dims` become when they are flattened together."""
        known = self._known_elements([dim for dim, size in zip(dims, sizes, strict=True) if size > 1])
        if known is not None:
            return known
        merged, size = dims[0], sizes[0]
        for dim, length in zip(dims[1:], sizes[1:], strict=True):
            merged = self._merge_two(merged, size, dim, length)
            size *= length
        parts = [(dim, length) for dim, length in zip(dims, sizes, strict=True) if length > 1]
        if len(parts) > 1 and not isinstance(merged, Fixed):
            self._parts.setdefault(merged.tobytes(), parts)
        return merged

    def _merge_two(self, rows: Dim, row_count: int, columns: Dim, column_count: int) -> Dim:
        if column_count == 1:
            return rows
        if row_count == 1:
            return columns
        if isinstance(rows, Fixed):
            return rows if isinstance(columns, Fixed) else np.tile(columns, row_count)
        if isinstance(columns, Fixed):
            return np.repeat(rows, column_count)
        key = (rows.tobytes(), columns.tobytes())
        if key not in self._merged:
            self._add_grid(self.new(row_count * column_count), rows, columns, "heads", "head dimensions")
        return self._merged[key]

    def split(self, dim: Dim, sizes: Sequence[int]) -> tuple[Dim, ...]:
        """The labels of the dimensions that `dim` becomes when it is viewed as `sizes` (their product its size)."""
        if len(sizes) == 1:
            return (dim,)
        if isinstance(dim, Fixed):
            return tuple(dim for _ in sizes)
        parts = self._known_parts(dim, sizes)
        if parts is None:
            rows, columns = self._split_two(dim, sizes[0])
            parts = (rows, *self.split(columns, sizes[1:]))
        axes = [part.tobytes() for part in parts if not isinstance(part, Fixed)]
        if len(set(axes)) == len(parts):
            self._elements[frozenset(axes)] = (axes, dim.reshape(sizes))
        return parts

    def _known_parts(self, dim: Vector, sizes: Sequence[int]) -> tuple[Dim, ...] | None:
        """Dimensions of these sizes, of those that were once merged into this one; None where they do not fit."""
        waiting = self._merged_of(dim, dim.size)[::-1]
        found: list[Dim] = []
        for size in sizes:
            if size == 1:
                found.append(ONE_INDEX)
                continue
            part = [waiting.pop()] if waiting else []
            while waiting and prod(length for _, length in part) < size:
                part.append(waiting.pop())
            if prod(length for _, length in part) != size:
                return None
            found.append(self.merge([dim for dim, _ in part], [length for _, length in part]))
        return tuple(found)

    def _merged_of(self, dim: Dim, size: int) -> list[tuple[Dim, int]]:
        """What was merged into a dimension, and into that, with sizes; itself where nothing was."""
        parts = None if isinstance(dim, Fixed) else self._parts.get(dim.tobytes())
        if parts is None:
            return [(dim, size)]
        return [inner for part, length in parts for inner in self._merged_of(part, length)]

    def _known_elements(self, dims: Sequence[Dim]) -> Vector | None:
        """The elements that were once split into just these axes, in the order in which they are merged now."""
        axes = [dim.tobytes() for dim in dims if not isinstance(dim, Fixed)]
        order, elements = self._elements.get(frozenset(axes), ([], None))
        if elements is None or not len(axes) == len(dims) == len(order):
            return None
        return np.ascontiguousarray(elements.transpose([order.index(axis) for axis in axes])).reshape(-1)

    def _split_two(self, dim: Vector, row_count: int) -> tuple[Dim, Dim]:
        if row_count == 1:
            return ONE_INDEX, dim
        if row_count == dim.size:
            return dim, ONE_INDEX
        if (dim < 0).all():
            fixed = Fixed(self.reason(int(dim[0])))
            return fixed, fixed
        table = dim.reshape(row_count, -1)
        if (table == table[:, :1]).all():
            return table[:, 0].copy(), CONSTANT
        if (table == table[:1]).all():
            return CONSTANT, table[0].copy()
        grid = self.grid(dim, row_count, "heads", "head dimensions")
        return grid.rows, grid.columns

    def grid(self, dim: Vector, row_count: int, row_kind: str, column_kind: str) -> Grid:
        """The dimension as a grid of `row_count` rows; the same dimension gives the same grid every time."""
        key = (dim.tobytes(), row_count)
        if key not in self._split_grids:
            rows, columns = self.new(row_count), self.new(dim.size // row_count)
            self._add_grid(dim, rows, columns, row_kind, column_kind)
        return self._split_grids[key]

    def _add_grid(self, elements: Vector, rows: Vector, columns: Vector, row_kind: str, column_kind: str) -> None:
        grid = Grid(elements, rows, columns, row_kind, column_kind, self.operation)
        self.grids.append(grid)
        self._split_grids[elements.tobytes(), rows.size] = grid
        self._merged[rows.tobytes(), columns.tobytes()] = elements
        transposed = np.ascontiguousarray(elements.reshape(rows.size, columns.size).T).reshape(-1)
        self._merged.setdefault((columns.tobytes(), rows.tobytes()), transposed)
