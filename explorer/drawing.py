"""What the graph view is sent: the picture of a version, and its groups."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from prunescope.explorer import ids
from prunescope.explorer.layers import Drawn, layers_record, trivial, without
from prunescope.explorer.layout import Outline
from prunescope.explorer.picture import picture_record
from prunescope.explorer.version import Version
from prunescope.explorer.view import coupling_record, layer_boxes

OPEN_LIMIT = 500  # boxes that 'Open level' may show: more are slow to move, and nobody reads them at once


class Drawings:
    """The outlines, layers and groups of each version, made once."""

    def __init__(self) -> None:
        self._outlines: dict[tuple[int, bool], Outline] = {}
        self._groups: dict[int, dict[str, Any]] = {}
        self._layers: dict[int, dict[str, Any]] = {}

    def outline(self, version: Version, plain: bool = False) -> Outline:
        """`plain`: without the layers that only pass on what another gives them."""
        if (version.id, plain) not in self._outlines:
            whole = Drawn(layer_boxes(version.graph), version.graph.edges)
            shown = without(trivial(version.graph), whole) if plain else whole
            self._outlines[version.id, plain] = Outline(shown.boxes, shown.edges)
        return self._outlines[version.id, plain]

    def layers(self, version: Version) -> dict[str, Any]:
        if version.id not in self._layers:
            self._layers[version.id] = layers_record(version.graph)
        return self._layers[version.id]

    def groups(self, version: Version) -> dict[str, Any]:
        if version.id not in self._groups:
            self._groups[version.id] = coupling_record(version.graph)
        return self._groups[version.id]


def opened_after(outline: Outline, opened: Collection[str], wish: str | None, data: Any) -> frozenset[str]:
    """The modules that are open after a wish of the page.

    Args:
        wish: Id of the store or button that asks; anything else changes nothing.
        data: What the store holds.
    """
    match wish:
        case ids.TOGGLE:
            return frozenset(opened) ^ {str(data["module"])}
        case ids.ADDRESS if data and data.get("opened") is not None:
            wanted = frozenset(map(str, data["opened"])) & frozenset(outline.children)
            return wanted if outline.visible(wanted) <= OPEN_LIMIT else frozenset(opened)
        case ids.REVEAL:
            return frozenset(opened) | outline.around(str(data["layer"]))
        case ids.GRAPH_OPEN_LEVEL if can_open_level(outline, opened):
            return outline.level_opened(opened)
        case ids.GRAPH_CLOSE_LEVEL if opened:
            return outline.level_closed(opened)
    return frozenset(opened)


def can_open_level(outline: Outline, opened: Collection[str]) -> bool:
    """Whether a level is left to be opened, and the picture stays small enough."""
    return outline.visible(opened) < outline.visible(outline.level_opened(opened)) <= OPEN_LIMIT


def drawn(outline: Outline, opened: Collection[str]) -> tuple[dict[str, Any], list[str], bool, bool]:
    """The picture, the modules that are open, and whether the buttons to open and to close a level are off."""
    return picture_record(outline.arrange(opened)), sorted(opened), not can_open_level(outline, opened), not opened
