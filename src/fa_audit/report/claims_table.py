"""The table of claims, with what a script needs to sort and filter it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from fa_audit.audit import Verdict, Word
from fa_audit.audit.claims import MeasuredClaim
from fa_audit.audit.wording import digits, show
from fa_audit.report.html import Html, join, tag
from fa_audit.report.material import Material
from fa_audit.report.names import configuration_title, measure_family, quantity_title
from fa_audit.report.style import VERDICTS


def anchor(claim: str) -> str:
    """The id of a claim's card."""
    return f"claim-{claim}"


def link_to(claim: str, *children: Html | str) -> Html:
    """A link to a claim's card."""
    return tag("a", *children, href=f"#{quote(anchor(claim), safe='/~')}")


def badge(word: Word) -> Html:
    """A verdict as word, sign and colour."""
    colour, sign = VERDICTS[word]
    return tag("span", tag("span", sign, aria_hidden="true"), f" {word}", class_=f"badge {colour}")


def published_text(verdict: Verdict) -> str:
    """What the paper says, as a number with its unit or as a text."""
    if isinstance(verdict.published, (int, float)):
        return show(verdict.published, verdict.unit)
    return verdict.published or ""


def ours_text(verdict: Verdict) -> Html:
    """What our runs say: the estimate, its interval, and what was estimated if not plain."""
    if verdict.estimate is None:
        return tag("span", verdict.found) if verdict.found else Html("")
    parts = [tag("span", show(verdict.estimate, verdict.unit), class_="estimate")]
    if verdict.interval is not None:
        low, high = (digits(end) for end in verdict.interval)
        parts.append(tag("span", f" [{low}, {high}]", class_="interval"))
    if " − " in verdict.quantity:
        parts.append(tag("span", quantity_title(verdict.quantity), class_="quantity"))
    return join(parts)


def claims_table(material: Material) -> Html:
    """All claims; those headlined come first."""
    headlines = material.claims.headlines
    rank = {id: i for i, id in enumerate(headlines)}
    verdicts = sorted(
        material.verdicts, key=lambda verdict: rank.get(verdict.claim, len(headlines))
    )
    heads = (
        ("claim", "Claim", "text"),
        ("published", "Published", "number"),
        ("ours", "Ours [interval]", "number"),
        ("n", "n", "number"),
        ("verdict", "Verdict", "number"),
    )
    return tag(
        "table",
        tag("caption", "Claims, and what became of them", class_="unseen"),
        tag(
            "thead",
            tag(
                "tr",
                (
                    tag(
                        "th",
                        tag("button", text, type="button", data_sort=key, data_kind=kind),
                        scope="col",
                        class_=key,
                    )
                    for key, text, kind in heads
                ),
            ),
        ),
        tag("tbody", (_row(verdict, i, material) for i, verdict in enumerate(verdicts))),
        id="claims-table",
        class_="claims",
    )


def _row(verdict: Verdict, position: int, material: Material) -> Html:
    claim = material.claim[verdict.claim]
    published = verdict.published if isinstance(verdict.published, (int, float)) else None
    needs = f"needs n ≥ {verdict.seeds_needed}" if verdict.seeds_needed else None
    return tag(
        "tr",
        tag("th", link_to(verdict.claim, verdict.statement), scope="row", class_="claim"),
        tag("td", published_text(verdict), class_="published", data_label="Published"),
        tag("td", ours_text(verdict), class_="ours", data_label="Ours"),
        tag("td", verdict.n or "", class_="n", data_label="Seeds"),
        tag(
            "td",
            badge(verdict.word),
            needs and tag("span", needs, class_="quantity"),
            class_="verdict",
        ),
        data_position=position,
        data_headline=verdict.claim in material.claims.headlines,
        data_word=verdict.word,
        data_rules=" ".join(material.rules(claim)),
        data_measure=measure_family(claim.measure) if isinstance(claim, MeasuredClaim) else "",
        data_sort_claim=verdict.statement.lower(),
        data_sort_published=_number(published),
        data_sort_ours=_number(verdict.estimate),
        data_sort_n=verdict.n,
        data_sort_verdict=list(Word).index(verdict.word),
    )


def _number(value: float | None) -> str | None:
    return None if value is None else repr(float(value))


def verdict_counts(verdicts: Sequence[Verdict]) -> Html:
    """How many claims there are of each verdict; each count filters the table by its verdict."""
    counts = Counter(verdict.word for verdict in verdicts)
    return tag(
        "ul",
        (
            tag(
                "li",
                tag(
                    "button",
                    tag("span", VERDICTS[word][1], class_="sign", aria_hidden="true"),
                    tag("span", counts[word], class_="count"),
                    tag("span", word, class_="word"),
                    type="button",
                    class_=f"tile {VERDICTS[word][0]}",
                    data_word=word,
                    aria_pressed="false",
                ),
            )
            for word in Word
            if counts[word]
        ),
        class_="tiles",
        aria_label="Verdicts; press one to see only its claims",
    )


def controls(material: Material) -> Html:
    """What the table can be filtered by; shown only where scripts run."""
    claims = material.claims.claims
    rules = dict.fromkeys(rule for claim in claims for rule in material.rules(claim))
    measures = dict.fromkeys(
        measure_family(claim.measure) for claim in claims if isinstance(claim, MeasuredClaim)
    )
    sorts = (
        ("position", "Order of the claims file"),
        ("claim", "Claim"),
        ("published", "Published"),
        ("ours", "Ours"),
        ("n", "Seeds"),
        ("verdict", "Verdict"),
    )
    return tag(
        "div",
        _select("filter-rule", "Rule", "all rules", ((r, configuration_title(r)) for r in rules)),
        _select("filter-measure", "Measure", "all measures", ((m, m) for m in measures)),
        tag(
            "label",
            tag("span", "Search"),
            tag("input", type="search", id="filter-text", placeholder="words of the claim"),
        ),
        tag(
            "label",
            tag("span", "Sort by"),
            tag(
                "select",
                (tag("option", text, value=key) for key, text in sorts),
                id="sort-by",
            ),
            class_="narrow-only",
        ),
        tag("button", "Clear", type="button", id="filter-clear"),
        class_="controls scripted",
    )


def _select(id: str, label: str, everything: str, options: Iterable[tuple[str, str]]) -> Html:
    return tag(
        "label",
        tag("span", label),
        tag(
            "select",
            tag("option", everything, value=""),
            (tag("option", text, value=value) for value, text in options),
            id=id,
        ),
    )
