"""A claim's card: what is claimed, what our runs say, how it was tested, what would change that."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fa_audit.audit import Verdict
from fa_audit.audit.claims import Claim, EquivalenceClaim, MeasuredClaim, RangeClaim, SingleClaim
from fa_audit.audit.matrices import summarise_matrices
from fa_audit.audit.wording import show, span
from fa_audit.report.claims_table import anchor, badge, ours_text, published_text
from fa_audit.report.html import Child, Html, table, tag
from fa_audit.report.material import Material
from fa_audit.report.names import (
    configuration_title,
    measure_title,
    place_title,
    subject_title,
    with_titles,
)
from fa_audit.report.provenance import link_to_run
from fa_audit.report.sentences import how_tested, what_would_change
from fa_audit.report.strips import strip_plot

GRADES = {
    "abstract": "read in the paper's abstract, or in a review of the whole paper",
    "second-hand": "told by others, not verified",
    "unknown": "not known to be said",
}
READ = {"printed": "printed", "figure": "read off the figure", "prose": "said in words"}


def claim_card(verdict: Verdict, material: Material) -> Html:
    """One claim, closed until it is opened."""
    claim = material.claim[verdict.claim]
    strip = strip_plot(claim, verdict, material)
    return tag(
        "details",
        tag("summary", tag("span", claim.statement, class_="statement"), badge(verdict.word)),
        tag("p", _reason(claim, verdict), class_="reason"),
        tag(
            "div",
            strip and tag("figure", strip, tag("figcaption", _key(claim, verdict))),
            tag("dl", _facts(claim, verdict, material)),
            class_="card-body",
        ),
        _pairs(verdict),
        _grid(verdict, claim),
        _runs(verdict, material),
        id=anchor(verdict.claim),
        class_="card",
    )


def _reason(claim: Claim, verdict: Verdict) -> str:
    """Why the verdict is what it is, with titles in place of ids."""
    text = with_titles(verdict.reason, claim.subjects)
    if not isinstance(claim, MeasuredClaim):
        return text
    written = f"{measure_title(claim.measure)}, {place_title(claim.at)}"
    return text.replace(f"{claim.measure} at {claim.at}", written)


def matrix_title(cells: Sequence[Verdict], material: Material) -> str:
    """What the cards of a matrix are about, and how they came out together."""
    (summary,) = summarise_matrices(cells)
    claim = material.claim[summary.farthest or cells[0].claim]
    assert isinstance(claim, MeasuredClaim)
    subjects = ", ".join(map(subject_title, claim.subjects))
    title = f"{subjects}: {measure_title(claim.measure)}"
    return str(replace(summary, matrix=title, farthest=place_title(claim.at)))


def _facts(claim: Claim, verdict: Verdict, material: Material) -> Iterator[Html]:
    """What a card says in terms and descriptions."""

    def fact(term: str, *description: Child) -> Html:
        return tag("div", tag("dt", term), tag("dd", *description))

    read = READ.get(claim.read, claim.read)
    if isinstance(claim, MeasuredClaim) and claim.reading_error:
        read = f"{read}, ± {show(claim.reading_error, claim.difference_unit)}"
    yield fact("Where it stands", f"{claim.where} ({read})")
    if claim.origin == "audit":
        yield fact("Asked by", "the audit; the paper does not say it")
    if claim.grade:
        yield fact("How well that is known", GRADES[claim.grade])
    if isinstance(claim, MeasuredClaim):
        yield fact("Measured", f"{measure_title(claim.measure)}, {place_title(claim.at)}")
    if published := published_text(verdict):
        yield fact("Published", published)
    if verdict.estimate is not None or verdict.found:
        yield fact("Ours", ours_text(verdict))
    if verdict.n:
        yield fact("Seeds", f"{verdict.n} ({', '.join(map(str, verdict.seeds))})")
    yield fact("How it is tested", how_tested(claim, material))
    yield fact("What would change the verdict", what_would_change(claim, verdict))
    if claim.note:
        yield fact("Note", claim.note)


def _key(claim: Claim, verdict: Verdict) -> str:
    """How the marks of the strip plot are to be read."""
    parts = ["Dots are our seeds"]
    single = isinstance(claim, SingleClaim)
    if single and verdict.interval is not None:
        parts.append(f"the bar is the {verdict.interval_kind}")
    elif single:
        parts.append("no interval, because the claim could not be judged")
    if isinstance(claim, (RangeClaim, EquivalenceClaim)):
        parts.append("the shaded band is what is claimed")
    if isinstance(verdict.published, (int, float)):
        error = isinstance(claim, MeasuredClaim) and claim.reading_error
        parts.append(f"the diamond is the published value{' ± its reading error' if error else ''}")
    return "; ".join(parts) + "."


def _pairs(verdict: Verdict) -> Html | None:
    """Every pair of an order: how far apart, and how surely."""
    if not verdict.comparisons:
        return None
    rows = [
        [
            f"{subject_title(pair.larger)} − {subject_title(pair.smaller)}",
            show(pair.difference.mean, verdict.unit),
            span(pair.difference.interval, verdict.unit),
            f"{pair.p_adjusted:.2g}",
        ]
        for pair in verdict.comparisons
    ]
    return table(
        ("difference", "mean", verdict.interval_kind or "interval", "p, adjusted"),
        rows,
        "The pairs of this order",
        numeric=(1, 2, 3),
    )


def _grid(verdict: Verdict, claim: Claim) -> Html | None:
    """Every configuration of a searched grid: how often it wins, and where it stands."""
    if not verdict.grid or not isinstance(claim, MeasuredClaim):
        return None
    rows = [
        [
            configuration_title(entry.configuration),
            f"{entry.wins} of {verdict.n}",
            show(entry.mean, claim.unit),
            ", ".join(entry.edges) or "–",
        ]
        for entry in verdict.grid
    ]
    return table(
        ("configuration", "searches won", "mean", "at the edge of"),
        rows,
        "The configurations of this grid",
        numeric=(1, 2),
    )


def _runs(verdict: Verdict, material: Material) -> Html | None:
    """The records behind a verdict, by configuration hash, and what they were made with."""
    if not verdict.records:
        return None
    records = [
        record
        for reference in verdict.records
        if (record := material.runs(reference.subject).get(reference.seed)) is not None
    ]
    code = dict.fromkeys(str(record.provenance.get("code", "unknown")) for record in records)
    device = dict.fromkeys(str(record.provenance.get("device", "unknown")) for record in records)
    return tag(
        "div",
        tag("h4", "The runs behind it"),
        tag("ul", (tag("li", link_to_run(record)) for record in records), class_="runs"),
        tag("p", f"Code {', '.join(code)}; device {', '.join(device)}.", class_="small"),
        class_="behind",
    )
