"""Factors in the code that are made of a size, as 1 / sqrt(width) in attention, keep their value through a cut.

A cut changes the size, and with it the factor. Where parameters before it scale what the factor scales, and nothing
else, they take up the change: their rows are multiplied by what the factor loses. Where there are none, the size stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product, zip_longest
from math import inf

import numpy as np
import torch
from torch import Tensor

from prunescope.core.deciding import matters
from prunescope.core.expressions import (
    AttributeKey,
    Derived,
    Expression,
    OfAttribute,
    OfDim,
    SizeUse,
    attributes_in,
    dims_in,
)
from prunescope.core.factor_sites import Site, attention_sites, factor_sites
from prunescope.core.labels import Factor, Fixed, LabelSpace, Locked, Statistic, Vector
from prunescope.core.linear import Marks, NotLinear, along, distinct, indices, is_marked, linear, pushed
from prunescope.core.tape import Step, Tape, Value

TEMPERATURE = "its width sets the temperature of the attention"
FACTOR = "the code makes a factor of its size"
_WAYS = 8  # of taking a factor up that are tried, at most
_RUNS = 3  # of rows that are written out, at most
_DEPTH = 64  # steps from a factor back to the parameters, at most


@dataclass(frozen=True, slots=True)
class Rows:
    """Indices of one dimension of a parameter."""

    parameter: str
    dim: int
    indices: Vector  # sorted

    def __str__(self) -> str:
        """As they are written in brackets behind the parameter: runs of rows, the dimensions before as `:`."""
        bounds = np.flatnonzero(np.diff(self.indices) != 1) + 1
        runs = [f"{run[0]}:{run[-1] + 1}" for run in np.split(self.indices, bounds)]
        shown = runs if len(runs) <= _RUNS else [*runs[: _RUNS - 1], "...", runs[-1]]
        return ", ".join((*(":" for _ in range(self.dim)), " and ".join(shown)))


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """A factor `size ** power` in the code, and the rows that are scaled so that a cut of the size changes nothing."""

    size: Expression
    value: int  # of the size, before any cut
    power: float
    rows: tuple[Rows, ...]


def folded(space: LabelSpace, tape: Tape, held: frozenset[float]) -> tuple[Fold, ...]:
    """What takes up the factors of a run; sizes whose factor nothing can take up are locked in `space`.

    Args:
        space: Of the run that the tape is of.
        tape: What was run.
        held: Numbers that modules hold as attributes, which no cut changes.
    """
    attention, by_factor = attention_sites(tape), factor_sites(space, tape, held)
    sites = (*chain.from_iterable(by_factor.values()), *attention)
    of_step = {step: site for site in sites for step in site.steps}
    folds: dict[Site, Fold] = {}
    refused: dict[Site, str] = {}
    for site in sites:
        if site in folds:
            continue
        try:
            fold, covered = _fold(tape, site, of_step)
            folds.update(dict.fromkeys(covered, fold))
        except NotLinear as error:
            refused[site] = str(error)
    # what only a factor asks a layer for need not change
    kept = {
        factor.of_layer
        for factor, found in by_factor.items()
        if factor.of_layer is not None and found and found[0] in refused
    }
    if kept:
        space.kept_attributes |= kept
        space.factors = [factor for factor in space.factors if factor.of_layer not in kept]
        return folded(space, tape, held)
    means = _means(tape, refused)
    space.statistics += means.values()
    refused = {site: reason for site, reason in refused.items() if site not in means}
    for site in attention:
        if site in refused:
            _stays(space, site.size, site.value, site.steps.start, f"{TEMPERATURE}, and {refused[site]}")
    for factor, found in by_factor.items():
        # what else happens to be multiplied by the same number need not be a factor of this size
        if found and found[0] in refused:
            reason = f"{FACTOR}, and {refused[found[0]]}"
            _stays(space, factor.expression, factor.value, factor.operation, reason)
        elif not found and _has_to_stay(tape, factor):
            _stays(space, factor.expression, factor.value, factor.operation, FACTOR)
    return tuple(dict.fromkeys(folds.values()))


def _means(tape: Tape, sites: Iterable[Site]) -> dict[Site, Statistic]:
    """Sites at which a sum or norm meets the number of its own summands: statistics of what is left after a cut."""
    found: dict[Site, Statistic] = {}
    for site in sites:
        step = tape.producers.get(site.scaled)
        if step is None or step.name not in _SUMS or not isinstance(site.size, OfDim):
            continue
        counted = site.size.labels.tobytes()
        summed = [
            position
            for position, dim in enumerate(step.operands[0].dims)
            if not isinstance(dim, Fixed) and dim.tobytes() == counted and all(dim is not d for d in site.scaled.dims)
        ]
        if summed:
            position = next(n for n, each in enumerate(tape.steps) if each is step)
            found[site] = Statistic(site.size.labels, position, summed[0], site.power)
    return found


def _has_to_stay(tape: Tape, factor: Factor) -> bool:
    """Whether a size of which a factor was made, no step knows which, must not change."""
    needed = factor.certain and not (factor.is_answered and not factor.used)
    return needed and not isinstance(factor.expression, OfAttribute) and matters(tape, factor.operation)


def _stays(space: LabelSpace, size: Expression, value: int, operation: int, reason: str) -> None:
    """The size keeps its value."""
    match size:
        case OfDim(labels):
            sized = [labels]
        case OfAttribute(key):
            sized = [
                use.wanted for use in space.uses if not isinstance(use.wanted, int) and _is_of(use.expression, key)
            ]
        case _:
            sized = []
    if not sized:
        space.uses.append(SizeUse(size, value, operation, "a factor"))
    space.locks += [Locked(labels[labels >= 0], reason, operation) for labels in sized]


def _is_of(expression: Expression, key: AttributeKey) -> bool:
    """Whether the size has its value by this attribute alone."""
    return {found.key for found in attributes_in(expression)} == {key} and not dims_in(expression)


def _fold(tape: Tape, site: Site, of_step: Mapping[int, Site]) -> tuple[Fold, list[Site]]:
    """The first way to take up a factor that works, with all sites that it serves. Raises NotLinear."""
    reason = "nothing before it has a scale that it could be folded into"
    for way in _ways(tape, site.scaled, _DEPTH, {}):
        leaves = [value for value in way if value in tape.leaves]
        try:
            rows = {leaf: found for leaf in leaves if (found := _rows(tape, leaf, site, set(way))) is not None}
            marks = {leaf: _marked(leaf, found) for leaf, found in rows.items()}
            covered = _covered(tape, site, marks, of_step)
            return Fold(site.size, site.value, site.power, tuple(rows.values())), covered
        except NotLinear as error:
            names = " and ".join(tape.leaves[leaf] for leaf in leaves)
            reason = f"folding it into {names} {error}"
    raise NotLinear(reason)


def _ways(
    tape: Tape, value: Value, depth: int, known: dict[Value, tuple[tuple[Value, ...], ...]]
) -> tuple[tuple[Value, ...], ...]:
    """Some ways from parameters to a value that they scale together, as the values on them; `known`: those so far.

    They come by one operand of every product, a weight rather than what it is applied to.
    """
    if value not in known:
        known[value] = tuple(islice(_ways_to(tape, value, depth, known), _WAYS))
    return known[value]


def _ways_to(
    tape: Tape, value: Value, depth: int, known: dict[Value, tuple[tuple[Value, ...], ...]]
) -> Iterator[tuple[Value, ...]]:
    if value in tape.leaves:
        yield (value,)
        return
    step = tape.producers.get(value)
    rule = linear(step) if step else None
    if step is None or rule is None or depth == 0:
        return
    of_terms = []
    for term in rule.terms(step):
        counts = {step.operands[position]: _parameters_in(tape, step.operands[position]) for position in term}
        operands = sorted(counts, key=lambda operand: counts[operand])
        # beside a weight nothing else is looked at: a network may be long
        operands = operands[:1] if counts[operands[0]] == 1 else operands
        found = _in_turn([_ways(tape, operand, depth - 1, known) for operand in operands])
        # what is put beside others may be no part of what comes next
        of_terms.append(tuple(islice(found, _WAYS)) or (((),) if rule.apart else ()))
    # pieces of one value are likely to be reached alike: those ways come first
    alike, mixed = zip(*of_terms, strict=False), islice(product(*of_terms), _WAYS)
    seen = set()
    for way in chain(alike, mixed) if of_terms else ():
        if way not in seen:
            seen.add(way)
            yield (value, *dict.fromkeys(chain.from_iterable(way)))


def _parameters_in(tape: Tape, value: Value) -> float:
    """Of how many parameters it was made, with buffers at most; infinity where anything else has a part in it."""
    count = sum(name in tape.parameters for name in value.made_of) if value.producer is None else 0
    return count or inf


def _in_turn(ways: Sequence[Sequence[tuple[Value, ...]]]) -> Iterator[tuple[Value, ...]]:
    """The first of each, the second of each, and so on."""
    for part in zip_longest(*ways):
        yield from (way for way in part if way is not None)


def _marked(leaf: Value, rows: Rows) -> Tensor:
    mark = torch.zeros(leaf.shape[rows.dim], dtype=torch.bool)
    mark[torch.from_numpy(rows.indices)] = True
    return along(leaf.shape, rows.dim, mark)


def _rows(tape: Tape, leaf: Value, site: Site, way: set[Value]) -> Rows | None:
    """The indices of a parameter that reach the value that is scaled, in the first dimension that gets there."""
    for dim, size in enumerate(leaf.shape):
        reached = _reached(tape, leaf, along(leaf.shape, dim, torch.arange(size)), site.scaled, way)
        if reached.size:
            return Rows(tape.leaves[leaf], dim, reached)
    return None


def _reached(tape: Tape, leaf: Value, index: Tensor, target: Value, wanted: set[Value]) -> Vector:
    """The indices, of those that mark the parameter's elements, that arrive at the target or in a sum on the way."""
    marks: dict[Value, list[Tensor]] = {leaf: [index]}
    arrived: list[Tensor] = []
    for position in tape.after(marks):
        step = tape.steps[position]
        if wanted.isdisjoint(step.outputs):
            continue
        for slot, operand in enumerate(step.operands):
            for mark in marks.get(operand, ()):
                found = _followed(step, slot, mark)
                if found is None and not operand.made_of:
                    arrived.append(mark)
                for value, result in zip(step.outputs, found or (), strict=False):
                    if result is not None and value in wanted and len(marks.setdefault(value, [])) < _WAYS:
                        marks[value].append(result)
    return indices([*arrived, *marks.get(target, ())])


def _followed(step: Step, slot: int, mark: Tensor) -> Marks | None:
    rule = linear(step)
    try:
        return rule.push(step, slot, mark) if rule else None
    except NotLinear:
        return None


def _covered(tape: Tape, site: Site, marks: dict[Value, Tensor], of_step: Mapping[int, Site]) -> list[Site]:
    """The sites at which scaling the marked elements ends up: all of the same factor, and nothing else.

    Raises NotLinear where the scale gets anywhere else.
    """
    covered: dict[Site, None] = {}
    for position in tape.after(marks):
        step = tape.steps[position]
        here = {slot: marks[operand] for slot, operand in enumerate(step.operands) if operand in marks}
        found = of_step.get(position)
        if found is not None and _arrives(step, found, marks):
            if (found.power, _structure(found.size)) != (site.power, _structure(site.size)):
                raise NotLinear("would meet factors of several sizes")
            covered[found] = None
            continue
        if step.name in _BLIND:
            continue
        for value, mark in zip(step.outputs, pushed(step, here), strict=True):
            if mark is not None and is_marked(mark):
                marks[value] = mark
    if any(value in marks for value in tape.results):
        raise NotLinear("would change the model's output")
    if site not in covered:
        raise NotLinear("would not get there")
    return list(covered)


def _arrives(step: Step, site: Site, marks: Mapping[Value, Tensor]) -> bool:
    """Whether the step multiplies a value by its factor, all of it and nothing else being marked."""
    marked = [operand for operand in step.operands if operand in marks]
    return marked == [site.scaled] and bool(distinct(marks[site.scaled]).all())


_SUMS = frozenset(f"aten.{name}" for name in ("sum", "nansum", "linalg_vector_norm", "norm"))
# these take a tensor's size and type, and none of its values
_BLIND = frozenset(
    f"aten.{name}{kind}" for name in ("zeros", "ones", "empty", "full", "rand", "randn") for kind in ("_like",)
) | frozenset(f"aten.new_{name}" for name in ("zeros", "ones", "empty", "full", "empty_strided"))


def _structure(expression: Expression) -> object:
    """Equal for expressions that have the same value after every cut."""
    match expression:
        case OfDim(labels):
            return labels.tobytes()
        case OfAttribute(key):
            return key
        case Derived(sign, left, right):
            return sign, _structure(left), _structure(right)
        case _:
            return expression
