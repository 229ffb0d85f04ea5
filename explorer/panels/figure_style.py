"""How every Plotly figure of the page looks: colours, heights, labels of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

COLOURS = "Cividis"
LABEL_LETTERS = 30  # of a row's name; the end of a long one is what tells it apart
FEW_ROWS = 24
ROW_HEIGHTS = (20, 13)  # pixels, of few rows and of many
TOP, BOTTOM = 46, 34  # room for the colour bar and for the title below
INK = {"light": "#1b2130", "dark": "#e8eaf0"}
LINE = {"light": "#e2e5eb", "dark": "#2a2f3a"}
LINE_STRONG = {"light": "#98a2b5", "dark": "#667085"}
BAR = {"light": "#4650c8", "dark": "#8b95ff"}
MARK = {"light": "#e0245e", "dark": "#ff6b9a"}
FONT = 'Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif'
CONFIG: Any = {"displaylogo": False, "displayModeBar": False}


def row_height(rows: int) -> int:
    return ROW_HEIGHTS[rows > FEW_ROWS]


def row_axis(rows: Sequence[str]) -> dict[str, Any]:
    return {
        "autorange": "reversed",
        "automargin": True,
        "showgrid": False,
        "tickfont": {"size": 10 if len(rows) <= FEW_ROWS else 9},
        "tickmode": "array",
        "tickvals": list(rows),
        "ticktext": row_labels(rows),
    }


def row_labels(rows: Sequence[str], letters: int = LABEL_LETTERS) -> list[str]:
    """The rows' names without the modules that all of them share, and no longer than there is room for."""
    paths = [row.split(".") for row in rows]
    shared = 0
    while len(rows) > 1 and all(len(path) > shared + 2 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    return [_shortened(path[shared:], letters) for path in paths]


def _shortened(path: Sequence[str], letters: int) -> str:
    """The end of a name that fits, from a dot on unless too little is left then."""
    name = ".".join(path)
    if len(name) <= letters:
        return name
    end = name[1 - letters :]
    after_dot = end.partition(".")[2]
    return f"…{after_dot if len(after_dot) > letters / 2 else end}"


def colour_bar(title: str) -> dict[str, Any]:
    """Flat above the cells, so that they have the width of the panel."""
    return {
        "orientation": "h",
        "x": 1,
        "xanchor": "right",
        "y": 1,
        "yanchor": "bottom",
        "ypad": 4,
        "len": 0.8,
        "thickness": 8,
        "title": {"text": title, "side": "top", "font": {"size": 10}},
        "tickfont": {"size": 10},
        "nticks": 5,
    }


def empty(scheme: str, text: str) -> go.Figure:
    """A figure with a sentence in the place of data."""
    figure = go.Figure()
    figure.add_annotation(text=text, showarrow=False, font={"size": 12})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return styled(figure, scheme, 120)


def styled(figure: go.Figure, scheme: str, height: int, bottom: int = 8) -> go.Figure:
    """Transparent, with the ink of the colour scheme, so that the page's own surface shows."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": bottom},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK[scheme], "size": 11, "family": FONT},
        showlegend=False,
        bargap=0,
        dragmode=False,
    )
    figure.update_xaxes(gridcolor=LINE[scheme], zerolinecolor=LINE[scheme], fixedrange=True)
    figure.update_yaxes(gridcolor=LINE[scheme], zerolinecolor=LINE[scheme], fixedrange=True)
    return figure


def mosaic(tiles: Sequence[Any], across: int, gap: int = 1) -> Any:
    """Tiles of one size in rows of `across`, NaN between them.

    Args:
        tiles: (n, H, W) or (n, H, W, 3) values.

    Returns:
        (rows, columns) or (rows, columns, 3) float32.
    """
    stack = np.asarray(tiles, dtype=np.float32)
    count, height, width = stack.shape[:3]
    down = -(-count // across)
    made = np.full((down * (height + gap) - gap, across * (width + gap) - gap, *stack.shape[3:]), np.nan, np.float32)
    for at, tile in enumerate(stack):
        top, left = at // across * (height + gap), at % across * (width + gap)
        made[top : top + height, left : left + width] = tile
    return made
