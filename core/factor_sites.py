"""Where the code multiplies values by factors that it makes of sizes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isclose
from typing import Any

from prunescope.core.expressions import Expression, OfDim, attributes_in, dims_in
from prunescope.core.labels import Factor, FactorUse, Fixed, LabelSpace
from prunescope.core.tape import Slot, Step, Tape, Value


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A value that steps of the code multiply by `size ** power`."""

    scaled: Value
    steps: range
    size: Expression
    value: int
    power: float


_POWERS = (-0.5, 0.5, -0.25, 0.25, -1.0, 1.0)


def attention_sites(tape: Tape) -> list[Site]:
    """Attention without a scale of its own, as far as its width has units."""
    sites = []
    for query, steps in tape.attentions:
        width = query.dims[-1]
        if not isinstance(width, Fixed):
            sites.append(Site(query, steps, OfDim(width), width.size, -0.5))
    return sites


def factor_sites(space: LabelSpace, tape: Tape, held: frozenset[float]) -> dict[Factor, list[Site]]:
    """Factors that a cut may reach -> what was multiplied by them; others stay as they are.

    Of a number whose way through the code was lost (`math.log`, NumPy) its value tells what it was made of.
    """
    attributes = {found.key for use in space.uses for found in attributes_in(use.expression)}
    reached = {
        factor
        for factor in space.factors
        if dims_in(factor.expression) or any(found.key in attributes for found in attributes_in(factor.expression))
    }
    used: dict[int, list[tuple[Factor, FactorUse]]] = defaultdict(list)
    for factor in space.factors:
        for use in factor.used:
            for position in use.steps:
                used[position].append((factor, use))
    lost: dict[float, list[Factor]] = defaultdict(list)
    for factor in space.factors:
        if factor in reached and (factor.is_lost or not (factor.used or factor.is_answered)):
            lost[_base(factor)].append(factor)
    sites: dict[Factor, list[Site]] = {factor: [] for factor in space.factors if factor in reached}
    for position, step in enumerate(tape.steps if sites else ()):
        multiplied = _multiplied(step)
        if multiplied is None:
            continue
        scaled, number = multiplied
        uses = [(factor, use) for factor, use in used.get(position, ()) if factor in reached]
        own = list(dict.fromkeys(factor for factor, _ in uses))
        # what several are multiplied to tells of none of them
        by_base = {_base(factor): [factor] for factor in own if len(own) == 1} if position in used else lost
        found = _told(number, uses) if len(own) == 1 else None
        found = found or _factor_of(number, position, by_base, held)
        if found is not None:
            factor, power = found
            steps = range(position, position + 1)
            sites[factor].append(Site(scaled, steps, factor.expression, factor.value, power))
    return sites


def _told(number: float, uses: Sequence[tuple[Factor, FactorUse]]) -> tuple[Factor, float] | None:
    """The factor that a step multiplies by, and the power, as the way of the number through the code says."""
    for factor, use in uses:
        if use.power is None or not use.number:
            continue
        if isclose(number, abs(use.number), rel_tol=1e-6):
            return factor, use.power
        if isclose(number, 1 / abs(use.number), rel_tol=1e-6):
            return factor, -use.power
    return None


def _base(factor: Factor) -> float:
    """The number of which the code made a power, without its sign."""
    return abs(factor.value / factor.times) if factor.times else abs(factor.value)


def _factor_of(
    number: float, position: int, by_base: Mapping[float, Sequence[Factor]], held: frozenset[float]
) -> tuple[Factor, float] | None:
    """The factor that the number before a step is a power of, and the power: of several the one that came last."""
    found: list[tuple[Factor, float]] = []
    for power, (base, factors) in product(_POWERS, by_base.items()):
        # no power of nothing tells what it was made of
        if not base or not isclose(base**power, number, rel_tol=1e-6):
            continue
        # a size that the step itself is given was heard with it; what the code computed, before it
        bisect = bisect_right if abs(power) == 1 else bisect_left
        before = bisect(factors, max(position, 1), key=lambda factor: factor.operation)
        # what a module holds was made where the model was built
        if before and (factors[before - 1].certain or not {number, 1 / number} & held):
            found.append((factors[before - 1], power))
    return max(found, key=lambda each: each[0].operation, default=None)


def _multiplied(step: Step) -> tuple[Value, float] | None:
    """What a step multiplies by a number, and the number without its sign; None where it does not do so."""
    if step.name.removesuffix("_") not in ("aten.mul", "aten.div"):
        return None
    numbers = [_number(argument, step) for argument in step.arguments[:2]]
    if numbers.count(None) != 1:
        return None
    at = numbers.index(None)
    scaled, number = step.arguments[at], numbers[1 - at]
    if not isinstance(scaled, Slot) or not number:
        return None
    if step.name.startswith("aten.mul"):
        return step.operands[scaled.position], abs(number)
    return (step.operands[scaled.position], 1 / abs(number)) if at == 0 else None


def _number(argument: Any, step: Step) -> float | None:
    if isinstance(argument, Slot):
        return step.operands[argument.position].number
    return float(argument) if isinstance(argument, int | float) else None
