"""What the study's README says of deviations and caveats, so that it stands in one place only.

Of Markdown only what such a section needs is understood: paragraphs, lists, tables, `code`,
**strong** and *emphasised* text; anything else shows as it is written.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from fa_audit.errors import AuditError
from fa_audit.report.html import Html, join, table, tag

WANTED = ("deviations", "caveats")


def notes(readme: Path) -> list[tuple[str, Html]]:
    """Heading and content of the sections on deviations and caveats; none without a README.

    Raises:
        AuditError: The README is not text.
    """
    if not readme.is_file():
        return []
    try:
        text = readme.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{readme} cannot be read (it is not UTF-8); save it as UTF-8, or take it away"
        ) from error
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, content = section.partition("\n")
        if heading.lower().startswith(WANTED):
            found.append((heading.strip(), markdown(content, heading.strip())))
    return found


def markdown(text: str, caption: str) -> Html:
    """A section's content as HTML.

    Args:
        text: Markdown.
        caption: What its tables are called for those who cannot see them.
    """
    blocks = re.split(r"\n\s*\n", text.strip())
    return join(_block(block.splitlines(), caption) for block in blocks if block.strip())


def _block(lines: Sequence[str], caption: str) -> Html:
    if all(line.lstrip().startswith("|") for line in lines) and len(lines) > 2:
        head, _, *rows = ([_inline(cell) for cell in _cells(line)] for line in lines)
        return table(head, rows, caption)
    if lines[0].lstrip().startswith("- "):
        return tag("ul", (tag("li", _inline(item)) for item in _items(lines)))
    return tag("p", _inline(" ".join(lines)))


def _cells(line: str) -> list[str]:
    bare = line.strip().strip("|")
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", bare)]


def _items(lines: Sequence[str]) -> Iterator[str]:
    """The items of a list, each with the lines that go on with it."""
    numbers: list[int] = []
    for line in lines:
        numbers.append((numbers[-1] if numbers else 0) + line.lstrip().startswith("- "))
    for _, group in groupby(zip(numbers, lines, strict=True), key=lambda one: one[0]):
        yield " ".join(line.strip() for _, line in group).removeprefix("- ")


_MARKS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\([^)]*\)")


def _inline(text: str) -> Html:
    """Text with code, strong and emphasised parts; of a link, its words."""
    parts: list[Html | str] = []
    end = 0
    for found in _MARKS.finditer(text):
        code, strong, emphasised, link = found.groups()
        parts.append(text[end : found.start()])
        if code:
            parts.append(tag("code", code))
        elif strong:
            parts.append(tag("strong", strong))
        elif emphasised:
            parts.append(tag("em", emphasised))
        else:
            parts.append(link)
        end = found.end()
    return join(parts, text[end:])
