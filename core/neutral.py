"""Where zero is not neutral: sums over units whose removal is not the same as a zero in their place.

A unit that is removed takes its parameters along; in the original, with those set to zero, its values are zero as far
as operations keep zeros. Summed over, they add nothing. Behind exp, cos or a sigmoid they are not zero any more, and
where such values are summed up, or multiplied with others of their kind, a cut changes more than it takes away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import chain
from operator import and_, is_, or_
from types import MappingProxyType

from prunescope.core.coupling import Components
from prunescope.core.families import Families
from prunescope.core.labels import Dim, Fixed, LabelSpace, Statistic
from prunescope.core.linear import TAKES_PARTS, TAKES_WHOLE, linear
from prunescope.core.tape import Slot, Step, Tape, Value

_SUMS = frozenset(f"aten.{name}" for name in ("sum", "nansum", "count_nonzero"))
SHARES = frozenset(f"aten.{name}" for name in ("_softmax", "_safe_softmax", "softmax"))
# which operand, and which dimension of it, is summed over with the next operand
CONTRACTED: Mapping[str, tuple[int, int]] = {
    "aten.mm": (0, 1), "aten.bmm": (0, 2), "aten.addmm": (1, 1), "aten.baddbmm": (1, 2), "aten.convolution": (0, 1),
}  # fmt: skip
_MOVING = TAKES_WHOLE | TAKES_PARTS
_MOVED = _MOVING - {"aten.expand", "aten.repeat"}  # those that make no new dimensions
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
    of = Families(components, space.grids, [*chain.from_iterable(value.dims for value in values), *asked], asked)
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
    """The dimension that a product sums over; fixed where one side is seen at once to be zero where that is cut."""
    operand, dim = CONTRACTED[step.name]
    sides = step.operands[operand : operand + 2]
    in_groups = step.name == "aten.convolution" and step.arguments[8] != 1
    if in_groups or any(_is_parameter(tape, side) or _is_a_layers(tape, side) for side in sides):
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


def _is_a_layers(tape: Tape, value: Value) -> bool:
    """Whether it has the elements of one layer's result, all of whose units are the layer's own; moved and scaled."""
    while (step := tape.producers.get(value)) is not None:
        if step.name in _LAYERS:
            dims = step.outputs[0].dims
            units = dims[_LAYERS[step.name]]
            is_alone = all(isinstance(dim, Fixed) for dim in dims if dim is not units) and not isinstance(units, Fixed)
            return is_alone and all(_is_parameter(tape, operand) for operand in step.operands[1:])
        if step.name not in _MOVED and not (step.name in _SCALING and _is_scaled(step)):
            return False
        value = step.operands[0]
    return False


def _is_scaled(step: Step) -> bool:
    """Whether the result has the dimensions of the first operand, none of which comes by another one."""
    if not isinstance(step.arguments[0], Slot):
        return False
    before, after = step.operands[0].dims, step.outputs[0].dims
    return len(before) == len(after) and all(map(is_, before, after))


_LAYERS = MappingProxyType({"aten.linear": -1, "aten.convolution": 1})  # the dimension of the units that they make
_SCALING = frozenset(f"aten.{name}" for name in ("mul", "div", "expand"))


def _zeros(tape: Tape, of: Families) -> dict[Value, int]:
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


def _keeps_zero(step: Step, zeros: Mapping[Value, int], of: Families) -> int:
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
