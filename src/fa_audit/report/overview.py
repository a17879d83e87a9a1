"""The page that leads to the reports of several studies: of each, what it is and its headlines."""

from collections.abc import Sequence
from urllib.parse import quote

from fa_audit.audit.tables import counts_by_origin
from fa_audit.report.claims_table import anchor, badge, ours_text, published_text
from fa_audit.report.html import Html, table, tag
from fa_audit.report.material import Material
from fa_audit.report.provenance import study_facts
from fa_audit.report.shell import document, stand_in_banner


def overview_page(materials: Sequence[Material], mark: str) -> str:
    """The page as text; the report of a study is expected at NAME/index.html beside it.

    Args:
        materials: Of the studies, in the order in which they are to stand.
        mark: What the page is of.
    """
    title = f"Audit of {len(materials)} studies"
    return document(
        title,
        mark,
        tag(
            "header",
            tag("p", "fa-audit report", class_="kicker"),
            tag("h1", title),
        ),
        tag("main", map(_study, materials)),
    )


def _study(material: Material) -> Html:
    name = material.study.name
    return tag(
        "section",
        tag("h2", tag("a", material.study.title, href=_page(name))),
        stand_in_banner() if material.evidence.stand_in else None,
        tag("p", f"Audited: {material.claims.paper}.", class_="paper"),
        study_facts(material),
        _headlines(material),
        tag("p", " ".join(counts_by_origin(material.verdicts))),
        id=name,
    )


def _headlines(material: Material) -> Html:
    """The claims that the claims file headlines; all where it headlines none."""
    by_claim = {verdict.claim: verdict for verdict in material.verdicts}
    page = _page(material.study.name)
    rows = []
    for claim in material.claims.headlines or by_claim:
        verdict = by_claim[claim]
        link = f"{page}#{quote(anchor(claim), safe='/~')}"
        rows.append(
            [
                tag("a", verdict.statement, href=link),
                published_text(verdict),
                ours_text(verdict),
                verdict.n or "",
                badge(verdict.word),
            ]
        )
    head = ("Claim", "Published", "Ours [interval]", "n", "Verdict")
    return table(head, rows, f"Headlines of {material.study.name}", numeric=(3,))


def _page(name: str) -> str:
    return f"{quote(name)}/index.html"
