"""What the page knows of every layer: for the search, the tree of modules, and the widths on the boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunescope.core import DependencyGraph, Layer
from prunescope.core.labels import Vector
from prunescope.explorer.picture import LayerBox, family

Edges = Sequence[tuple[str, str]]
ENDS = ("input", "output")
STRUCTURAL = ("pool", "concat")  # families that say how data flows, though they have no weights


def enclosing(layer: Layer) -> str:
    """The path of the module whose frame the layer stands in."""
    return layer.module.rpartition(".")[0] if layer.is_module else layer.module


def output_units(layer: Layer) -> Vector | None:
    """The labels of a layer's first output dimension that has some; None where none has."""
    return next((labels for labels in layer.output_labels if (labels >= 0).any()), None)


def width(layer: Layer) -> int:
    """How many units leave a layer; 0 where none do."""
    units = output_units(layer)
    return 0 if units is None else units.size


def layers_record(graph: DependencyGraph) -> dict[str, dict[str, Any]]:
    """Layer -> {module, kind, family, width, parameters, macs}, in the order of the run."""
    held = graph.record.parameters
    return {
        layer.name: {
            "module": enclosing(layer),
            "kind": layer.kind,
            "family": family(layer.kind),
            "width": width(layer),
            "parameters": sum(held[name].tensor.numel() for name in layer.parameters if not held[name].is_buffer),
            "macs": layer.macs,
        }
        for layer in graph.layers
    }


def widths_record(before: DependencyGraph, now: DependencyGraph) -> dict[str, tuple[int, int]]:
    """Layer -> its width in both graphs, for layers of both whose width differs."""
    known = {layer.name: width(layer) for layer in before.layers}
    both = {layer.name: (known[layer.name], width(layer)) for layer in now.layers if layer.name in known}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is laid out: boxes, and the edges between them."""

    boxes: tuple[LayerBox, ...]
    edges: Edges


def trivial(graph: DependencyGraph) -> frozenset[str]:
    """Layers that only pass on what one other layer gives them: activations, dropout, changes of shape."""
    sources = Counter(target for _, target in graph.edges)
    return frozenset(
        layer.name
        for layer in graph.layers
        if layer.name not in ENDS
        and sources[layer.name] == 1
        and not layer.parameters
        and not layer.macs
        and family(layer.kind) not in STRUCTURAL
    )


def without(hidden: frozenset[str], drawn: Drawn) -> Drawn:
    """The drawing without these layers: each is held by the box of the layer that it got its data from."""
    holder: dict[str, str] = {}
    source = {target: source for source, target in drawn.edges if target in hidden}

    def visible(layer: str) -> str:
        chain = []
        while layer in hidden and layer not in holder:
            chain.append(layer)
            layer = source[layer]
        found = holder.get(layer, layer)
        holder.update(dict.fromkeys(chain, found))
        return found

    edges = {(visible(a), b): None for a, b in drawn.edges if b not in hidden}
    held: dict[str, list[str]] = {}
    for box in drawn.boxes:
        if box.id in hidden:
            held.setdefault(visible(box.id), []).append(box.id)
    boxes = tuple(replace(box, also=tuple(held.get(box.id, ()))) for box in drawn.boxes if box.id not in hidden)
    return Drawn(boxes, tuple(edge for edge in edges if edge[0] != edge[1]))
