"""HTML as values: `tag` escapes whatever is not markup yet, and nothing else makes markup.

Text from claims, configurations and files can therefore never become an element or an attribute.
"""

import html
from collections.abc import Iterable
from typing import TypeAlias

VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def escape(text: object) -> Html:
    """Text as markup that shows it; markup as it is."""
    return text if isinstance(text, Html) else Html(html.escape(str(text), quote=True))


def join(*children: Child) -> Html:
    """Children one after the other: text escaped, markup kept, None left out, lists opened."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, (str, int)):
            parts.append(escape(child))
        else:
            parts.append(join(*child))
    return Html("".join(parts))


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """An element.

    Args:
        name: Of the element.
        *children: As `join` takes them.
        **attributes: `class_` and `for_` stand for class and for, `data_x` for data-x. True gives
            an attribute without value; None and False leave it out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    content = join(*children)
    return Html(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{content}</{name}>")


def table(
    head: Iterable[Child],
    rows: Iterable[Iterable[Child]],
    caption: str,
    numeric: Iterable[int] = (),
) -> Html:
    """A table whose first column names the rows; wide ones scroll by themselves, not the page.

    Args:
        head: Column headings.
        rows: Cells of each row.
        caption: What the table shows, for those who cannot see it too.
        numeric: Columns to be aligned as numbers.
    """
    right = set(numeric)

    def kind(column: int) -> str | None:
        return "number" if column in right else None

    def heading(column: int, content: Child) -> Html:
        return tag("th", content, scope="col", class_=kind(column))

    def cell(column: int, content: Child) -> Html:
        if column == 0:
            return tag("th", content, scope="row")
        return tag("td", content, class_=kind(column))

    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption, class_="unseen"),
            tag("thead", tag("tr", (heading(i, one) for i, one in enumerate(head)))),
            tag(
                "tbody",
                (tag("tr", (cell(i, one) for i, one in enumerate(row))) for row in rows),
            ),
        ),
        class_="scroll",
        role="region",
        aria_label=caption,
        tabindex="0",
    )
