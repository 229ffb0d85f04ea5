"""Attributes that no cut changed, because the traced run never took a size from them, and that other methods read.

`sample()` of an autoencoder asks for its latent width, `init_hidden()` for a hidden one. Nothing but an equal value
says that a size is meant, which is no reason to change it, but one to name it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from torch import nn

from prunescope.core.attributes import INTEGERS, OWN_ATTRIBUTES
from prunescope.core.expressions import AttributeKey
from prunescope.core.held_tensors import reached, registered_tensors, written_methods
from prunescope.core.known_layers import sizes_of


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """An attribute that may have to follow the cut."""

    module: str  # dotted path
    attribute: str
    value: int
    readers: tuple[str, ...]  # methods that read it and that the forward pass does not lead to
    now: tuple[int, ...]  # sizes that dimensions inside the module have, which had the attribute's value before the cut

    def __str__(self) -> str:
        name = f"{self.module}.{self.attribute}" if self.module else self.attribute
        return (
            f"{name} stays {self.value}: the traced run took no size from it; {' and '.join(self.readers)} may, "
            f"and dimensions of that size have {' or '.join(map(str, self.now))} units now"
        )


def unfollowed(
    original: nn.Module, pruned: nn.Module, followed: Collection[tuple[str, str]], kept: Collection[AttributeKey]
) -> tuple[Unfollowed, ...]:
    """Those of all modules.

    Args:
        original: The model before the cut.
        pruned: The same after it.
        followed: (path of a module, attribute) of those that the run took sizes from, or that the cut changed.
        kept: Sizes of torch's layers that keep their value for a factor, which any code may read.
    """
    now = dict(pruned.named_modules())
    of_layers = (
        Unfollowed(key.module, key.name, meant[key.name], ("other code",), (sizes_of(now[key.module])[key.name],))
        for key in sorted(kept)
        for meant in [sizes_of(original.get_submodule(key.module))]
        if meant[key.name] != sizes_of(now[key.module])[key.name]
    )
    return (*of_layers, *_beside_forward(original, now, followed))


def _beside_forward(
    original: nn.Module, now: Mapping[str, nn.Module], followed: Collection[tuple[str, str]]
) -> Iterator[Unfollowed]:
    """Those that only other methods than `forward` read."""
    yield from (
        Unfollowed(path, name, int(value), readers, sizes)
        for path, module in original.named_modules()
        for kind in [cast(Hashable, type(module))]
        for name, readers in _read_beside_forward(kind).items()
        for value in [vars(module).get(name)]
        if type(value) in INTEGERS and (path, name) not in followed
        for sizes in [tuple(sorted(set(_now(module, now[path], value))))]
        if sizes
    )


def _now(before: nn.Module, after: nn.Module, size: int) -> Iterator[int]:
    """The sizes after a cut of dimensions of parameters that had this one before, and lost some."""
    cut = dict(registered_tensors(dict(after.named_modules()), "_parameters"))
    for name, parameter in registered_tensors(dict(before.named_modules()), "_parameters"):
        for old, new in zip(parameter.shape, cut[name].shape, strict=True):
            if old == size != new:
                yield new


@cache
def _read_beside_forward(kind: Any) -> dict[str, tuple[str, ...]]:
    """Names that code of a class reads (attributes, among others), and which of its methods do.

    Left out are those that `forward` and `__init__` lead to.
    """
    within = {*reached(kind, "forward"), *reached(kind, "__init__"), "extra_repr"}
    found: dict[str, tuple[str, ...]] = {}
    for method, function in written_methods(kind).items():
        if method in within or method.startswith("__"):
            continue
        for name in set(function.__code__.co_names) - OWN_ATTRIBUTES:
            found[name] = (*found.get(name, ()), f"{method}()")
    return found
