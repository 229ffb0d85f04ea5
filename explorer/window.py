"""The page in a window of its own, by pywebview (an optional extra)."""

from __future__ import annotations

from importlib.util import find_spec

from prunescope.core.errors import BadInput
from prunescope.explorer.server import Served

SIZE = (1440, 900)


def check_window() -> None:
    """Raise BadInput where there is no pywebview."""
    if find_spec("webview") is not None:
        return
    raise BadInput(
        asked="open a window",
        found="pywebview is not installed",
        where="--window",
        what_to_do="pip install 'prunescope[window]', or leave --window out to use the browser",
    )


def show_window(served: Served, title: str) -> None:
    """Serve the page and show it until the window is closed.

    Raises:
        BadInput: pywebview finds no toolkit to draw a window with, or no screen.
    """
    import webview

    served.in_background()
    webview.create_window(f"{title} - prunescope", served.url, width=SIZE[0], height=SIZE[1], min_size=(1024, 640))
    try:
        webview.start()
    except webview.errors.WebViewException as error:
        raise BadInput(
            asked="open a window",
            found=str(error),
            where="--window",
            what_to_do="install what it needs (on Linux: pip install 'pywebview[qt]'), or leave --window out",
        ) from error
    finally:
        served.close()
