"""Attributes of elements whose names are no Python identifiers."""

from __future__ import annotations

from typing import Any


def aria(**attributes: str) -> dict[str, Any]:
    """aria(label="Versions", live="polite") -> {"aria-label": "Versions", "aria-live": "polite"}."""
    return {f"aria-{name}": value for name, value in attributes.items()}


def data(**attributes: str) -> dict[str, Any]:
    """data(layer="conv1") -> {"data-layer": "conv1"}: what a browser script reads off a button."""
    return {f"data-{name}": value for name, value in attributes.items()}
