"""Text for the panels."""

from __future__ import annotations

import re

from dash import html
from dash.development.base_component import Component

from prunescope.core.errors import PrunescopeError
from prunescope.explorer.actions import message


def breakable(text: str) -> list[str | Component]:
    """Text with names that may be broken after a dot or an underscore, and are copied as they are."""
    parts = re.split(r"(?<=[._])(?=\w)", text)
    return [piece for part in parts[:-1] for piece in (part, html.Wbr())] + parts[-1:]


def capital(text: str) -> str:
    """The text with a capital at its start."""
    return f"{text[:1].upper()}{text[1:]}"


def error_note(error: PrunescopeError) -> Component:
    """An error in its four parts."""
    parts = message(error)
    return html.Div(
        [
            html.B(parts["found"]),
            html.Dl(
                [
                    html.Dt("Asked"),
                    html.Dd(parts["asked"]),
                    html.Dt("Where"),
                    html.Dd(parts["where"]),
                    html.Dt("What to do"),
                    html.Dd(parts["what_to_do"]),
                ]
            ),
        ],
        className="note error",
    )
