"""What is read from a study's README."""

from pathlib import Path

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


def test_unfinished_marks_show_as_they_are() -> None:
    assert markdown("2 * 3 and `open", "c") == "<p>2 * 3 and `open</p>"
