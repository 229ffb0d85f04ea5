"""What units cost: parameters and multiply-accumulates as exact functions of the units that are left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from prunescope.core.graph import DependencyGraph, Group
from prunescope.core.labels import Fixed, Vector

Quantity: TypeAlias = Literal["parameters", "macs", "bytes", "activations"]
Removed: TypeAlias = Mapping[int, Sequence[int]]  # group index -> units that go


@dataclass(frozen=True, slots=True)
class Cost:
    parameters: int
    macs: int  # multiply-accumulates of one run on the example inputs


@dataclass(frozen=True, slots=True)
class CountedDim:
    """A dimension whose size depends on the units that are left."""

    size: int  # before any cut
    parts: tuple[tuple[int, Vector], ...]  # group index, (K,) how many of its indices each unit holds


@dataclass(frozen=True, slots=True)
class Product:
    """`factor` times the sizes of some counted dimensions."""

    factor: int
    dims: tuple[int, ...]  # positions in `Ledger.dims`


@dataclass(frozen=True)
class Ledger:
    """The cost of every possible cut. Sums of products of dimension sizes, so that a page can evaluate it too."""

    dims: tuple[CountedDim, ...]
    parameters: tuple[Product, ...]  # of one parameter tensor each
    macs: tuple[Product, ...]  # of one operation each
    bytes: tuple[Product, ...]  # of one parameter or buffer each
    activations: tuple[Product, ...]  # values that one layer gives each

    def amount(self, quantity: Quantity, removed: Removed) -> int:
        """What is left of one quantity when these units go."""
        return _total(getattr(self, quantity), sizes_left(self.dims, removed))

    def cost(self, removed: Removed) -> Cost:
        """The cost that is left when these units go."""
        sizes = sizes_left(self.dims, removed)
        return Cost(_total(self.parameters, sizes), _total(self.macs, sizes))

    def unit_costs(self, group: Group) -> Cost:
        """What the first unit of a group costs, everything else in place."""
        before, after = self.cost({}), self.cost({group.index: [0]})
        return Cost(before.parameters - after.parameters, before.macs - after.macs)


def sizes_left(dims: Sequence[CountedDim], removed: Removed) -> list[int]:
    """The sizes of the dimensions when these units go."""
    units = {group: np.asarray(list(chosen), dtype=np.int64) for group, chosen in removed.items() if len(chosen)}
    return [dim.size - sum(int(n[units[g]].sum()) for g, n in dim.parts if g in units) for dim in dims]


def _total(products: Iterable[Product], sizes: Sequence[int]) -> int:
    return sum(product.factor * prod(sizes[d] for d in product.dims) for product in products)


def ledger(graph: DependencyGraph) -> Ledger:
    """The ledger of a graph; computed once for each."""
    return _ledger(GraphKey(graph))


@dataclass(frozen=True, slots=True)
class GraphKey:
    """A graph as a key of a cache, by identity."""

    graph: DependencyGraph

    def __hash__(self) -> int:
        return id(self.graph)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphKey) and other.graph is self.graph


@lru_cache(maxsize=32)
def _ledger(key: GraphKey) -> Ledger:
    record = key.graph.record
    counter = DimCounter(key.graph)
    sizes = {
        name: counter.product(prod(_fixed_sizes(p.dims, tuple(p.tensor.shape))), _vectors(p.dims))
        for name, p in record.parameters.items()
    }
    parameters = [sizes[name] for name, p in record.parameters.items() if not p.is_buffer]
    macs = [
        counter.product(term.factor, term.dims)
        for term in record.space.terms
        if term.operation < record.reference_operations
    ]
    known = {id(p.tensor) for p in record.parameters.values()}
    unread = [p for p in key.graph.model.parameters() if id(p) not in known]
    bytes_each = [
        Product(size.factor * record.parameters[name].tensor.element_size(), size.dims) for name, size in sizes.items()
    ]
    unread_too = [*unread, *(b for b in key.graph.model.buffers() if id(b) not in known)]
    activations = [
        counter.product(
            prod(layer.output_shape) // prod(labels.size for labels in layer.output_labels), layer.output_labels
        )
        for layer in key.graph.layers
        if prod(layer.output_shape)
    ]
    return Ledger(
        tuple(counter.dims),
        (*parameters, *(Product(p.numel(), ()) for p in unread)),
        tuple(macs),
        (*bytes_each, *(Product(t.numel() * t.element_size(), ()) for t in unread_too)),
        tuple(activations),
    )


class DimCounter:
    """Gives each distinct label vector its position among the counted dimensions."""

    def __init__(self, graph: DependencyGraph) -> None:
        self.dims: list[CountedDim] = []
        self._known: dict[bytes, int] = {}
        self._couplings = graph.record.couplings
        self._owner = []
        for option, coupling in enumerate(self._couplings):
            group, unit = (np.full(coupling.lock.size, -1, dtype=np.int64) for _ in range(2))
            for found in graph.groups:
                if found.option == option:
                    group[found.components] = found.index
                    unit[found.components] = np.arange(found.size)
            self._owner.append((group, unit))
        self._sizes = {found.index: found.size for found in graph.groups}

    def product(self, factor: int, dims: Sequence[Vector]) -> Product:
        return Product(factor, tuple(self.position(dim) for dim in dims))

    def position(self, dim: Vector) -> int:
        """Its position in `dims`, where it is entered at the first call."""
        key = dim.tobytes()
        if key not in self._known:
            self._known[key] = len(self.dims)
            self.dims.append(CountedDim(dim.size, tuple(self._parts(dim))))
        return self._known[key]

    def _parts(self, dim: Vector) -> Iterable[tuple[int, Vector]]:
        labels = dim[dim >= 0]
        for coupling, (group, unit) in zip(self._couplings, self._owner, strict=True):
            component = coupling.component[labels]
            owners = group[component]
            for index in np.unique(owners[owners >= 0]).tolist():
                yield index, np.bincount(unit[component[owners == index]], minlength=self._sizes[index])


def _vectors(dims: Sequence[Vector | Fixed]) -> list[Vector]:
    return [dim for dim in dims if not isinstance(dim, Fixed)]


def _fixed_sizes(dims: Sequence[Vector | Fixed], shape: Sequence[int]) -> list[int]:
    return [size for dim, size in zip(dims, shape, strict=True) if isinstance(dim, Fixed)]
