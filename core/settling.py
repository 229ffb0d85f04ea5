"""Which values the attributes of a model need after a cut, so that every size that its code asks for fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from prunescope.core.expressions import AttributeKey, Derived, OfAttribute, SizeUse, attributes_in, divides, evaluated
from prunescope.core.labels import Vector


@dataclass(frozen=True, slots=True)
class Clash:
    """A size in the code that would no longer fit."""

    use: SizeUse
    wanted: int  # the size that is left of the labels
    given: int | None  # what the code would ask for


@dataclass(frozen=True, slots=True)
class Settled:
    """The sizes in the code after a cut."""

    attributes: Mapping[AttributeKey, int]  # new values, those that stay included
    clashes: tuple[Clash, ...]


def settle(uses: tuple[SizeUse, ...], kept: Callable[[Vector], int]) -> Settled:
    """Find the attribute values with which every use gets the size that is left, and the uses where none do."""
    attributes: dict[AttributeKey, int] = {}
    clashes: list[Clash] = []
    derived: list[SizeUse] = []
    for use in uses:
        if not isinstance(use.expression, OfAttribute):
            if not _is_question(use):
                derived.append(use)
            continue
        wanted = _wanted(use, kept)
        given = attributes.setdefault(use.expression.key, wanted)
        if given != wanted:
            clashes.append(Clash(use, wanted, given))
    clashes += _derived(derived, kept, attributes)
    for use in filter(_is_question, uses):
        wanted, found = _wanted(use, kept), evaluated(use.expression, kept, attributes)
        if (found == wanted) == use.apart:
            clashes.append(Clash(use, 1, 0) if use.apart else Clash(use, wanted, found))
    return Settled(attributes, tuple(clashes))


def _derived(
    waiting: Sequence[SizeUse], kept: Callable[[Vector], int], attributes: dict[AttributeKey, int]
) -> list[Clash]:
    """Set the attributes that only derived sizes ask for; those uses that no value serves."""
    clashes: list[Clash] = []
    while waiting:
        still_open: dict[int, list[OfAttribute]] = {}
        for position, use in enumerate(waiting):
            unset = [found for found in dict.fromkeys(attributes_in(use.expression)) if found.key not in attributes]
            if unset:
                still_open[position] = unset
                continue
            wanted, found = _wanted(use, kept), evaluated(use.expression, kept, attributes)
            if found != wanted:
                clashes.append(Clash(use, wanted, found))
        alone: dict[OfAttribute, list[SizeUse]] = {}
        for position, unset in still_open.items():
            if len(unset) == 1:
                alone.setdefault(unset[0], []).append(waiting[position])
        for attribute, asking in alone.items():
            value = _solution(attribute, asking, kept, attributes)
            attributes[attribute.key] = attribute.value if value is None else value
        if still_open and not alone:
            position, unset = next(iter(still_open.items()))
            stays = _that_may_stay(waiting[position], unset, kept, attributes)
            attributes[stays.key] = stays.value
        waiting = [waiting[position] for position in still_open]
    return clashes


def _solution(
    attribute: OfAttribute,
    asking: Sequence[SizeUse],
    kept: Callable[[Vector], int],
    attributes: Mapping[AttributeKey, int],
) -> int | None:
    """A value with which all these uses get what is left, else the first of them; None where there is none."""
    wanted = [_wanted(use, kept) for use in asking]
    before = evaluated(asking[0].expression, lambda labels: labels.size, {}) or 1
    # as much less as the size itself, else as it was, else whatever fits
    values = dict.fromkeys((attribute.value * wanted[0] // before, *range(attribute.value, 0, -1)))

    def served(value: int, count: int) -> bool:
        trial = {**attributes, attribute.key: value}
        pairs = zip(asking[:count], wanted, strict=False)
        return all(evaluated(use.expression, kept, trial) == size for use, size in pairs)

    def even(value: int) -> bool:
        trial = {**attributes, attribute.key: value}
        return all(divides(use.expression, kept, trial) for use in asking)

    for count in (len(asking), 1):
        serving = (value for value in values if value > 0 and served(value, count))
        first: int | None = next(serving, None)
        if first is not None:
            # of several that are rounded to the same size, one that need not be
            found: int = next(filter(even, chain((first,), serving)), first)
            return found
    return None


def _that_may_stay(
    use: SizeUse, unset: Sequence[OfAttribute], kept: Callable[[Vector], int], attributes: Mapping[AttributeKey, int]
) -> OfAttribute:
    """One of several open attributes of a use that may keep its value, because another one can make up for it."""
    for stays in unset:
        others = [other for other in unset if other is not stays]
        trial = {**attributes, **{other.key: other.value for other in (stays, *others[1:])}}
        if _solution(others[0], [use], kept, trial) is not None:
            return stays
    return unset[0]


def _is_question(use: SizeUse) -> bool:
    """Whether the code only asks (two sizes differ, one divides another): no attribute changes for the answer."""
    return use.apart or (isinstance(use.expression, Derived) and use.expression.sign == "%")


def _wanted(use: SizeUse, kept: Callable[[Vector], int]) -> int:
    return use.wanted if isinstance(use.wanted, int) else kept(use.wanted)
