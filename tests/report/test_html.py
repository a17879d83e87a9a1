"""Text stays text, whatever it holds."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fa_audit.report.html import Html, escape, join, table, tag


@given(st.text())
def test_escaped_text_reads_as_it_was_and_holds_no_markup(text: str) -> None:
    escaped = escape(text)
    assert html.unescape(escaped) == text
    assert not set("<>\"'") & set(escaped)


@given(st.text())
def test_a_child_and_an_attribute_cannot_leave_their_place(text: str) -> None:
    element = tag("p", text, title=text)
    assert element.count("<") == 2
    assert element.count('"') == 2


def test_markup_is_escaped_once() -> None:
    inner = tag("b", "a < b")
    assert tag("p", inner) == "<p><b>a &lt; b</b></p>"
    assert escape(inner) is inner


def test_children_are_opened_and_nothing_is_left_out_of_order() -> None:
    assert join("a", None, 1, ["b", ["c", None]], (x for x in "de")) == "a1bcde"


def test_attributes_are_written_as_html_has_them() -> None:
    element = tag("td", "x", class_="n", data_sort="2", hidden=True, title=None, inert=False)
    assert element == '<td class="n" data-sort="2" hidden>x</td>'


def test_void_elements_have_no_end() -> None:
    assert tag("br") == "<br>"
    assert tag("meta", name="a", content='"') == '<meta name="a" content="&quot;">'


@pytest.mark.parametrize("result", [tag("p"), join("a"), escape("a"), table(["a"], [["b"]], "c")])
def test_what_makes_markup_returns_markup(result: str) -> None:
    assert isinstance(result, Html)


def test_a_table_names_its_rows_and_can_be_scrolled_by_keyboard() -> None:
    markup = table(["name", "value"], [["a<b", 1]], "Things", numeric=[1])
    assert '<th scope="row">a&lt;b</th><td class="number">1</td>' in markup
    assert 'tabindex="0"' in markup
    assert 'aria-label="Things"' in markup
