"""Laws of the layout, on networks of several shapes and with several choices of opened modules."""

from __future__ import annotations

import random
import time
from itertools import combinations, pairwise

import pytest

from prunescope.explorer.layout import Box, Frame, LayerBox, Outline, Picture, Point, arrange, initial_open
from tests.explorer.graphs import GRAPHS, Graph, modules, residual

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom
CASES = [(name, choice) for name in GRAPHS for choice in ("closed", "some", "other", "all")]
ACYCLIC = [case for case in CASES if case[0] != "cyclic"]


def drawn(name: str, choice: str) -> tuple[Graph, Picture]:
    graph = GRAPHS[name]()
    every = sorted(modules(graph))
    seed = {"some": 1, "other": 2}.get(choice)
    opened = (
        every if choice == "all" else [path for path in every if seed and random.Random(path * seed).random() < 0.6]
    )
    return graph, arrange(*graph, opened)


def rectangle(thing: Box | Frame, shrink: float = 0.0) -> Rectangle:
    x, y = thing.width / 2 - shrink, thing.height / 2 - shrink
    return thing.x - x, thing.y - y, thing.x + x, thing.y + y


def title(frame: Frame) -> Rectangle:
    left, top, _, _ = rectangle(frame)
    return left + 1, top + 1, left + frame.title_width, top + 20


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def runs_through(start: Point, end: Point, area: Rectangle) -> bool:
    """Clip the segment against the rectangle (Liang and Barsky)."""
    dx, dy = end.x - start.x, end.y - start.y
    first, last = 0.0, 1.0
    sides = (
        (-dx, start.x - area[0]),
        (dx, area[2] - start.x),
        (-dy, start.y - area[1]),
        (dy, area[3] - start.y),
    )
    for by, room in sides:
        if by == 0:
            if room <= 0:
                return False
            continue
        first, last = (max(first, room / by), last) if by < 0 else (first, min(last, room / by))
    return first < last


def within(module: str, outer: str) -> bool:
    return module == outer or module.startswith(f"{outer}.")


def box_module(box: Box) -> str:
    return box.id.removeprefix("module:") if box.is_module else box.module


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_boxes_do_not_overlap(name: str, choice: str) -> None:
    _, picture = drawn(name, choice)
    for one, other in combinations(picture.boxes, 2):
        assert not overlap(rectangle(one), rectangle(other)), (one.id, other.id)


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_frames_hold_what_is_in_their_module_and_nothing_else(name: str, choice: str) -> None:
    _, picture = drawn(name, choice)
    for frame in picture.frames:
        left, top, right, bottom = rectangle(frame)
        for thing in (*picture.boxes, *picture.frames):
            area = rectangle(thing)
            module = box_module(thing) if isinstance(thing, Box) else thing.module
            if not within(module, frame.module):
                assert within(frame.module, module) or not overlap(area, (left, top, right, bottom))
            elif module != frame.module or isinstance(thing, Box):
                assert left < area[0] < area[2] < right
                assert top < area[1] < area[3] < bottom


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_titles_are_free_of_boxes_and_edges(name: str, choice: str) -> None:
    _, picture = drawn(name, choice)
    for frame in picture.frames:
        assert not any(overlap(title(frame), rectangle(box)) for box in picture.boxes)
        for route in picture.routes:
            assert not any(runs_through(*piece, title(frame)) for piece in pairwise(route.points)), route


@pytest.mark.parametrize(("name", "choice"), ACYCLIC)
def test_edges_go_down_all_the_way(name: str, choice: str) -> None:
    _, picture = drawn(name, choice)
    for route in picture.routes:
        assert all(one.y < other.y for one, other in pairwise(route.points)), route


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_edges_join_the_borders_of_their_boxes(name: str, choice: str) -> None:
    _, picture = drawn(name, choice)
    boxes = {box.id: rectangle(box) for box in picture.boxes}
    for route in picture.routes:
        source, target = boxes[route.source], boxes[route.target]
        assert route.points[0].y == pytest.approx(source[3])
        assert source[0] < route.points[0].x < source[2]
        assert route.points[-1].y == pytest.approx(target[1])
        assert target[0] < route.points[-1].x < target[2]


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_edges_avoid_boxes_that_are_not_their_ends(name: str, choice: str) -> None:
    _, picture = drawn(name, choice)
    areas = {box.id: rectangle(box, shrink=0.5) for box in picture.boxes}
    for route in picture.routes:
        for piece in pairwise(route.points):
            met = [key for key, area in areas.items() if runs_through(*piece, area)]
            assert not met, (route.source, route.target, met)


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_edges_stay_out_of_frames_that_hold_neither_of_their_ends(name: str, choice: str) -> None:
    _, picture = drawn(name, choice)
    home = {box.id: box.module for box in picture.boxes}
    for route in picture.routes:
        for frame in picture.frames:
            if within(home[route.source], frame.module) or within(home[route.target], frame.module):
                continue
            area = rectangle(frame)
            assert not any(runs_through(*piece, area) for piece in pairwise(route.points)), (route, frame)


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_every_layer_and_every_visible_edge_is_drawn_once(name: str, choice: str) -> None:
    (layers, edges), picture = drawn(name, choice)
    shown = {layer: box.id for box in picture.boxes for layer in box.layers}
    assert sorted(shown) == sorted(layer.id for layer in layers)
    assert sum(len(box.layers) for box in picture.boxes) == len(layers)
    visible = [(shown[source], shown[target]) for source, target in edges if shown[source] != shown[target]]
    assert sorted((route.source, route.target) for route in picture.routes) == sorted(set(visible))
    assert sum(route.count for route in picture.routes) == len(visible)


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_the_same_graph_gives_the_same_picture(name: str, choice: str) -> None:
    assert drawn(name, choice) == drawn(name, choice)


@pytest.mark.parametrize("name", list(GRAPHS))
def test_an_outline_draws_the_same_whatever_it_drew_before(name: str) -> None:
    graph = GRAPHS[name]()
    outline = Outline(*graph)
    every = modules(graph)
    for opened in (every, frozenset(), every):
        assert outline.arrange(opened) == arrange(*graph, opened)


@pytest.mark.parametrize("name", list(GRAPHS))
def test_opening_a_module_leaves_the_order_of_the_others(name: str) -> None:
    graph = GRAPHS[name]()
    every = modules(graph)
    for module in sorted(every):
        others = every - {path for path in every if within(path, module)}
        before, after = arrange(*graph, others), arrange(*graph, others | {module})
        kept = {box.id: box for box in after.boxes}
        for one, other in combinations([box for box in before.boxes if box.id in kept], 2):
            if one.module == other.module:
                assert _sides(one, other) in (_sides(kept[one.id], kept[other.id]), (0, 0))


def _sides(one: Box, other: Box) -> tuple[int, int]:
    """Whether the other box is beside (left -1, right 1) or above or below (-1, 1) the first."""
    beside = abs(one.y - other.y) < 1
    return (_sign(other.x - one.x), 0) if beside else (0, _sign(other.y - one.y))


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def test_edges_are_told_apart_by_what_they_do() -> None:
    _, picture = drawn("residual", "all")
    kinds = {(route.source, route.target): route.kind for route in picture.routes}
    assert kinds["layer1.1.conv1", "layer1.1.bn1"] == "plain"
    assert kinds["layer1.0.relu", "layer1.1.add"] == "skip"
    _, picture = drawn("dense", "all")
    kinds = {(route.source, route.target): route.kind for route in picture.routes}
    assert kinds["features.conv0", "features.block.layer3.cat"] == "concat"


def test_a_straight_path_is_drawn_straight() -> None:
    _, picture = drawn("residual", "all")
    main = [route for route in picture.routes if route.kind == "plain" and "downsample" not in route.source]
    bent = [(route.source, route.target) for route in main if len(route.points) > 2]
    assert all("downsample" in target for _, target in bent), bent


def test_a_closed_module_is_one_box_that_counts_its_layers() -> None:
    _, picture = drawn("residual", "closed")
    assert [box.id for box in picture.boxes] == ["conv1", "module:layer1", "module:layer2", "fc"]
    assert picture.boxes[1].detail == "22 layers"
    assert [route.count for route in picture.routes] == [2, 2, 1]


@pytest.mark.parametrize("limit", [1, 4, 20, 64, 1000])
@pytest.mark.parametrize("name", list(GRAPHS))
def test_the_start_shows_no_more_boxes_than_the_limit_or_the_fewest_there_are(name: str, limit: int) -> None:
    graph = GRAPHS[name]()
    opened = initial_open(*graph, limit)
    fewest = len(arrange(*graph, ()).boxes)
    assert len(arrange(*graph, opened).boxes) <= max(limit, fewest)


def test_the_start_opens_a_small_graph_whole_and_a_large_one_level_by_level() -> None:
    graph = residual(blocks=2, stages=2)
    assert initial_open(*graph) == modules(graph)
    assert initial_open(*residual(blocks=8, stages=4)) == {f"layer{stage}" for stage in range(1, 5)}


def test_modules_around_a_single_child_open_freely() -> None:
    layers = [LayerBox(f"net.body.{n}.conv", "conv", "Conv2d", f"net.body.{n}", "") for n in range(9)]
    edges = [(one.id, other.id) for one, other in pairwise(layers)]
    assert initial_open(layers, edges, limit=1) == {"net"}


def test_edges_of_unknown_layers_are_refused_by_name() -> None:
    layer = LayerBox("conv", "conv", "Conv2d", "", "")
    with pytest.raises(ValueError, match="not in the graph: bn, relu"):
        arrange([layer], [("conv", "bn"), ("relu", "conv")], ())


@pytest.mark.parametrize("layers", [[], [LayerBox("conv", "conv", "Conv2d", "a.b", "")]])
def test_a_graph_without_edges_is_drawn(layers: list[LayerBox]) -> None:
    assert len(arrange(layers, [], {"a", "a.b"}).boxes) == len(layers)


def test_time_grows_no_faster_than_the_graph() -> None:
    """Ten times the layers may take at most twenty times as long; a quadratic step would take a hundred."""

    def seconds(blocks: int) -> float:
        """The least of three: what the collector does for the tests before this one is no part of it."""
        graph = residual(blocks=blocks, stages=1)
        taken = []
        for _ in range(3):
            start = time.process_time()
            arrange(*graph, modules(graph))
            taken.append(time.process_time() - start)
        return min(taken)

    seconds(20)
    assert seconds(400) < 20 * max(seconds(40), 0.01)
