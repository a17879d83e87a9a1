"""Making a report of a study's folder, and writing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fa_audit.audit import Change, compare_verdicts, judge, load_claims, verdict_table
from fa_audit.audit.gather import gather
from fa_audit.report.drawing import Figure, write_files
from fa_audit.report.flags import flag_sentences
from fa_audit.report.material import Material
from fa_audit.report.page import all_figures, report_page
from fa_audit.study.files import write_atomically
from fa_audit.study.spec import load_study

PAGE = "index.html"
FIGURES = "figures"


@dataclass(frozen=True)
class Report:
    """A report before it is written.

    Attributes:
        material: What it is made of.
        folder: The study's folder.
        commands: What makes all this again, a line each.
        changes: How its verdicts differ from those recorded.
    """

    material: Material
    folder: Path
    commands: Sequence[str]
    changes: Sequence[Change] = ()


def make_report(study: Path, out: Path | None = None, commands: Sequence[str] = ()) -> Report:
    """Judge a study's claims by its ledger, for a report of it.

    Args:
        study: Its folder, or its study.toml.
        out: A folder whose ledger and verdicts are used instead of the study's, where it has a
            ledger.
        commands: What makes all this again, a line each; by default run, judge and report.

    Raises:
        AuditError: Study, claims or a record cannot be used; says which and why.
    """
    folder = study if study.is_dir() else study.parent
    source = out if out is not None and (out / "ledger").is_dir() else folder
    declared = load_study(study)
    claims = load_claims(folder / "claims.toml")
    evidence = gather(declared, source)
    material = Material(declared, claims, evidence, judge(claims, evidence))
    recorded = source / "verdicts.json"
    changes = (
        compare_verdicts(recorded.read_text(encoding="utf-8"), material.verdicts)
        if recorded.exists()
        else []
    )
    commands = commands or (
        f"fa-audit run {study} --data DIR --out OUT   # images to ledger; DIR holds CIFAR-10",
        f"fa-audit judge {study}                      # ledger to verdicts",
        f"fa-audit report {study}                     # this page",
    )
    return Report(material, folder, commands, changes)


def write_report(report: Report, folder: Path) -> Path:
    """Write the page and, beside it, every figure as PNG and SVG.

    Args:
        report: From `make_report`.
        folder: Where index.html and figures/ go.

    Returns:
        The page.

    Raises:
        AuditError: The folder cannot be written.
    """
    figures = all_figures(report.material)
    text = report_page(report.material, figures, report.folder, report.commands, report.changes)
    page = folder / PAGE
    write_atomically(page, lambda path: path.write_text(text, encoding="utf-8"))
    for group in figures.values():
        for figure in group:
            if isinstance(figure, Figure):
                write_files(figure, folder / FIGURES)
    return page


def markdown_report(report: Report) -> str:
    """The report for a pull request: headlines, counts, warnings, and all claims folded away."""
    material = report.material
    headlines = material.claims.headlines or None
    lines = [
        verdict_table(material.verdicts, material.evidence, headlines, markdown=True),
        "",
        *(f"- {sentence}" for sentence in flag_sentences(material, report.changes)),
    ]
    if headlines:
        every = verdict_table(material.verdicts, material.evidence, markdown=True)
        summary = f"All {len(material.verdicts)} claims"
        lines += ["", f"<details><summary>{summary}</summary>", "", every, "", "</details>"]
    return "\n".join(lines)
