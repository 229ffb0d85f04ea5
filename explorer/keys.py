"""The keys of the page: what is pressed, what it does, in one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One key; it works wherever nothing is being typed."""

    press: str  # as the browser names it
    does: str  # name of the action in `assets/keys.js`
    text: str  # what it does, for the screen
    shown: str = ""  # how the screen names the key, where not as the browser does


KEYS = (
    Key("/", "search", "Search layers and groups"),
    Key("ArrowDown", "down", "Walk along the data; from nothing, to the first layer", "↓"),
    Key("ArrowUp", "up", "Walk back", "↑"),
    Key("ArrowLeft", "left", "To the box on the left", "←"),
    Key("ArrowRight", "right", "To the box on the right", "→"),
    Key("Enter", "choose", "Select the layer there; again for its other side; open a module", "Enter"),
    Key("Escape", "leave", "Leave the chain, then the selection", "Esc"),
    Key("[", "before", "The group before"),
    Key("]", "after", "The next group"),
    Key("e", "open", "Open one level of modules"),
    Key("c", "close", "Close one level of modules"),
    Key("f", "fitWidth", "Fit the picture to the width"),
    Key("0", "fitAll", "Show the whole picture"),
    Key("+", "zoomIn", "Zoom in"),
    Key("-", "zoomOut", "Zoom out"),
    Key("g", "coloured", "All groups in colour"),
    Key("s", "shaped", "Shapes on the edges"),
    Key("h", "plain", "Hide trivial operations"),
    Key("m", "mapped", "The small map"),
    Key("1", "group", "Panel: Group"),
    Key("2", "importance", "Panel: Importance"),
    Key("3", "cut", "Panel: Cut"),
    Key("4", "compare", "Panel: Compare"),
    Key("5", "matrix", "Panel: Matrix"),
    Key("a", "apply", "Apply the cut that is set in Cut"),
    Key("u", "undo", "Undo"),
    Key("r", "redo", "Redo"),
    Key("t", "scheme", "Light or dark"),
    Key("?", "help", "These keys"),
)


def keys_record() -> list[dict[str, str]]:
    return [asdict(key) for key in KEYS]
