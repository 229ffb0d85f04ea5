"""Accessibility attributes, whose names are no Python identifiers."""

from __future__ import annotations

from typing import Any


def aria(**attributes: str) -> dict[str, Any]:
    """aria(label="Versions", live="polite") -> {"aria-label": "Versions", "aria-live": "polite"}."""
    return {f"aria-{name}": value for name, value in attributes.items()}
