"""What is read from a study's README."""

from pathlib import Path

import pytest

from fa_audit.errors import AuditError
from fa_audit.report.notes import markdown, notes

README = """\
# Title

Before.

## Deviations from the paper

| what | here |
|---|---|
| a \\| b | `code` and <b> |

After **all**, *nothing*; see [there](x.md).

## Caveats

- one item
  that goes on
- another

## Something else

Not shown.
"""


def test_the_sections_wanted_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    (deviations, table), (caveats, items) = notes(tmp_path / "README.md")
    assert (deviations, caveats) == ("Deviations from the paper", "Caveats")
    assert '<th scope="row">a | b</th><td><code>code</code> and &lt;b&gt;</td>' in table
    assert "After <strong>all</strong>, <em>nothing</em>; see there." in table
    assert items == "<ul><li>one item that goes on</li><li>another</li></ul>"


def test_a_study_without_a_readme_has_no_notes(tmp_path: Path) -> None:
    assert notes(tmp_path / "README.md") == []


def test_a_readme_that_is_not_text_is_a_mistake_to_mend(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"## Caveats\n\nna\xefve")
    with pytest.raises(AuditError, match=r"README\.md cannot be read \(it is not UTF-8\); save"):
        notes(tmp_path / "README.md")


def test_a_byte_order_mark_hides_no_heading(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("\ufeff## Caveats\n\nOne.", encoding="utf-8")
    assert notes(tmp_path / "README.md") == [("Caveats", "<p>One.</p>")]


def test_unfinished_marks_show_as_they_are() -> None:
    assert markdown("2 * 3 and `open", "c") == "<p>2 * 3 and `open</p>"
