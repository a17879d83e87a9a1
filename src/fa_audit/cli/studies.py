"""The subcommands about studies: quick, run, judge, report, associate."""

import argparse
import shlex
import sys
from pathlib import Path

from fa_audit.cli.printing import reader_may_leave
from fa_audit.errors import AuditError, suggest


def quick_command(options: argparse.Namespace) -> int:
    """The whole chain on stand-in images."""
    from fa_audit.report import make_report, write_report

    folder = Path(__file__).parents[1] / "quick"
    options.study, options.seeds, options.only, options.data = folder, None, [], None
    train(options)
    options.record, options.markdown = True, False
    options.headlines, options.reasons = False, False
    code = judge_command(options)
    again = f"fa-audit quick --out {shlex.quote(str(options.out))}"
    report = make_report(folder, options.out, [again])
    page = write_report(report, options.out / "report")
    print(f"Ledger, weights and verdicts are in {options.out}, the report is {page}.")
    return code


def run_command(options: argparse.Namespace) -> int:
    """Train and compare; a mistake alone makes it fail."""
    train(options)
    return 0


def train(options: argparse.Namespace) -> None:
    """Do a study's cells and print what they gave."""
    from fa_audit.study.agreement import agreements
    from fa_audit.study.output import OutputFolder
    from fa_audit.study.parallel import Execution, run_study
    from fa_audit.study.selection import select
    from fa_audit.study.spec import load_study
    from fa_audit.study.summary import run_table

    study = load_study(options.study, options.seeds)
    if options.only:
        study = select(study, options.only)
    folder = _folder(options.study)
    out = options.out or folder
    for name in ("workers", "replicas"):
        number = getattr(options, name)
        if number is not None and number < 1:
            raise AuditError(f"--{name} is {number}; it must be at least 1")
    execution = Execution(
        output=out,
        data=options.data,
        device=options.device,
        workers=options.workers,
        replicas=options.replicas,
    )
    run_study(study, execution)
    print(run_table(study, out))
    if out.resolve() != folder.resolve():
        for sentence in agreements(study, OutputFolder(folder), OutputFolder(out)):
            print(sentence)
    print()


def judge_command(options: argparse.Namespace) -> int:
    """Print the verdicts; 1 where any differs from those recorded."""
    from fa_audit.audit import (
        compare_records,
        compare_verdicts,
        judge,
        load_claims,
        read_verdicts,
        verdict_table,
        verdicts_to_json,
    )
    from fa_audit.audit.gather import gather
    from fa_audit.study.files import write_atomically
    from fa_audit.study.spec import load_study

    folder, out = _folder(options.study), _output_folder(options)
    study = load_study(options.study)
    claims = load_claims(folder / "claims.toml")
    if options.headlines and not claims.headlines:
        raise AuditError(
            f"{claims.file} names no headlines; add headlines = a list of ids of claims, or leave "
            "out --headlines."
        )
    evidence = gather(study, out)
    verdicts = judge(claims, evidence)
    file = out / "verdicts.json"
    if options.record:
        text = verdicts_to_json(verdicts, evidence.records)
        write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"))
    recorded = read_verdicts(file)
    changes: list[str] = []
    if recorded is not None:
        changes = [f"{move}." for move in compare_records(recorded, evidence.records)]
        changes += map(str, compare_verdicts(recorded, verdicts))
    # All that counts is done by now: whoever reads the table may leave.
    with reader_may_leave():
        shown = claims.headlines if options.headlines else None
        print(verdict_table(verdicts, evidence, shown, markdown=options.markdown))
        if options.reasons:
            for verdict in verdicts:
                if shown is None or verdict.claim in shown:
                    print(f"\n{verdict.claim}: {verdict.word}. {verdict.reason}")
    # What is not the table goes to stderr, so that a table can be redirected into a page.
    if recorded is None:
        print(f"No verdicts are recorded in {file}; --record writes them.", file=sys.stderr)
    for change in changes:
        print(f"differs from {file.name}: {change}", file=sys.stderr)
    return 1 if changes else 0


def _output_folder(options: argparse.Namespace) -> Path:
    """Where the ledger to be judged is: beside study.toml, or in --out, which must have one."""
    if options.out is None:
        return _folder(options.study)
    if not (options.out / "ledger").is_dir():
        raise AuditError(
            f"--out {options.out} holds no folder called ledger; name a folder that fa-audit run "
            "wrote to"
        )
    out: Path = options.out
    return out


def report_command(options: argparse.Namespace) -> int:
    """Write the page, a figure alone, or print a summary."""
    from fa_audit.report import (
        make_report,
        markdown_report,
        write_figure,
        write_report,
        write_reports,
    )

    first, *others = options.studies
    if others and options.figure:
        raise AuditError(
            f"--figure draws one figure of one study, and {len(options.studies)} are given; name "
            "one of them"
        )
    if others and not (options.markdown or options.out):
        raise AuditError(
            f"{len(options.studies)} studies have no folder in common; name one with --out DIR"
        )
    source = None if others else options.out
    reports = [make_report(study, source, data=options.data) for study in options.studies]
    if options.markdown:
        print("\n\n".join(map(markdown_report, reports)))
    elif options.figure:
        for file in options.figure:
            write_figure(reports[0], file)
    elif others:
        page = write_reports(reports, options.out / "report")
        print(f"The reports of {len(reports)} studies begin at {page}.")
    else:
        page = write_report(reports[0], (options.out or _folder(first)) / "report")
        print(f"The report is {page}, its figures are in {page.parent / 'figures'}.")
    return 0


def associate_command(options: argparse.Namespace) -> int:
    """Print how accuracy goes with similarity, or the runs behind it."""
    from fa_audit.audit.association import associate
    from fa_audit.audit.association_text import association_text
    from fa_audit.audit.gather import gather
    from fa_audit.audit.paired_runs import to_csv
    from fa_audit.study.spec import load_study

    study = load_study(options.study)
    if options.reference not in study.configurations:
        raise AuditError(
            f"--reference {options.reference}: there is no such configuration; "
            f"{suggest(options.reference, study.configurations)}"
        )
    evidence = gather(study, _output_folder(options))
    associations = associate(evidence, options.reference)
    if options.csv:
        print(to_csv(associations.paired.runs), end="")
    else:
        print(association_text(associations))
    return 0


def _folder(study: Path) -> Path:
    return study if study.is_dir() else study.parent
