"""What is left to say of accuracy and similarity beside their figure: slopes, and caveats."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fa_audit.audit.association import MEAN, Association
from fa_audit.audit.association_text import CAVEATS, HEAD, LEGEND, sentences, table_row
from fa_audit.report.html import Html, table, tag
from fa_audit.report.material import Material
from fa_audit.report.names import configuration_title, with_titles


def association_notes(material: Material) -> Iterator[Html]:
    """The association of accuracy with similarity, as far as the runs allow; none without runs."""
    found = material.associations.found
    if not found:
        return
    if not any(estimable(one) for one in found):
        yield tag("p", too_few(found[0]))
        return
    for epochs in dict.fromkeys(one.epochs for one in found):
        alike = [one for one in found if one.epochs == epochs]
        length = f"{epochs} epoch" + ("" if epochs == 1 else "s")
        yield tag("h3", f"How closely they go together, {length}")
        yield _slopes(alike, length)
        yield tag("p", *_lines(LEGEND), class_="small")
        yield tag("ul", (tag("li", one) for one in said(material, alike[0])), class_="said")
    yield tag("h3", "What this cannot say")
    yield tag("ul", (tag("li", one) for one in CAVEATS), class_="said")


def estimable(found: Association) -> bool:
    """Whether there is an interval for anything but single rules."""
    estimates = (found.correlation, found.between, found.within, found.adjusted)
    return any(estimate.interval is not None for estimate in estimates)


def too_few(found: Association) -> str:
    """The one sentence where no interval is estimable."""
    counts = (
        (found.runs, "run"),
        (found.configurations, "configuration"),
        (len(found.rules), "rule"),
        (len(found.seeds), "seed"),
    )
    named = ", ".join(f"{n} {noun}" + ("" if n == 1 else "s") for n, noun in counts)
    return (
        f"How closely accuracy and similarity go together cannot be estimated from so few: {named}."
    )


def said(material: Material, found: Association) -> list[str]:
    """One association in sentences, with titles in place of ids."""
    telling = [rule for rule in found.by_rule if rule.over_settings.value or rule.over_seeds.value]
    few = [rule.rule for rule in found.by_rule if rule not in telling]
    text = list(sentences(replace(found, by_rule=tuple(telling))))
    if few:
        text.append(f"Runs of one rule are too few to be looked at alone: {', '.join(few)}.")
    rules = [*found.rules, material.associations.paired.reference]
    return [with_titles(sentence, rules) for sentence in text]


def _slopes(found: Sequence[Association], length: str) -> Html:
    rows = []
    for one in found:
        name, *cells = table_row(one)
        rows.append(["mean over layers" if name == MEAN else name, *cells])
    return table(HEAD, rows, f"Accuracy and similarity after {length}", numeric=range(1, len(HEAD)))


def _lines(text: str) -> Iterator[Html | str]:
    for i, line in enumerate(text.splitlines()):
        if i:
            yield tag("br")
        yield line


def association_markdown(material: Material) -> list[str]:
    """The same for a pull request, folded; none without runs."""
    found = material.associations.found
    if not found:
        return []
    reference = configuration_title(material.associations.paired.reference)
    said_here = said(material, found[0]) if estimable(found[0]) else [too_few(found[0])]
    return [
        "",
        f"<details><summary>Accuracy against similarity to {reference}</summary>",
        "",
        *(f"- {sentence}" for sentence in said_here),
        "",
        CAVEATS[0],
        "",
        "</details>",
    ]
