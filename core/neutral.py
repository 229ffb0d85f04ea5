"""Where zero is not neutral: sums over units whose removal is not the same as a zero in their place.

A unit that is removed takes its parameters along; in the original, with those set to zero, its values are zero as far
as operations keep zeros. Summed over, they add nothing. Behind exp, cos or a sigmoid they are not zero any more, and
where such values are summed up, or multiplied with others of their kind, a cut changes more than it takes away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain
from operator import and_, or_

import numpy as np

from prunescope.core.coupling import Components
from prunescope.core.labels import Dim, Fixed, Grid, LabelSpace, Statistic, Vector
from prunescope.core.linear import TAKES_PARTS, TAKES_WHOLE, linear
from prunescope.core.tape import Step, Tape, Value

_SUMS = frozenset(f"aten.{name}" for name in ("sum", "nansum", "count_nonzero"))
SHARES = frozenset(f"aten.{name}" for name in ("_softmax", "_safe_softmax", "softmax"))
# which operand, and which dimension of it, is summed over with the next operand
CONTRACTED: Mapping[str, tuple[int, int]] = {
    "aten.mm": (0, 1), "aten.bmm": (0, 2), "aten.addmm": (1, 1), "aten.baddbmm": (1, 2), "aten.convolution": (0, 1),
}  # fmt: skip
_MOVED = frozenset(f"aten.{name}" for name in ("t", "transpose", "permute", "view", "unsqueeze", "squeeze"))
_MOVING = TAKES_WHOLE | TAKES_PARTS
_KEEP_ZERO = frozenset(
    f"aten.{name}"
    for name in (
        *("abs", "asin", "atan", "elu", "erf", "expm1", "floor", "gelu", "hardshrink", "hardswish", "leaky_relu"),
        *("log1p", "mish", "prelu", "_prelu_kernel", "relu", "round", "sgn", "sign", "silu", "sin", "sinh"),
        "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
        *("fake_quantize_per_tensor_affine_cachemask", "fake_quantize_per_channel_affine_cachemask"),
        *("softshrink", "sqrt", "square", "tan", "tanh", "trunc"),
        # of zeros alone: zero
        *("sum", "nansum", "mean", "amax", "amin", "max", "min", "linalg_vector_norm", "norm", "renorm"),
        *("index", "gather"),
        *("avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d"),
        *("max_pool2d_with_indices", "max_pool3d_with_indices", "upsample_nearest2d", "upsample_bilinear2d"),
    )
)


def without_neutral_sums(space: LabelSpace, tape: Tape, components: Components) -> None:
    """Keep only those sums among the statistics whose units are not zero where they are removed; add products.

    Args:
        space: Of the run that the tape is of.
        tape: What was run.
        components: Of its labels.
    """
    sums = [each for each in space.statistics if tape.steps[each.operation].name in _SUMS]
    products = [
        Statistic(labels, position, CONTRACTED[step.name][1])
        for position, step in enumerate(tape.steps)
        if step.name in CONTRACTED and not isinstance(labels := _summed(tape, step), Fixed)
    ]
    if not sums and not products:
        return
    values = dict.fromkeys(chain.from_iterable((*step.operands, *step.outputs) for step in tape.steps))
    asked = [each.labels for each in (*sums, *products)]
    of = _Families(components, space.grids, [*chain.from_iterable(value.dims for value in values), *asked], asked)
    zeros = _zeros(tape, of)

    def neutral(statistic: Statistic) -> bool:
        step = tape.steps[statistic.operation]
        first, count = (CONTRACTED[step.name][0], 2) if step.name in CONTRACTED else (0, 1)
        operands = step.operands[first : first + count]
        return not of.dim(statistic.labels) & ~_joined(operands, zeros)

    dropped = {id(each) for each in sums if neutral(each)}
    space.statistics = [each for each in space.statistics if id(each) not in dropped]
    space.statistics += [each for each in products if not neutral(each)]


def _summed(tape: Tape, step: Step) -> Dim:
    """The dimension that a product sums over; fixed where one side is a parameter, which is zero where that is cut."""
    operand, dim = CONTRACTED[step.name]
    sides = step.operands[operand : operand + 2]
    in_groups = step.name == "aten.convolution" and step.arguments[8] != 1
    if in_groups or any(_is_parameter(tape, side) for side in sides):
        return _NO_DIM
    return sides[0].dims[dim]


_NO_DIM = Fixed("it is not asked for")


def _is_parameter(tape: Tape, value: Value) -> bool:
    """Whether it has a parameter's own elements."""
    while value not in tape.leaves:
        step = tape.producers.get(value)
        if step is None or step.name not in _MOVED:
            return False
        value = step.operands[0]
    return True


class _Families:
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


def _zeros(tape: Tape, of: _Families) -> dict[Value, int]:
    """Those families of a value for which it is zero in all places of a unit whose parameters are zero."""
    found: dict[Value, int] = {}
    for step in tape.steps:
        for operand in step.operands:
            if operand not in found:
                # parameters are set to zero; inputs and constants have no units
                found[operand] = of.value(operand)
        asked = [of.value(output) for output in step.outputs]
        # most hold no family that is asked about
        if not any(asked):
            found.update(dict.fromkeys(step.outputs, 0))
            continue
        result = _keeps_zero(step, found, of)
        if step.name in _MOVING:
            result = of.completed(result, reduce(or_, asked))
        found.update(zip(step.outputs, [result & families for families in asked], strict=True))
    return found


def _joined(operands: Iterable[Value], zeros: Mapping[Value, int]) -> int:
    found = 0
    for operand in operands:
        found |= zeros[operand]
    return found


def _keeps_zero(step: Step, zeros: Mapping[Value, int], of: _Families) -> int:
    """The families for which the result is zero where the operands are."""
    name = step.name.removesuffix("_")
    if not step.operands:
        return 0
    first = zeros[step.operands[0]]
    if name in _KEEP_ZERO:
        return first
    if name in SHARES:
        # the reference gives the whole to the units that are left
        return of.dim(step.operands[0].dims[step.arguments[1]])
    if name in ("aten.hardtanh", "aten.clamp"):
        low, high = (*step.arguments[1:3], None)[:2]
        # a bound may be a tensor
        below = low is None or (isinstance(low, int | float) and low <= 0)
        above = high is None or (isinstance(high, int | float) and high >= 0)
        return first if below and above else 0
    if name == "aten.pow":
        exponent = step.arguments[1]
        return first if isinstance(exponent, int | float) and exponent > 0 else 0
    if name.startswith("aten._scaled_dot_product"):
        return zeros[step.operands[2]]
    rule = linear(step)
    terms = rule.terms(step) if rule else ()
    if rule and rule.apart:
        # what is put beside others says nothing of families that it has not
        return reduce(and_, (zeros[step.operands[n]] | ~of.value(step.operands[n]) for n in chain.from_iterable(terms)))
    return reduce(and_, (_joined([step.operands[n] for n in term], zeros) for term in terms)) if terms else 0
