"""Which families of labels the dimensions of values hold, as sets that are quickly joined and compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain
from operator import or_

import numpy as np

from prunescope.core.coupling import Components
from prunescope.core.labels import Dim, Fixed, Grid, Vector
from prunescope.core.tape import Value


class Families:
    """The families that labels belong to, as sets: the bits of a number. Families that occur together share a bit.

    The rows of a grid, and its columns, are families of their own. Those alone that some dimensions are asked about,
    and what is in a grid with them; others are left out.
    """

    def __init__(
        self, components: Components, grids: Sequence[Grid], dims: Iterable[Dim], asked: Iterable[Vector]
    ) -> None:
        is_asked = np.zeros(int(components.family.max(initial=-1)) + 1, dtype=bool)
        for labels in asked:
            is_asked[components.family[labels[labels >= 0]]] = True
        holding = is_asked[components.family]
        sides = [(grid.elements, grid.rows, grid.columns) for grid in grids]
        # by id, which is a dimension's own while it is kept
        self._dims = {id(dim): dim for dim in chain(dims, *sides)}
        labelled = ((key, dim) for key, dim in self._dims.items() if not isinstance(dim, Fixed))
        # what is no label looks up another, and is left out after that
        held = {key: (dim, here) for key, dim in labelled for here in [holding[dim]] if here.any()}
        kept = {key: dim[here & (dim >= 0)] for key, (dim, here) in held.items()}
        families = _apart(components, kept, [side for _, *both in sides for side in both])
        together = _alike(
            families.values(), max((int(each.max(initial=-1)) for each in families.values()), default=-1) + 1
        )
        self._bits = {key: _bits(together[numbers]) for key, numbers in families.items()}
        self._values: dict[int, int] = {}  # by id of their dimensions
        self._around = self._connected(components, sides)

    def _connected(
        self, components: Components, sides: Iterable[tuple[Vector, Vector, Vector]]
    ) -> Mapping[int, list[tuple[int, ...]]]:
        """Position of a bit -> elements, rows and columns, as sets, of the grids that hold it or are tied to one."""
        tied: dict[int, list[tuple[int, ...]]] = defaultdict(list)
        for side in sides:
            grid = tuple(map(self.dim, side))
            # without a label on either side there is nothing to conclude
            if grid[0] and any(grid[1:]):
                elements = side[0]
                tied[int(components.family[elements[elements >= 0][0]])].append(grid)
        found: dict[int, list[tuple[int, ...]]] = defaultdict(list)
        for grids in tied.values():
            for bit in _positions(reduce(or_, chain.from_iterable(grids))):
                found[bit] += grids
        return found

    def dim(self, dim: Dim) -> int:
        return self._bits.get(id(dim), 0)

    def value(self, value: Value) -> int:
        # most values have the dimensions of another, in the same tuple
        key = id(value.dims)
        found = self._values.get(key)
        if found is None:
            found = 0
            for dim in value.dims:
                found |= self._bits.get(id(dim), 0)
            self._values[key] = found
        return found

    def completed(self, zeros: int, asked: int) -> int:
        """Of values that are moved: where elements of a grid are zero, its rows and its columns are, and vice versa."""
        found = (self._around.get(bit, ()) for bit in _positions(asked & ~zeros))
        grids = dict.fromkeys(chain.from_iterable(found))
        before = -1
        while before != zeros:
            before = zeros
            for elements, rows, columns in grids:
                if not elements & ~zeros:
                    zeros |= rows | columns
                elif not (rows | columns) & ~zeros:
                    zeros |= elements
        return zeros


def _apart(components: Components, dims: Mapping[int, Vector], sides: Sequence[Vector]) -> dict[int, Vector]:
    """The families of dimensions, where the sides of grids are families of their own."""
    parts = [components.by_edges[side[side >= 0]] for side in sides]
    own = _alike(parts, int(components.by_edges.max(initial=-1)) + 1)
    first = int(components.family.max(initial=-1)) + 1
    found = {}
    for key, labels in dims.items():
        numbers = own[components.by_edges[labels]]
        found[key] = np.where(numbers < 0, components.family[labels], numbers + first)
    return found


def _alike(parts: Collection[Vector], count: int) -> Vector:
    """(count,) the same number for what is in the same of the parts, -1 for what is in none."""
    weights = np.random.default_rng(0).integers(1, 2**63, size=len(parts), dtype=np.uint64)
    total = np.zeros(count, dtype=np.uint64)
    for weight, part in zip(weights, parts, strict=True):
        total[part] += weight
    found = np.full(count, -1, dtype=np.int64)
    in_parts = total.nonzero()[0]
    found[in_parts] = np.unique(total[in_parts], return_inverse=True)[1].reshape(-1)
    return found


def _positions(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length()
        bits ^= lowest


def _bits(numbers: Vector) -> int:
    if not numbers.size:
        return 0
    # most dimensions are of one number, and a look takes less time than a sort
    if (numbers == numbers[0]).all():
        return 1 << int(numbers[0])
    return sum(1 << number for number in np.unique(numbers).tolist())
