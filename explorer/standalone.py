"""The graph with its groups as one HTML file that opens without a server."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import Any

from prunescope.explorer.picture import Picture
from prunescope.explorer.svg import Scheme, colours, svg


def standalone(picture: Picture, groups: dict[str, Any], title: str) -> str:
    """The page of `assets/standalone.html` with a picture and its groups in it.

    Args:
        picture: What `Outline.arrange` gave.
        groups: What `view.coupling_record` gave for the same graph.
        title: What the page calls the model.
    """
    # a name that closes the script element would end it
    data = json.dumps(groups).replace("<", "\\u003c")
    filled = {
        "title": escape(title),
        "colours-light": _sheet("light"),
        "colours-dark": _sheet("dark"),
        "svg": svg(picture, {name: f"var(--{name})" for name in colours("light")}),
        "data": data,
    }
    page = files("prunescope.assets").joinpath("standalone.html").read_text()
    for name, text in filled.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def _sheet(scheme: Scheme) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours(scheme).items() if name != "padlock")
