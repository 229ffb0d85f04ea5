"""Where zero is not neutral: sums over units whose removal is not the same as a zero in their place.

A unit that is removed takes its parameters along; in the original, with those set to zero, its values are zero as far
as operations keep zeros. Summed over, they add nothing. Behind exp, cos or a sigmoid they are not zero any more, and
where such values are summed up, or multiplied with others of their kind, a cut changes more than it takes away.
"""

from __future__ import annotations

from collections.abc import Mapping

from prunescope.core.labels import Fixed, LabelSpace, Statistic
from prunescope.core.linear import linear
from prunescope.core.tape import Step, Tape, Value

_SUMS = frozenset(f"aten.{name}" for name in ("sum", "nansum", "count_nonzero"))
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


def without_neutral_sums(space: LabelSpace, tape: Tape) -> None:
    """Keep only those sums among the statistics whose units are not zero where they are removed; add products."""
    keeps_zero = _zeros(tape)
    space.statistics = [
        statistic
        for statistic in space.statistics
        if tape.steps[statistic.operation].name not in _SUMS
        or not keeps_zero[tape.steps[statistic.operation].operands[0]]
    ]
    for position, step in enumerate(tape.steps):
        if step.name not in PRODUCTS or any(keeps_zero[operand] for operand in step.operands):
            continue
        contracted = step.operands[0].dims[-1]
        if not isinstance(contracted, Fixed):
            space.statistics.append(Statistic(contracted, position, len(step.operands[0].shape) - 1))


def _zeros(tape: Tape) -> dict[Value, bool]:
    """Whether a value is zero in all places of a unit whose parameters are zero."""
    found: dict[Value, bool] = {}
    for step in tape.steps:
        for operand in step.operands:
            # parameters are set to zero; inputs and constants have no units
            found.setdefault(operand, any(not isinstance(dim, Fixed) for dim in operand.dims))
        result = _keeps_zero(step, found)
        found.update(dict.fromkeys(step.outputs, result))
    return found


def _keeps_zero(step: Step, zero: Mapping[Value, bool]) -> bool:
    name = step.name.removesuffix("_")
    if not step.operands:
        return False
    if name in _KEEP_ZERO:
        return zero[step.operands[0]]
    if name in ("aten.hardtanh", "aten.clamp"):
        low, high = (*step.arguments[1:3], None)[:2]
        # a bound may be a tensor
        below = low is None or (isinstance(low, int | float) and low <= 0)
        above = high is None or (isinstance(high, int | float) and high >= 0)
        return below and above and zero[step.operands[0]]
    if name == "aten.pow":
        exponent = step.arguments[1]
        return isinstance(exponent, int | float) and exponent > 0 and zero[step.operands[0]]
    if name.startswith("aten._scaled_dot_product"):
        return zero[step.operands[2]]
    rule = linear(step)
    terms = rule.terms(step) if rule else ()
    return bool(terms) and all(any(zero[step.operands[position]] for position in term) for term in terms)
