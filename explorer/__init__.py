"""The explorer: the page of a model in the browser or in Jupyter."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunescope.explorer.notebook import explore
    from prunescope.explorer.plots import figures
    from prunescope.explorer.session import Session

__all__ = ["Session", "explore", "figures"]

# Imported when they are asked for: the command is in this package too, and answers --help without torch.
_HOMES = {
    "Session": "prunescope.explorer.session",
    "explore": "prunescope.explorer.notebook",
    "figures": "prunescope.explorer.plots",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
