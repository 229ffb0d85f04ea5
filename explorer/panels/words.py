"""Text for the panels."""

from __future__ import annotations

import re

from dash import html
from dash.development.base_component import Component


def breakable(text: str) -> list[str | Component]:
    """Text with names that may be broken after a dot or an underscore, and are copied as they are."""
    parts = re.split(r"(?<=[._])(?=\w)", text)
    return [piece for part in parts[:-1] for piece in (part, html.Wbr())] + parts[-1:]


def capital(text: str) -> str:
    """The text with a capital at its start."""
    return f"{text[:1].upper()}{text[1:]}"
