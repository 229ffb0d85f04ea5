"""Layout of the graph: a recursive layered drawing from top to bottom, one module at a time.

The interior of every opened module is drawn by itself and then placed in its parent as one block. Ranks and
order within a module do not depend on what is opened: to open one moves the others aside, and never shuffles
them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise

from prunescope.explorer.block import Block, Interior, Port, draw, framed
from prunescope.explorer.layered import Level, level
from prunescope.explorer.picture import (
    Box,
    Frame,
    LayerBox,
    Picture,
    Point,
    Route,
    family,
    module_id,
    module_path,
)

__all__ = ["Box", "Frame", "LayerBox", "Outline", "Picture", "Point", "Route", "arrange", "initial_open"]

BOX_HEIGHT = 44.0
NARROWEST, WIDEST = 136.0, 232.0
LABEL_SIZE, KIND_SIZE, DETAIL_SIZE = 12.5, 10.5, 11.0  # of the text in a box, pixels
WIDTH_OF_A_LETTER = 0.63  # of the text size, on average


def arrange(layers: Sequence[LayerBox], edges: Sequence[tuple[str, str]], opened: Collection[str]) -> Picture:
    """The graph drawn with the modules of `opened` opened. To draw the same graph again keep an `Outline`."""
    return Outline(layers, edges).arrange(opened)


def initial_open(layers: Sequence[LayerBox], edges: Sequence[tuple[str, str]], limit: int = 64) -> frozenset[str]:
    """The modules to open at the start: depth by depth, as long as no more than `limit` boxes are visible."""
    return Outline(layers, edges).initial_open(limit)


class Outline:
    """A graph's module tree, and the order of every module's interior as far as it was needed."""

    def __init__(self, layers: Sequence[LayerBox], edges: Sequence[tuple[str, str]]) -> None:
        self.layers = {layer.id: layer for layer in layers}
        self.edges = tuple((source, target) for source, target in edges if source != target)
        unknown = sorted({end for edge in self.edges for end in edge} - set(self.layers))
        if unknown:
            raise ValueError(f"Edges name layers that are not in the graph: {', '.join(unknown)}.")
        self.children = _children(layers)  # module -> box ids of what is directly in it
        self.inside = _inside(layers)  # module -> ids of all layers in it
        self.holder = {held: layer.id for layer in layers for held in layer.also}  # hidden layer -> who stands for it
        self._crossed = _crossed((s, self.layers[s].module, t, self.layers[t].module) for s, t in self.edges)
        self._levels: dict[str, Level] = {}

    def arrange(self, opened: Collection[str]) -> Picture:
        """The picture with the modules of `opened` opened, where the modules around them are opened too."""
        boxes = {box.id: box for box in self._visible(frozenset(opened))}
        shown = {layer: box.id for box in boxes.values() for layer in box.layers if layer in self.layers}
        counts = Counter((shown[source], shown[target]) for source, target in self.edges)
        pairs = [(source, target) for source, target in counts if source != target]
        crossed = _crossed((s, boxes[s].module, t, boxes[t].module) for s, t in pairs)
        concats = {
            (shown[source], shown[target])
            for source, target in self.edges
            if family(self.layers[target].kind) == "concat"
        }
        root = self._block("", _Visible(boxes, crossed, concats))
        carried = {(shown[source], shown[target]): self.layers[source].detail for source, target in self.edges}
        routes = tuple(
            replace(route, count=count, shape=carried[route.source, route.target] if count == 1 else "")
            for route in root.routes
            for count in (counts[route.source, route.target],)
        )
        return Picture(root.boxes, root.frames, routes, root.width, root.height)

    def initial_open(self, limit: int = 64) -> frozenset[str]:
        """See the function of the same name."""
        opened: set[str] = set()
        visible = len(self.children[""])
        depth = self._modules_in([""])
        while depth:
            visible += sum(len(self.children[path]) - 1 for path in depth)
            if visible > limit:
                return frozenset(opened | self._around_one(depth))
            opened |= set(depth)
            depth = self._modules_in(depth)
        return frozenset(opened)

    def visible(self, opened: Collection[str]) -> int:
        """How many boxes the picture with these modules opened has."""
        return len(self._visible(frozenset(opened)))

    def around(self, layer: str) -> frozenset[str]:
        """The modules that have to be open for a layer to be seen; none where there is no such layer."""
        held = self.holder.get(layer, layer)
        return frozenset(_chain(self.layers[held].module)[1:]) if held in self.layers else frozenset()

    def level_opened(self, opened: Collection[str]) -> frozenset[str]:
        """`opened` and the closed modules of the shallowest level that has some, with what opens freely in them."""
        closed = [module_path(box.id) for box in self._visible(frozenset(opened)) if box.is_module]
        depths = {path: len(_chain(path)) for path in closed}
        level = [path for path in closed if depths[path] == min(depths.values())]
        return frozenset({*opened, *level} | self._around_one(self._modules_in(level)))

    def level_closed(self, opened: Collection[str]) -> frozenset[str]:
        """`opened` without the modules of its deepest level."""
        depths = {path: len(_chain(path)) for path in opened}
        return frozenset(path for path in opened if depths[path] < max(depths.values()))

    def _modules_in(self, paths: Iterable[str]) -> list[str]:
        keys = (key for path in paths for key in self.children[path])
        return [module_path(key) for key in keys if key not in self.layers]

    def _around_one(self, paths: Iterable[str]) -> set[str]:
        """The modules that hold a single child, and in them the same again: to open them costs no box."""
        found = {path for path in paths if len(self.children[path]) == 1}
        return found | self._around_one(self._modules_in(found)) if found else found

    def _visible(self, opened: Collection[str], module: str = "") -> list[Box]:
        boxes: list[Box] = []
        for key in self.children[module]:
            if key in self.layers:
                boxes.append(_layer_box(self.layers[key]))
            elif module_path(key) in opened:
                boxes += self._visible(opened, module_path(key))
            else:
                boxes.append(self._module_box(module_path(key), module))
        return boxes

    def _module_box(self, path: str, parent: str) -> Box:
        inside = self.inside[path]
        detail = f"{len(inside)} layers" if len(inside) > 1 else "1 layer"
        label = _short(path)
        width = _box_width(f"> {label}", "", f"{detail} {detail}")  # room for how many of them are lit
        return Box(module_id(path), label, "module", detail, 0, 0, width, BOX_HEIGHT, True, inside, parent)

    def _level(self, module: str) -> Level:
        """Ranks and order in a module.

        Its nodes are the children, then an entry for each child that edges reach from outside, then an exit
        for each child that edges leave to the outside.
        """
        if module not in self._levels:
            crossed = self._crossed[module]
            number = {key: at for at, key in enumerate(self.children[module])}
            entries = {child: len(number) + at for at, child in enumerate(crossed.entering)}
            exits = {child: len(number) + len(entries) + at for at, child in enumerate(crossed.leaving)}
            links = [(number[source], number[target]) for source, target in crossed.inside]
            links += [(entry, number[child]) for child, entry in entries.items()]
            links += [(number[child], exit_) for child, exit_ in exits.items()]
            count = len(number) + len(entries) + len(exits)
            self._levels[module] = level(count, links, set(entries.values()), set(exits.values()))
        return self._levels[module]

    def _block(self, module: str, visible: _Visible) -> Block:
        children = self.children[module]
        number = {key: at for at, key in enumerate(children)}
        crossed, order = visible.crossed[module], self._crossed[module]
        interior = Interior(
            level=self._level(module),
            parts=tuple(self._part(key, visible) for key in children),
            entries=tuple(Port(number[child], tuple(crossed.entering[child])) for child in order.entering),
            exits=tuple(Port(number[child], tuple(crossed.leaving[child])) for child in order.leaving),
            inside={(number[s], number[t]): pairs for (s, t), pairs in crossed.inside.items()},
            concats=visible.concats,
        )
        return draw(interior)

    def _part(self, key: str, visible: _Visible) -> Box | Block:
        if key in visible.boxes:
            return visible.boxes[key]
        path = module_path(key)
        label = _short(path)
        title_width = _text_width(label, LABEL_SIZE) + 30
        return framed(self._block(path, visible), path, label, len(_chain(path)) - 1, title_width)


@dataclass(frozen=True)
class _Crossed:
    """The edges that touch one module's interior."""

    # (child, child) -> the pairs of ends between them
    inside: defaultdict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    # child -> the ends in it that edges reach from outside, in the order of the edges
    entering: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    # child -> the ends in it that edges leave to the outside
    leaving: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))


@dataclass(frozen=True)
class _Visible:
    """What there is to be drawn for one choice of opened modules."""

    boxes: Mapping[str, Box]  # by id
    crossed: defaultdict[str, _Crossed]  # module -> the edges between boxes that touch its interior
    concats: Collection[tuple[str, str]]  # pairs of boxes with an edge into a concatenation


def _children(layers: Iterable[LayerBox]) -> defaultdict[str, tuple[str, ...]]:
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for layer in layers:
        chain = _chain(layer.module)
        for parent, child in pairwise(chain):
            found[parent][module_id(child)] = None
        found[layer.module][layer.id] = None
    return defaultdict(tuple, {path: tuple(keys) for path, keys in found.items()})


def _inside(layers: Iterable[LayerBox]) -> dict[str, tuple[str, ...]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for layer in layers:
        for path in _chain(layer.module):
            found[path] += (layer.id, *layer.also)
    return {path: tuple(ids) for path, ids in found.items()}


@cache
def _chain(path: str) -> tuple[str, ...]:
    """The modules around something in `path`, from the top ("") down."""
    parts = path.split(".") if path else []
    return tuple(".".join(parts[:end]) for end in range(len(parts) + 1))


def _crossed(edges: Iterable[tuple[str, str, str, str]]) -> defaultdict[str, _Crossed]:
    """For each module the edges in, into and out of it; they are (source, its module, target, its module)."""
    crossed: defaultdict[str, _Crossed] = defaultdict(_Crossed)
    for source, source_module, target, target_module in edges:
        up, down = _chain(source_module), _chain(target_module)
        common = next((at for at, (one, two) in enumerate(zip(up, down, strict=False)) if one != two), None)
        common = min(len(up), len(down)) if common is None else common
        ups = [*map(module_id, up[common:]), source]
        downs = [*map(module_id, down[common:]), target]
        crossed[up[common - 1]].inside[ups[0], downs[0]].append((source, target))
        for path, child in zip(up[common:], ups[1:], strict=True):
            crossed[path].leaving[child][source] = None
        for path, child in zip(down[common:], downs[1:], strict=True):
            crossed[path].entering[child][target] = None
    return crossed


def _short(path: str) -> str:
    """A readable name for a module: "layer1.0" rather than "0"."""
    parts = path.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def _text_width(text: str, size: float) -> float:
    return WIDTH_OF_A_LETTER * size * len(text)


def _layer_box(layer: LayerBox) -> Box:
    width = _box_width(layer.label, layer.kind, layer.detail)
    return Box(
        layer.id,
        layer.label,
        layer.kind,
        layer.detail,
        0,
        0,
        width,
        BOX_HEIGHT,
        False,
        (layer.id, *layer.also),
        layer.module,
    )


def _box_width(label: str, kind: str, detail: str) -> float:
    """Label and kind stand in the first line unless they are the same word, the detail in the second."""
    first = _text_width(label, LABEL_SIZE)
    if kind and kind != label:
        first += 12 + _text_width(kind, KIND_SIZE)
    wanted = 28 + max(first, _text_width(detail, DETAIL_SIZE))
    return min(max(NARROWEST, 8 * -(-wanted // 8)), WIDEST)
