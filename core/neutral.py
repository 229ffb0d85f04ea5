"""Where zero is not neutral: sums over units whose removal is not the same as a zero in their place.

A unit that is removed takes its parameters along; in the original, with those set to zero, its values are zero as far
as operations keep zeros. Summed over, they add nothing. Behind exp, cos or a sigmoid they are not zero any more, and
where such values are summed up, or multiplied with others of their kind, a cut changes more than it takes away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from prunescope.core.labels import Dim, Fixed, LabelSpace, Statistic, Vector
from prunescope.core.linear import linear
from prunescope.core.tape import Step, Tape, Value

_SUMS = frozenset(f"aten.{name}" for name in ("sum", "nansum", "count_nonzero"))
SHARES = frozenset(f"aten.{name}" for name in ("_softmax", "_safe_softmax", "softmax"))
PRODUCTS = frozenset(f"aten.{name}" for name in ("mm", "bmm"))
_KEEP_ZERO = frozenset(
    f"aten.{name}"
    for name in (
        *("abs", "asin", "atan", "elu", "erf", "expm1", "floor", "gelu", "hardshrink", "hardswish", "leaky_relu"),
        *("log1p", "mish", "prelu", "_prelu_kernel", "relu", "round", "sgn", "sign", "silu", "sin", "sinh"),
        *("softshrink", "sqrt", "square", "tan", "tanh", "trunc"),
        # of zeros alone: zero
        *("sum", "nansum", "mean", "amax", "amin", "max", "min", "linalg_vector_norm", "norm", "index", "gather"),
        *("avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d"),
        *("max_pool2d_with_indices", "max_pool3d_with_indices", "upsample_nearest2d", "upsample_bilinear2d"),
    )
)


def without_neutral_sums(space: LabelSpace, tape: Tape, family: Vector) -> None:
    """Keep only those sums among the statistics whose units are not zero where they are removed; add products.

    Args:
        space: Of the run that the tape is of.
        tape: What was run.
        family: (labels,) the family of each label.
    """
    sums = [each for each in space.statistics if tape.steps[each.operation].name in _SUMS]
    products = [
        Statistic(step.operands[0].dims[-1], position, len(step.operands[0].shape) - 1)
        for position, step in enumerate(tape.steps)
        if step.name in PRODUCTS and not isinstance(step.operands[0].dims[-1], Fixed)
    ]
    if not sums and not products:
        return
    of = _Families(family)
    zeros = _zeros(tape, of)

    def neutral(statistic: Statistic) -> bool:
        step = tape.steps[statistic.operation]
        return of.dim(statistic.labels) <= _joined(step.operands if step.name in PRODUCTS else step.operands[:1], zeros)

    dropped = {id(each) for each in sums if neutral(each)}
    space.statistics = [each for each in space.statistics if id(each) not in dropped]
    space.statistics += [each for each in products if not neutral(each)]


class _Families:
    """The families that labels belong to."""

    def __init__(self, family: Vector) -> None:
        self.family = family
        self._known: dict[int, tuple[Dim, frozenset[int]]] = {}  # id of a dimension -> itself, so that it stays

    def dim(self, dim: Dim) -> frozenset[int]:
        if isinstance(dim, Fixed):
            return frozenset()
        if id(dim) not in self._known:
            self._known[id(dim)] = dim, frozenset(np.unique(self.family[dim[dim >= 0]]).tolist())
        return self._known[id(dim)][1]

    def value(self, value: Value) -> frozenset[int]:
        return frozenset().union(*map(self.dim, value.dims))


def _zeros(tape: Tape, of: _Families) -> dict[Value, frozenset[int]]:
    """Those families of a value for which it is zero in all places of a unit whose parameters are zero."""
    found: dict[Value, frozenset[int]] = {}
    for step in tape.steps:
        for operand in step.operands:
            # parameters are set to zero; inputs and constants have no units
            found.setdefault(operand, of.value(operand))
        result = _keeps_zero(step, found, of)
        found.update({output: result & of.value(output) for output in step.outputs})
    return found


def _joined(operands: Iterable[Value], zeros: Mapping[Value, frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*(zeros[operand] for operand in operands))


def _keeps_zero(step: Step, zeros: Mapping[Value, frozenset[int]], of: _Families) -> frozenset[int]:
    """The families for which the result is zero where the operands are."""
    name = step.name.removesuffix("_")
    if not step.operands:
        return frozenset()
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
        return first if below and above else frozenset()
    if name == "aten.pow":
        exponent = step.arguments[1]
        return first if isinstance(exponent, int | float) and exponent > 0 else frozenset()
    if name.startswith("aten._scaled_dot_product"):
        return zeros[step.operands[2]]
    rule = linear(step)
    terms = [
        _joined([step.operands[position] for position in term], zeros) for term in (rule.terms(step) if rule else ())
    ]
    return frozenset.intersection(*terms) if terms else frozenset()
