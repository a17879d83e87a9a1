"""Figures: drawn alike every time, in the page's colours, with ids that do not collide."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from fa_audit.report.drawing import Figure, Panel, panel_svg, with_shared_glyphs, write_files
from fa_audit.report.figures.marks import end_labels, spread
from fa_audit.report.html import Html, join
from fa_audit.report.style import rule_colour


def draw(axes: Axes) -> None:
    axes.set_title("A title")
    axes.plot([0, 1], [0, 1], color=rule_colour("bp"))
    axes.plot([0, 1], [1, 0], color=rule_colour("usf_sn"))


PANEL = Panel('From 0 to 1 & "back".', draw)


def test_a_panel_follows_the_colours_of_the_page() -> None:
    svg = panel_svg(PANEL, "p")
    assert "var(--rule-bp)" in svg
    assert "var(--rule-usf-sn)" in svg
    assert "var(--ink)" in svg
    assert rule_colour("usf_sn") not in svg


def test_a_panel_says_what_it_shows_and_brings_no_style_of_its_own() -> None:
    svg = panel_svg(PANEL, "p")
    assert svg.startswith('<svg class="panel" viewBox="0 0 244.8 180" role="img" aria-label="From')
    assert "&amp; &quot;back&quot;" in svg
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_ids_of_two_panels_do_not_collide_and_are_all_defined() -> None:
    first, second = (panel_svg(PANEL, prefix) for prefix in ("a", "b"))
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert all(id.startswith("glyph-") for id in ids[0] & ids[1])
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', first))
    assert {one or other for one, other in used} <= ids[0]


def test_a_page_defines_every_letter_once_and_all_that_it_uses() -> None:
    panels = [panel_svg(PANEL, prefix) for prefix in ("a", "b")]
    page = with_shared_glyphs(join(panels))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert sum(id.startswith("glyph-DejaVuSans") for id in ids) > 5
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page))
    assert {one or other for one, other in used} <= set(ids)
    assert len(page) < sum(map(len, panels))
    shared, _, rest = page.partition("</svg>")
    assert rest.count("<path") == sum(panel.count("<path") for panel in panels) - (
        2 * shared.count("<path")
    )


def test_content_without_panels_is_left_as_it_is() -> None:
    assert with_shared_glyphs(Html("<p>glyph</p>")) == "<p>glyph</p>"


def test_files_are_the_same_every_time(tmp_path: Path) -> None:
    figure = Figure("name", "Title", "Caption", [PANEL] * 3, 2, Html(""))
    for folder in ("a", "b"):
        write_files(figure, tmp_path / folder / "name.png", tmp_path / folder / "name.svg")
    for file in ("name.png", "name.svg"):
        one, other = ((tmp_path / folder / file).read_bytes() for folder in "ab")
        assert one == other
    assert "From 0 to 1" in (tmp_path / "a" / "name.svg").read_text(encoding="utf-8")


def test_names_at_line_ends_do_not_overlap() -> None:
    heights: list[float] = []

    def crowded(axes: Axes) -> None:
        axes.set(xlim=(0, 1), ylim=(0, 1))
        end_labels(
            axes, [(0.5, "a", "red"), (0.51, "b", "red"), (0.99, "c", "red"), (1.0, "d", "red")]
        )
        heights.extend(text.get_position()[1] for text in axes.texts)

    panel_svg(Panel("4 names", crowded), "p")
    gaps = [after - before for before, after in pairwise(heights)]
    assert min(gaps) >= 0.085 - 1e-9
    assert max(heights) <= 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "no value"),
        ({0: 1.0}, "1 (1 seed)"),
        ({0: 2.0, 1: 1.0}, "1 to 2 (2 seeds)"),
        ({0: 1.0, 1: 1.0001}, "1 (2 seeds)"),
    ],
)
def test_a_spread_in_words(values: dict[int, float], text: str) -> None:
    assert spread(values) == text
