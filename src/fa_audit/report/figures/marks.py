"""What figures share: how seeds, published values and names are drawn and written."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from fa_audit.report.material import Published, mean
from fa_audit.report.style import MUTED

PUBLISHED_MARK = "Hollow diamonds are published values."


def seed_line(
    axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, **more: object
) -> None:
    """One seed's course: a thin line."""
    axes.plot(x, y, color=colour, linewidth=0.9, alpha=0.85, **more)  # type: ignore[arg-type]


def seed_dots(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str) -> None:
    """One dot for each seed."""
    axes.plot(x, y, "o", color=colour, markersize=4, alpha=0.75, markeredgewidth=0)


def published_mark(
    axes: Axes, x: float, published: Published, colour: str, across: bool = False
) -> None:
    """A published value: a hollow diamond.

    Args:
        axes: Where it is drawn.
        x: Where it belongs on the other axis.
        published: The value.
        colour: The rule's.
        across: The value lies on the x axis, not on the y axis.
    """
    at = (published.value, x) if across else (x, published.value)
    axes.plot(
        *at,
        "D",
        color=colour,
        markerfacecolor="none",
        markersize=6,
        markeredgewidth=1.2,
        zorder=5,
        clip_on=False,
    )


LINES: Sequence[Any] = ("-", (0, (6, 2)), (0, (6, 1.5, 1, 1.5)), (0, (2.5, 1.2)))
"""How configurations of one rule, which have one colour, are told apart."""

LABEL_GAP = 0.085
"""Least distance between two names, as a fraction of the axes' height."""


def end_labels(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names at the right, joined to the ends of their lines, moved apart where they would overlap.

    Args:
        axes: With its final limits.
        ends: (y, name, colour) of each line.
    """
    right = axes.get_xlim()[1]
    heights = [(_within(axes, right, y)[1], name, colour) for y, name, colour in ends]
    heights = sorted(height for height in heights if math.isfinite(height[0]))
    labels = _apart([height for height, *_ in heights])
    for label, (height, name, colour) in zip(labels, heights, strict=True):
        axes.annotate(
            name,
            xy=(1.0, height),
            xytext=(1.07, label),
            xycoords="axes fraction",
            va="center",
            fontsize=7.5,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 1.3,
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def room_for(names: Iterable[str]) -> float:
    """Inches that the names at the ends of lines take."""
    return max([0.95, *(0.14 + 0.062 * len(name) for name in names)])


def point_labels(axes: Axes, clouds: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Names beside clouds of points (x, y), towards the middle, moved apart up and down.

    Args:
        axes: With its final limits.
        clouds: Name → its points, one or more.
    """
    places = []
    for name, points in clouds.items():
        across, up = zip(*(_within(axes, x, y) for x, y in points), strict=True)
        left = sum(across) / len(across) > 0.5
        places.append(
            (sum(up) / len(up), min(across) - 0.03 if left else max(across) + 0.03, left, name)
        )
    places.sort()
    labels = _apart([height for height, *_ in places])
    for label, (_, across_at, left, name) in zip(labels, places, strict=True):
        axes.annotate(
            name,
            xy=(across_at, label),
            xycoords="axes fraction",
            ha="right" if left else "left",
            va="center",
            fontsize=7,
        )


def _within(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Where a point lies, as fractions of the axes' width and height."""
    to_axes = axes.transData + axes.transAxes.inverted()
    across, up = to_axes.transform((x, y))
    return float(across), float(up)


def _apart(heights: Sequence[float]) -> list[float]:
    """Sorted heights, moved so that neighbours are `LABEL_GAP` apart and none is above 1."""
    labels: list[float] = []
    for height in heights:
        labels.append(max(height, labels[-1] + LABEL_GAP) if labels else height)
    # What was pushed out at the top goes down again, and pushes those below it.
    limit = 1.0
    for i in reversed(range(len(labels))):
        labels[i] = min(labels[i], limit)
        limit = labels[i] - LABEL_GAP
    return labels


def chance_line(axes: Axes, y: float, text: str, below: bool = False) -> None:
    """Where chance alone leads: a dotted line, named at its left end."""
    axes.axhline(y, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.annotate(
        text,
        xy=(0.01, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, -2 if below else 2),
        textcoords="offset points",
        fontsize=6.5,
        color=MUTED,
        va="top" if below else "bottom",
    )


def short(number: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if number is None or not math.isfinite(number) else f"{number:.{digits}g}"


def seeds_text(n: int) -> str:
    """ "1 seed", "5 seeds"."""
    return f"{n} seed" + ("" if n == 1 else "s")


def spread(values: Mapping[int, float], digits: int = 3) -> str:
    """All seeds in a few words: "63.8 to 64.9 (2 seeds)"."""
    found = sorted(values.values())
    if not found:
        return "no value"
    ends = dict.fromkeys(short(one, digits) for one in (found[0], found[-1]))
    return f"{' to '.join(ends)} ({seeds_text(len(found))})"


def cells(values: Mapping[int, float], published: Published | None, digits: int = 3) -> list[str]:
    """Table cells: mean, lowest, highest, number of seeds, published."""
    found = list(values.values())
    return [
        short(mean(values), digits),
        short(min(found), digits) if found else "–",
        short(max(found), digits) if found else "–",
        str(len(found)),
        short(published.value, digits + 1) if published else "–",
    ]


CELL_HEADS = ("mean", "lowest", "highest", "seeds", "published")
