"""Figures: small panels, each an SVG of its own in the page, all in one picture in the files.

A panel is as wide as a phone, so that its text is never scaled down; a page lays as many side by
side as fit.
"""

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from fa_audit.report.html import Html, escape, join, tag
from fa_audit.report.style import MATPLOTLIB, drawn_variables
from fa_audit.study.files import write_atomically

SIZE = (3.4, 2.5)
"""Inches; a panel of this width is 326 pixels wide in a page."""

TOP = 0.3
"""Inches above the axes, for the title."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        alt: What it shows, in numbers, for those who cannot see it.
        draw: Draws it, title included.
        height: Inches.
        left: Inches left of the axes, for their labels.
        right: Inches right of them, for the names of lines.
        bottom: Inches below them, for ticks and label.
    """

    alt: str
    draw: Callable[[Axes], None]
    height: float = SIZE[1]
    left: float = 0.55
    right: float = 0.14
    bottom: float = 0.45


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes:
        name: What its files are called.
        title: A few words.
        caption: What is seen, how the marks are to be read, how many seeds.
        panels: In reading order.
        columns: Panels side by side in the files.
        numbers: The numbers behind it, as a table.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    columns: int
    numbers: Html

    @property
    def alt(self) -> str:
        """The figure as a whole, in words and numbers."""
        return f"{self.title}. " + " ".join(panel.alt for panel in self.panels)


def panel_svg(panel: Panel, prefix: str) -> Html:
    """A panel as an SVG element whose colours follow the page's.

    Args:
        panel: What to draw.
        prefix: Put before every id, so that a page can hold many panels. Only the shapes of
            letters are called alike in all: see `with_shared_glyphs`.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(MATPLOTLIB):
        canvas = _canvas([panel], 1)
        canvas.savefig(buffer, format="svg", transparent=True, metadata=_metadata(panel.alt))
    return _for_page(buffer.getvalue(), panel.alt, prefix)


FORMATS = ("png", "svg")


def write_files(figure: Figure, *files: Path) -> None:
    """Write the whole figure, on white ground; its metadata say what it shows.

    Args:
        figure: What to draw, once for all files.
        *files: Each ends with one of `FORMATS`.

    Raises:
        AuditError: A file cannot be written.
    """
    words = {"Title": figure.title, "Description": figure.alt}
    with matplotlib.rc_context(MATPLOTLIB):
        canvas = _canvas(figure.panels, figure.columns)
        for file in files:
            write = partial(
                canvas.savefig,
                format=file.suffix.removeprefix("."),
                metadata=words if file.suffix == ".png" else _metadata(figure.alt) | words,
                facecolor="white",
            )
            write_atomically(file, write)


def _canvas(panels: Sequence[Panel], columns: int) -> Canvas:
    """Panels drawn row by row, each in a cell of the same size, with the margins it asks for."""
    columns = min(columns, len(panels))
    width, height = SIZE[0], max(panel.height for panel in panels)
    across, down = width * columns, height * math.ceil(len(panels) / columns)
    canvas = Canvas(figsize=(across, down))
    for i, panel in enumerate(panels):
        left = width * (i % columns) + panel.left
        bottom = down - height * (i // columns + 1) + panel.bottom
        size = (width - panel.left - panel.right, height - panel.bottom - TOP)
        box = (left / across, bottom / down, size[0] / across, size[1] / down)
        panel.draw(canvas.add_axes(box))
    return canvas


def _metadata(alt: str) -> dict[str, str | None]:
    return {"Date": None, "Creator": None, "Description": alt}


_GLYPH = re.compile(r'<path id="(glyph-[^"]+)"[^>]*/>')


def with_shared_glyphs(content: Html) -> Html:
    """Content with the shape of every letter defined once, not in each panel that writes it.

    Args:
        content: Holds any number of panels.
    """
    shapes = {found[1]: found[0] for found in _GLYPH.finditer(content)}
    if not shapes:
        return content
    drawn = tag("defs", map(Html, shapes.values()))
    shared = tag("svg", drawn, class_="glyphs", aria_hidden="true")
    return join([shared, Html(_GLYPH.sub("", content))])


_SVG = re.compile(r"<svg .*</svg>", re.DOTALL)
_LEFT_OUT = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", re.DOTALL)


def _for_page(document: str, alt: str, prefix: str) -> Html:
    """Matplotlib's document as an element: ids of its own, no style of its own, CSS colours.

    Only the shapes of letters have the same id in every panel, as they are the same.
    """
    found = _SVG.search(document)
    assert found is not None
    svg = _LEFT_OUT.sub("", found[0])
    svg = re.sub(r'\b(id="|xlink:href="#)(?!DejaVu)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'\b(id="|xlink:href="#)(?=DejaVu)', r"\g<1>glyph-", svg)
    svg = svg.replace("xlink:href", "href")
    svg = svg.replace("url(#", f"url(#{prefix}-")
    for drawn, variable in drawn_variables().items():
        svg = svg.replace(drawn, variable)
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    body = re.sub(r"\s*\n\s*", "\n", svg[svg.index(">") + 1 :])
    return Html(
        f'<svg class="panel" viewBox="{box[1]}" role="img" aria-label="{escape(alt)}">{body}'
    )
