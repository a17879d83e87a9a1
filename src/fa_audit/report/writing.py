"""Making a report of a study's folder, and writing it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import unescape
from itertools import chain
from pathlib import Path

from fa_audit.audit import (
    Change,
    compare_verdicts,
    judge,
    load_claims,
    read_verdicts,
    verdict_table,
)
from fa_audit.audit.gather import gather
from fa_audit.audit.paired_runs import to_csv
from fa_audit.data import load_dataset
from fa_audit.data.cifar import cifar_at_hand
from fa_audit.data.editions import EDITIONS
from fa_audit.errors import AuditError
from fa_audit.report.association import association_markdown
from fa_audit.report.drawing import FORMATS, Figure, write_files
from fa_audit.report.flags import flag_sentences
from fa_audit.report.html import escape
from fa_audit.report.material import Material, Missing
from fa_audit.report.overview import overview_page
from fa_audit.report.page import all_figures, report_page
from fa_audit.report.pictures import Pictures
from fa_audit.report.shell import MARK
from fa_audit.study.files import write_atomically
from fa_audit.study.spec import Study, load_study

PAGE = "index.html"
FIGURES = "figures"
RUNS = "accuracy-and-similarity.csv"
SEVERAL = "several studies"
"""What the page that leads to others says it is of; no study's name has a blank."""


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


def make_report(
    study: Path,
    out: Path | None = None,
    commands: Sequence[str] = (),
    data: Path | None = None,
) -> Report:
    """Judge a study's claims by its ledger, for a report of it.

    Args:
        study: Its folder, or its study.toml.
        out: A folder whose ledger and verdicts are used instead of the study's, where it has a
            ledger.
        commands: What makes all this again, a line each; by default run, judge and report.
        data: A folder with CIFAR-10, for the images that records name; by default the one in
            FA_AUDIT_DATA or an earlier download. Read when a figure shows them. Nothing is
            downloaded: without images the report says how to have them.

    Raises:
        AuditError: Study, claims, a record or the recorded verdicts cannot be used; says which and
            why.
    """
    folder = study if study.is_dir() else study.parent
    source = out if out is not None and (out / "ledger").is_dir() else folder
    declared = load_study(study)
    claims = load_claims(folder / "claims.toml")
    evidence = gather(declared, source)
    shown = any(evidence.records[id] for id in declared.inspections)
    pictures = _pictures(declared, data) if shown else None
    material = Material(declared, claims, evidence, judge(claims, evidence), pictures)
    recorded = read_verdicts(source / "verdicts.json")
    changes = [] if recorded is None else compare_verdicts(recorded, material.verdicts)
    commands = commands or _commands(declared, study, out, from_out=source == out)
    return Report(material, folder, commands, changes)


def _commands(study: Study, path: Path, out: Path | None, from_out: bool) -> list[str]:
    """What makes a report again, a line each: images to ledger, ledger to verdicts, to the page."""
    name = shlex.quote(str(path))
    page = "" if out is None else f" --out {shlex.quote(str(out))}"
    ledger = page if from_out else ""
    data = holds = ""
    if study.data.name in EDITIONS:  # a stand-in is drawn, not read
        data, holds = " --data DIR", f"; DIR holds {EDITIONS[study.data.name].title}"
    told = {
        f"fa-audit run {name}{data}{ledger or ' --out OUT'}": f"images to ledger{holds}",
        f"fa-audit judge {name}{ledger}": "ledger to verdicts",
        f"fa-audit report {name}{page}": "this page",
    }
    width = max(map(len, told))
    return [f"{command.ljust(width)}  # {what}" for command, what in told.items()]


def _pictures(study: Study, data: Path | None) -> Pictures | None:
    """The study's test images, not read yet, where they are at hand."""
    if study.data.name in EDITIONS:
        data = data or cifar_at_hand(study.data.name)
        if data is None:
            return None
    load = partial(load_dataset, study.data.name, data, **study.data.sizes)
    return Pictures(load, study.data.crop)


def write_report(report: Report, folder: Path) -> Path:
    """Write the page and, beside it, every figure as PNG and SVG, and the runs behind one as CSV.

    Args:
        report: From `make_report`.
        folder: Where index.html and figures/ go.

    Returns:
        The page.

    Raises:
        AuditError: The folder cannot be written, or holds the report of another study; the data or
            the study's README cannot be read.
    """
    page = folder / PAGE
    _require_own(page, report.material.study.name)
    figures = all_figures(report.material)
    text = report_page(report.material, figures, report.folder, report.commands, report.changes)
    write_atomically(page, lambda path: path.write_text(text, encoding="utf-8"))
    for figure in _drawn(figures).values():
        write_files(figure, *(folder / FIGURES / f"{figure.name}.{one}" for one in FORMATS))
    if runs := report.material.associations.paired.runs:
        write_atomically(folder / RUNS, lambda path: path.write_text(to_csv(runs), "utf-8"))
    return page


def write_reports(reports: Sequence[Report], folder: Path) -> Path:
    """Write a page for each of several studies, and one that leads to them.

    Args:
        reports: From `make_report`, of studies with names of their own.
        folder: Where index.html goes, and NAME/index.html with its figures for every study.

    Returns:
        The page that leads to the others.

    Raises:
        AuditError: Two studies have one name; else as `write_report`.
    """
    by_name: dict[str, Report] = {}
    for report in reports:
        name = report.material.study.name
        if name in by_name:
            raise AuditError(
                f"{by_name[name].folder} and {report.folder} are both called {name}, and would be "
                "written to one page; name each study once, or write them to different folders"
            )
        by_name[name] = report
    page = folder / PAGE
    _require_own(page, SEVERAL)
    for name, report in by_name.items():
        write_report(report, folder / name)
    text = overview_page([report.material for report in reports], SEVERAL)
    write_atomically(page, lambda path: path.write_text(text, encoding="utf-8"))
    return page


def write_figure(report: Report, file: Path) -> None:
    """Write one figure alone.

    Args:
        report: From `make_report`.
        file: NAME.png or NAME.svg, with the name of the figure, such as accuracy.png.

    Raises:
        AuditError: There is no such figure or format, the file cannot be written, or the data,
            where the figure shows images, cannot be read.
    """
    figures = _drawn(all_figures(replace(report.material, pictures=None)))
    if file.stem not in figures:  # it shows images, or is none
        figures = _drawn(all_figures(report.material))
    if file.stem not in figures or file.suffix.removeprefix(".") not in FORMATS:
        raise AuditError(
            f"{file.name} names no figure of this report; write NAME.png or NAME.svg with one of: "
            f"{', '.join(figures) or 'none, as the ledger is empty'}"
        )
    write_files(figures[file.stem], file)


def _drawn(figures: Mapping[str, Sequence[Figure | Missing]]) -> dict[str, Figure]:
    """The figures that there are, by name."""
    every = chain.from_iterable(figures.values())
    return {figure.name: figure for figure in every if isinstance(figure, Figure)}


def _require_own(page: Path, study: str) -> None:
    """Refuse to write over a page of something else."""
    if not page.is_file():
        return
    text = page.read_text(encoding="utf-8", errors="replace")
    found = re.search(rf'<meta name="{MARK}" content="([^"]*)">', text)
    if found is None or found[1] != escape(study):
        what = "no report" if found is None else f"the report of {_named(unescape(found[1]))}"
        raise AuditError(f"{page} is {what}; name another folder with --out, or remove it")


def _named(mark: str) -> str:
    return mark if mark == SEVERAL else f"the study {mark}"


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
    lines += association_markdown(material)
    return "\n".join(lines)
