"""The records of a drawn graph: what goes into the layout, comes out of it, and is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

RouteKind = Literal["plain", "skip", "concat"]

_FAMILIES: tuple[tuple[str, str], ...] = (
    # fragment of a layer's kind, colour family; the first that fits counts
    ("norm", "norm"),
    ("conv", "conv"),
    ("pool", "pool"),
    ("interpolate", "pool"),
    ("upsample", "pool"),
    ("cat", "concat"),
    ("stack", "concat"),
    ("linear", "linear"),
    ("addmm", "linear"),
    ("matmul", "linear"),
    ("bmm", "linear"),
    ("embedding", "linear"),
    ("attention", "linear"),
    ("lstm", "linear"),
    ("gru", "linear"),
    ("rnn", "linear"),
    ("softmax", "activation"),
    ("sigmoid", "activation"),
    ("swish", "activation"),
    ("tanh", "activation"),
    ("mish", "activation"),
    ("elu", "activation"),  # and with it relu, gelu, selu, prelu
    ("silu", "activation"),
    ("add", "elementwise"),
    ("sub", "elementwise"),
    ("mul", "elementwise"),
    ("div", "elementwise"),
)


class Point(NamedTuple):
    x: float  # pixels, to the right
    y: float  # pixels, down


@dataclass(frozen=True)
class LayerBox:
    """A layer as the layout needs it."""

    id: str  # unique, for example "layer1.0.conv1" or "layer1.0.add"
    label: str  # what the box is called, usually the last part of the id
    kind: str  # class of the module or name of the operation
    module: str  # dotted path of the module around it, "" at the top
    detail: str  # second line, for example "64 x 56 x 56"
    also: tuple[str, ...] = ()  # ids of hidden layers that it stands for too


@dataclass(frozen=True)
class Box:
    """A rectangle that stands for one layer, or for a whole closed module."""

    id: str  # the layer's id, or `module_id` of the module
    label: str
    kind: str  # as in LayerBox; "module" for a closed module
    detail: str
    x: float  # centre
    y: float  # centre
    width: float
    height: float
    is_module: bool
    layers: tuple[str, ...]  # ids of the layers it stands for
    module: str  # dotted path of the module around it


@dataclass(frozen=True)
class Frame:
    """The border around an opened module."""

    module: str  # dotted path
    label: str
    x: float  # centre
    y: float  # centre
    width: float
    height: float
    depth: int  # 1 for a module of the top level
    title_width: float  # room kept free at the top left for the label


@dataclass(frozen=True)
class Route:
    """An edge between two visible boxes."""

    source: str  # box id
    target: str  # box id
    kind: RouteKind
    points: tuple[Point, ...]  # from the source's lower border to the target's upper border
    count: int  # layer edges it stands for
    shape: str = ""  # of the data that it carries, where that is one tensor


@dataclass(frozen=True)
class Picture:
    """Everything that is drawn; the origin is the top left corner."""

    boxes: tuple[Box, ...]
    frames: tuple[Frame, ...]  # outer ones before inner ones
    routes: tuple[Route, ...]
    width: float
    height: float


def module_id(path: str) -> str:
    """The box id of a closed module."""
    return f"module:{path}"


def module_path(box_id: str) -> str:
    """The dotted path of the closed module with this box id."""
    return box_id.removeprefix("module:")


def family(kind: str) -> str:
    """The colour family of a layer's kind; it tints its box and the edges into a concatenation."""
    lowered = kind.lower()
    return next((name for fragment, name in _FAMILIES if fragment in lowered), "other")


def picture_record(picture: Picture) -> dict[str, Any]:
    """The picture for the browser: plain lists and numbers, coordinates in whole tenths of a pixel."""
    return {
        "width": round(picture.width, 1),
        "height": round(picture.height, 1),
        "boxes": [_box_record(box) for box in picture.boxes],
        "frames": [_frame_record(frame) for frame in picture.frames],
        "routes": [_route_record(route) for route in picture.routes],
    }


def _box_record(box: Box) -> dict[str, Any]:
    return {
        "id": box.id,
        "label": box.label,
        "kind": box.kind,
        "family": "module" if box.is_module else family(box.kind),
        "detail": box.detail,
        "x": round(box.x, 1),
        "y": round(box.y, 1),
        "width": box.width,
        "height": box.height,
        "module": module_path(box.id) if box.is_module else None,
        "within": box.module,
        "layers": list(box.layers),
    }


def _frame_record(frame: Frame) -> dict[str, Any]:
    return {
        "module": frame.module,
        "label": frame.label,
        "x": round(frame.x, 1),
        "y": round(frame.y, 1),
        "width": round(frame.width, 1),
        "height": round(frame.height, 1),
        "depth": frame.depth,
        "title": round(frame.title_width, 1),
    }


def _route_record(route: Route) -> dict[str, Any]:
    return {
        "source": route.source,
        "target": route.target,
        "kind": route.kind,
        "count": route.count,
        "shape": route.shape,
        "points": [[round(point.x, 1), round(point.y, 1)] for point in route.points],
    }
