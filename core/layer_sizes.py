"""Size attributes of torch's own layers (`in_features`) are sizes of their weights' dimensions: a cut changes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import chain

from torch import Tensor, nn

from prunescope.core.expressions import AttributeKey, Expression, Literal, OfAttribute, attributes_in, substituted
from prunescope.core.holders import held_inside
from prunescope.core.known_layers import sizes_of
from prunescope.core.labels import Factor, LabelSpace, Locked
from prunescope.core.sizes import expression_of, heard_by


def resolve_layer_sizes(
    space: LabelSpace, modules: Mapping[str, nn.Module], was_read: Callable[[Tensor | None], bool]
) -> None:
    """Put the dimensions in the place of such attributes, in all that the code asked; while sizes are remembered.

    Args:
        space: Of the run; its uses and factors are replaced.
        modules: Of the model, by path.
        was_read: Whether the run read a parameter.
    """
    asked = [(use, attributes_in(use.expression)) for use in space.uses]
    of_factors = (attributes_in(factor.expression) for factor in space.factors)
    attributes = dict.fromkeys(chain(*(found for _, found in asked), *of_factors))
    read = [found for found in attributes if any(map(was_read, modules[found.key.module]._parameters.values()))]
    with heard_by(None):
        sizes = {found.key: _size(modules[found.key.module], found) for found in read}
    known = {key: size for key, size in sizes.items() if size is not None}
    if not known:
        return
    as_sizes = {found.key for _, attributes in asked for found in attributes}
    space.factors = [_of_layer(each, known, as_sizes) for each in space.factors]
    space.uses = []
    for use, held in asked:
        if any(found.key in known for found in held):
            use = replace(use, expression=substituted(use.expression, known))
        if isinstance(use.expression, Literal) and not isinstance(use.wanted, int):
            reason = f"its size is that of a layer's dimension that cannot be cut ({use.text})"
            space.locks.append(Locked(use.wanted[use.wanted >= 0], reason, use.operation))
        elif not isinstance(use.expression, Literal):
            space.uses.append(use)


def settle_supposed(space: LabelSpace) -> None:
    """Sizes that a value alone tells are those of attributes that the code takes sizes from elsewhere, or numbers."""
    asked = {found.key for use in space.uses for found in attributes_in(use.expression)}
    for use in space.supposed:
        assert not isinstance(use.wanted, int)
        if {found.key for found in attributes_in(use.expression)} <= asked:
            space.uses.append(use)
        else:
            reason = f"its size {use.wanted.size} is a number in the code ({use.text})"
            space.locks.append(Locked(use.wanted[use.wanted >= 0], reason, use.operation))
    space.supposed.clear()


def _of_layer(factor: Factor, known: Mapping[AttributeKey, Expression], as_sizes: Collection[AttributeKey]) -> Factor:
    """The factor of dimensions; `as_sizes`: attributes that the code also asked for a size."""
    keys = {found.key for found in attributes_in(factor.expression)} & known.keys()
    if not keys:
        return factor
    of_layer = keys.pop() if len(keys) == 1 and keys.isdisjoint(as_sizes) else None
    return replace(factor, expression=substituted(factor.expression, known), of_layer=of_layer)


def _size(module: nn.Module, attribute: OfAttribute) -> Expression | None:
    """The size that an attribute is by definition; None where it is another one's, or has another value."""
    value = sizes_of(module).get(attribute.key.name)
    for step in attribute.key.trail if value is not None else ():
        value = held_inside(value, step)
    return None if value is None or value != attribute.value else expression_of(value)
