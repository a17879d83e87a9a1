"""The page: one HTML file that needs nothing else, put together from the parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from fa_audit.audit import Change, Verdict
from fa_audit.audit.claims import MeasuredClaim
from fa_audit.report.association import association_notes
from fa_audit.report.cards import claim_card, matrix_title
from fa_audit.report.claims_table import claims_table, controls, verdict_counts
from fa_audit.report.costs import cost_table
from fa_audit.report.drawing import Figure, panel_svg
from fa_audit.report.figures.accuracy import accuracy_by_epoch, accuracy_of_seeds
from fa_audit.report.figures.association import accuracy_against_similarity
from fa_audit.report.figures.costs import cost_beside_reference
from fa_audit.report.figures.errors import (
    distance_moved,
    local_angles,
    sign_concordance,
    true_angles,
)
from fa_audit.report.figures.exemplars import exemplar_figures
from fa_audit.report.figures.grids import searched_settings
from fa_audit.report.figures.ranks import rank_figures
from fa_audit.report.figures.similarity import cka_matrices
from fa_audit.report.figures.similarity import controls as control_figure
from fa_audit.report.flags import flags
from fa_audit.report.html import Child, Html, join, tag
from fa_audit.report.material import Material, Missing
from fa_audit.report.names import measure_family
from fa_audit.report.notes import notes
from fa_audit.report.other import channel_measurements, other_measurements
from fa_audit.report.plausibility import plausibility_table
from fa_audit.report.provenance import facts, runs_table, settings, study_facts
from fa_audit.report.shell import asset, document, stand_in_banner


@dataclass(frozen=True)
class Section:
    """A part of the page that the contents list."""

    id: str
    title: str
    parts: Sequence[Child]


ACCURACY, ERRORS, SIMILARITY, ASSOCIATION, CHANNELS, COST = (
    "Accuracy",
    "Errors sent down",
    "Similarity of representations",
    "Similarity and accuracy",
    "What single channels show",
    "Cost",
)


def all_figures(material: Material) -> dict[str, list[Figure | Missing]]:
    """Every figure of the report by the heading it stands under, or why it is not there.

    What a study does not declare at all, such as a grid, has no place; what it declares and has not
    run yet is named.
    """
    study = material.study
    figures: dict[str, list[Figure | Missing]] = {
        ACCURACY: [accuracy_of_seeds(material), accuracy_by_epoch(material)],
        ERRORS: [
            local_angles(material),
            true_angles(material),
            sign_concordance(material),
            distance_moved(material),
        ],
        **rank_figures(material),
    }
    if material.grid:
        figures[ACCURACY].append(searched_settings(material))
    if study.comparisons:
        subsets = study.comparison.subsets
        figures[SIMILARITY] = [
            control_figure(material),
            *(cka_matrices(material, subset) for subset in subsets),
        ]
        figures[ASSOCIATION] = [accuracy_against_similarity(material)]
    if study.inspections:
        figures[CHANNELS] = exemplar_figures(material)
    figures[COST] = [cost_beside_reference(material)] if study.costs else []
    return figures


def report_page(
    material: Material,
    figures: dict[str, list[Figure | Missing]],
    folder: Path,
    commands: Sequence[str],
    changes: Sequence[Change] = (),
) -> str:
    """The whole page as text.

    Args:
        material: What it shows.
        figures: As `all_figures` gives them.
        folder: The study's folder, for its README.
        commands: What makes all this again, a line each.
        changes: How the verdicts differ from those recorded.
    """
    sections = list(_sections(material, figures, folder, commands, changes))
    title = f"{material.study.title}: audit"
    if material.evidence.stand_in:
        title = f"STAND-IN: {title}"
    return document(
        title,
        material.study.name,
        tag("a", "To the claims", href="#claims", class_="skip"),
        stand_in_banner() if material.evidence.stand_in else None,
        _head(material),
        tag(
            "nav",
            tag("ul", (tag("li", tag("a", one.title, href=f"#{one.id}")) for one in sections)),
            aria_label="Contents",
        ),
        tag("main", (_section(one) for one in sections)),
        script=asset("page.js"),
    )


def _head(material: Material) -> Html:
    """What was audited, on what, with how many seeds."""
    return tag(
        "header",
        tag("p", "fa-audit report", class_="kicker"),
        tag("h1", material.study.title),
        tag("p", f"Audited: {material.claims.paper}.", class_="paper"),
        study_facts(material),
    )


def _sections(
    material: Material,
    figures: dict[str, list[Figure | Missing]],
    folder: Path,
    commands: Sequence[str],
    changes: Sequence[Change],
) -> Iterator[Section]:
    yield Section(
        "claims",
        "Claims and verdicts",
        [
            verdict_counts(material.verdicts),
            _know_first(material, changes),
            controls(material),
            tag("p", id="shown", role="status", class_="small scripted"),
            tag("div", claims_table(material), class_="claims-frame"),
            tag("button", "Show all claims", type="button", id="show-all", class_="scripted"),
        ],
    )
    for heading, members in figures.items():
        parts = [_figure(one) for one in members]
        if heading == ASSOCIATION:
            parts += association_notes(material)
        elif heading == CHANNELS and (table := channel_measurements(material)) is not None:
            parts.append(_numbers(table, "All measurements of single channels"))
        elif heading == COST:
            parts.append(_cost(material))
        yield Section(_slug(heading), heading, parts)
    yield Section(
        "plausibility",
        "Plausibility of the rules",
        [
            tag(
                "p",
                "Derived from the properties that each rule declares; tests hold the code to them.",
            ),
            plausibility_table(material),
        ],
    )
    if (others := other_measurements(material)) is not None:
        yield Section("other", "Other measurements", [_numbers(others, "All of them")])
    yield Section(
        "cards",
        "Every claim in detail",
        [
            tag("button", "Open all", type="button", id="open-all", class_="scripted"),
            *_cards(material),
        ],
    )
    yield Section("provenance", "Provenance", list(_provenance(material, folder, commands)))


def _cards(material: Material) -> Iterator[Html]:
    """All cards by what they are about; those on the cells of a matrix together."""
    chapters: dict[str, list[Verdict]] = {}
    for verdict in material.verdicts:
        claim = material.claim[verdict.claim]
        title = "settled by reading"
        if isinstance(claim, MeasuredClaim):
            title = measure_family(claim.measure)
        chapters.setdefault(title, []).append(verdict)
    for title, verdicts in chapters.items():
        yield tag("h3", title[0].upper() + title[1:], class_="chapter")
        for matrix, members in groupby(verdicts, key=lambda verdict: verdict.matrix):
            cards = [claim_card(verdict, material) for verdict in members]
            if matrix:
                title = matrix_title([v for v in verdicts if v.matrix == matrix], material)
                yield tag("details", tag("summary", title), cards, class_="group")
            else:
                yield from cards


def _slug(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _know_first(material: Material, changes: Sequence[Change]) -> Html | None:
    found = flags(material, changes)
    if found is None:
        return None
    return tag(
        "aside", tag("h3", "Know before you read"), found, class_="know", aria_label="Warnings"
    )


def _section(section: Section) -> Html:
    return tag(
        "section",
        tag("h2", section.title, id=f"{section.id}-title"),
        *section.parts,
        id=section.id,
        aria_labelledby=f"{section.id}-title",
    )


def _figure(figure: Figure | Missing) -> Html:
    if isinstance(figure, Missing):
        return _missing(figure)
    panels = [
        tag("div", panel_svg(panel, f"{figure.name}-{i}"), class_="panel-frame")
        for i, panel in enumerate(figure.panels)
    ]
    return tag(
        "div",
        tag("h3", figure.title),
        tag(
            "figure",
            tag("div", panels, class_=f"panels of-{figure.columns}"),
            tag("figcaption", figure.caption),
        ),
        _numbers(figure.numbers, "The numbers behind it"),
        id=f"figure-{figure.name}",
        class_="plot",
    )


def _missing(missing: Missing) -> Html:
    return tag(
        "div", tag("h3", missing.title), tag("p", missing.reason), class_="missing", role="note"
    )


def _numbers(table: Html, summary: str) -> Html:
    return tag("details", tag("summary", summary), table, class_="numbers")


def _cost(material: Material) -> Html:
    counted = cost_table(material)
    if counted is None:
        return _missing(Missing("Cost of a training step", "No run of this study has ended yet."))
    return join(
        tag(
            "p",
            "Counted from the layers, not timed: million multiply-adds per image, and floats. The "
            "last column is how long our runs took, whatever else the machine was doing.",
        ),
        counted,
    )


def _provenance(material: Material, folder: Path, commands: Sequence[str]) -> Iterator[Html]:
    yield facts(material)
    yield tag("h3", "To make it again")
    yield tag("pre", tag("code", "\n".join(commands)), tabindex="0")
    yield tag("h3", "Settings")
    yield settings(material)
    for heading, content in notes(folder / "README.md"):
        yield tag("h3", heading)
        yield tag("div", content, class_="notes")
    yield tag("h3", "Every run")
    yield tag("div", runs_table(material), class_="one-line")
