"""The outside of every page: its head and style, what it may load, and what it is of."""

import base64
import hashlib
from importlib import resources

from fa_audit.report.drawing import with_shared_glyphs
from fa_audit.report.html import Child, Html, join, tag
from fa_audit.report.style import css_variables

MARK = "fa-audit-study"
"""The name of the page's metadata that says what it is of."""


def document(title: str, mark: str, *body: Child, script: str = "") -> str:
    """A whole page that needs nothing beside it and may load nothing.

    Args:
        title: Of the window.
        mark: What the page is of, to be found again before it is written over.
        *body: What is to be seen.
        script: The only one that the page will run.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:"
    )
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=policy),
            tag("meta", name=MARK, content=mark),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", title),
            tag("link", rel="icon", href="data:,"),
            tag("style", Html(css_variables() + asset("page.css"))),
        ),
        tag(
            "body",
            with_shared_glyphs(join(body)),
            tag(
                "footer",
                tag("p", "Made by fa-audit from ledgers; nothing is loaded from a net."),
            ),
            tag("script", Html(script)) if script else None,
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def asset(name: str) -> str:
    """A file of this package as text."""
    return resources.files("fa_audit.report").joinpath(name).read_text(encoding="utf-8")


def stand_in_banner() -> Html:
    """What stands above results on images that a program drew."""
    return tag(
        "p",
        tag("strong", "Stand-in data. "),
        "The images were drawn by a program; nothing here says anything about a paper.",
        class_="banner",
        role="note",
    )
