"""Heatmaps: a number in each cell of rows × columns, in its colour and written out."""

import math
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from fa_audit.report.style import MUTED

Matrix = NDArray[np.float64]

LEGIBLE = 12
"""With more columns than this, numbers would be wider than their cells; the table has them."""


def draw_heatmap(
    axes: Axes,
    values: Matrix,
    rows: Sequence[str],
    columns: Sequence[str],
    norm: Normalize,
    written: Callable[[float], str],
    colours: str = "cividis",
) -> None:
    """Draw one.

    Args:
        axes: Where.
        values: float64 [rows, columns]; NaN shows as a dot.
        rows: Their names.
        columns: Their names, turned where they would run into each other.
        norm: From a number to a share of the colours.
        written: A number as it is to be shown.
        colours: A colour map of matplotlib.
    """
    colour = matplotlib.colormaps[colours]
    axes.pcolormesh(values, cmap=colour, norm=norm, edgecolors="white", linewidth=0.6)
    for i, j in np.ndindex(values.shape):
        value = float(values[i, j])
        at = {"x": j + 0.5, "y": i + 0.5, "ha": "center", "va": "center"}
        if not math.isfinite(value):
            axes.text(s="·", color=MUTED, **at)
        elif len(columns) <= LEGIBLE:
            red, green, blue, _ = colour(norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axes.text(s=written(value), fontsize=7.5, color="#ffffff" if dark else "#000000", **at)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=turned(columns))
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set_ylim(len(rows), 0)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def turned(names: Sequence[str]) -> int:
    """By how many degrees names are turned, so as not to run into each other."""
    return 90 if sum(map(len, names)) > 36 else 0


def room_below(names: Sequence[str], label: bool = True) -> float:
    """Inches below the axes for names, turned or not, and for a label of the axis."""
    own = 0.15 + 0.057 * max(map(len, names)) if turned(names) else 0.25
    return own + (0.2 if label else 0.0)
