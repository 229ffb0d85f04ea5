"""Synthetic graphs for layout and browser tests: (layers, edges) of the shapes that networks have."""

from __future__ import annotations

from prunescope.explorer.layout import LayerBox

Graph = tuple[list[LayerBox], list[tuple[str, str]]]


def _layer(module: str, label: str, kind: str) -> LayerBox:
    return LayerBox(f"{module}.{label}" if module else label, label, kind, module, "64 × 56 × 56")


def _join(graph: Graph, layer: LayerBox, *sources: str) -> str:
    graph[0].append(layer)
    graph[1].extend((source, layer.id) for source in sources)
    return layer.id


def residual(blocks: int = 4, stages: int = 2) -> Graph:
    """Residual blocks in stages, the first of each stage with a projection in its shortcut."""
    graph: Graph = ([], [])
    last = _join(graph, _layer("", "conv1", "Conv2d"))
    for stage in range(1, stages + 1):
        for block in range(blocks):
            module = f"layer{stage}.{block}"
            shortcut = last
            for label, kind in (("conv1", "Conv2d"), ("bn1", "BatchNorm2d"), ("conv2", "Conv2d")):
                last = _join(graph, _layer(module, label, kind), last)
            if block == 0:
                inner = f"{module}.downsample"
                shortcut = _join(graph, _layer(inner, "0", "Conv2d"), shortcut)
                shortcut = _join(graph, _layer(inner, "1", "BatchNorm2d"), shortcut)
            last = _join(graph, _layer(module, "add", "add"), last, shortcut)
            last = _join(graph, _layer(module, "relu", "ReLU"), last)
    _join(graph, _layer("", "fc", "Linear"), last)
    return graph


def dense(count: int = 8) -> Graph:
    """Each layer concatenates the outputs of all layers before it."""
    graph: Graph = ([], [])
    features = [_join(graph, _layer("features", "conv0", "Conv2d"))]
    for number in range(count):
        module = f"features.block.layer{number}"
        last = _join(graph, _layer(module, "cat", "cat"), *features)
        last = _join(graph, _layer(module, "norm", "BatchNorm2d"), last)
        features.append(_join(graph, _layer(module, "conv", "Conv2d"), last))
    last = _join(graph, _layer("features", "cat", "cat"), *features)
    _join(graph, _layer("", "classifier", "Linear"), last)
    return graph


def inception(blocks: int = 3) -> Graph:
    """Branches of one, two, three and two layers, concatenated."""
    graph: Graph = ([], [])
    last = _join(graph, _layer("", "conv1", "Conv2d"))
    for block in range(blocks):
        ends = []
        for branch, length in enumerate((1, 2, 3, 2), 1):
            end = last
            for number in range(length):
                end = _join(graph, _layer(f"inception{block}.branch{branch}", f"conv{number}", "Conv2d"), end)
            ends.append(end)
        last = _join(graph, _layer(f"inception{block}", "cat", "cat"), *ends)
    return graph


def crossing() -> Graph:
    """A U-shaped network: the decoder reads the encoder's levels in the opposite order."""
    graph: Graph = ([], [])
    last, levels = _join(graph, _layer("", "stem", "Conv2d")), []
    for number in range(4):
        last = _join(graph, _layer(f"down.{number}", "conv", "Conv2d"), last)
        levels.append(last)
        last = _join(graph, _layer(f"down.{number}", "pool", "MaxPool2d"), last)
    for number in range(4):
        last = _join(graph, _layer(f"up.{number}", "cat", "cat"), last, levels[-1 - number])
        last = _join(graph, _layer(f"up.{number}", "conv", "Conv2d"), last)
    return graph


def cyclic() -> Graph:
    """A module that is left and entered again, and a layer that is called in a loop."""
    graph: Graph = ([], [])
    first = _join(graph, _layer("shared", "in", "Linear"))
    middle = _join(graph, _layer("", "middle", "ReLU"), first)
    second = _join(graph, _layer("shared", "out", "Linear"), middle)
    cell = _join(graph, _layer("loop", "cell", "LSTMCell"), second)
    gate = _join(graph, _layer("loop", "gate", "sigmoid"), cell)
    graph[1].append((gate, cell))
    return graph


GRAPHS = {graph.__name__: graph for graph in (residual, dense, inception, crossing, cyclic)}


def modules(graph: Graph) -> frozenset[str]:
    """Every module of the graph."""
    parts = [layer.module.split(".") for layer in graph[0] if layer.module]
    return frozenset(".".join(names[:end]) for names in parts for end in range(1, len(names) + 1))
