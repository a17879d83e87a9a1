"""The command `fa-audit`: thin, each subcommand a few calls of the library."""

import argparse
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fa_audit.errors import AuditError, suggest

if TYPE_CHECKING:
    from fa_audit.rules import Rule

MISTAKE = 2
INTERRUPTED = 130

DESCRIPTION = """\
Reproducibility and audit suite for feedback alignment: exact learning rules, tested measurements,
published claims judged over seeds."""

EXAMPLES = """\
examples:
  fa-audit quick                                   the whole chain on stand-in images, in minutes
  fa-audit run reproductions/lance_kieu_2026 --data ~/data --out out    train every cell once
  fa-audit judge reproductions/lance_kieu_2026     claims × ledger → verdicts, without training
  fa-audit report reproductions/lance_kieu_2026    one HTML page with every verdict and figure
  fa-audit associate reproductions/lance_kieu_2026 does similarity to BP go with accuracy?
  fa-audit check fa_audit.conformance.own:adapter  the checks, on fa-audit's own layers
  fa-audit rules                                   the learning rules
  fa-audit COMMAND --help                          more about one command

exit codes: 0 done; 1 a verdict or a check is not what it should be; 2 a mistake you can mend"""

RUN_HELP = """\
A STUDY is a folder with a study.toml. Every cell (configuration × seed) runs once: its numbers go
to OUT/ledger, one file per cell, its weights to OUT/weights. Stop it at any time: the same command
goes on at the last whole epoch. Several processes may work on one OUT together. Results do not
depend on --workers; with --replicas they agree within the rounding of sums. Where the study's own
folder has a record of a cell too, the end says whether its numbers came out again."""

JUDGE_HELP = """\
Derives every verdict from the study's claims.toml and the ledger; nothing is trained, so neither
data nor a GPU is needed. Compares all of them with verdicts.json, where that is recorded, and ends
with exit code 1 if any verdict or estimate differs, shown or not, or any record of the study,
whether a claim rests on it or not."""

REPORT_HELP = """\
Derives every verdict as `judge` does and writes DIR/report/index.html, one page that needs neither
network nor anything beside it, and its figures as PNG and SVG in DIR/report/figures. Of several
studies, the pages are DIR/report/NAME/index.html, and DIR/report/index.html leads to them. Nothing
is trained; what the ledger does not hold yet is named on the page. The ledger holds numbers only:
images are shown where the data set is at hand."""

ASSOCIATE_HELP = """\
How accuracy goes with similarity to a reference, over all runs that the study compares with it:
between rules, within them, and with settings held fixed, with intervals. Association only."""

CHECK_HELP = """\
Holds an implementation of feedback layers, yours or another's, to named checks: an adapter says how
to build a layer with given weights and feedback, and how to read its feedback. A layer that raises,
hangs or crashes fails a check. Failures listed in the file of expected failures are allowed, and
have to occur. How to write an adapter: fa_audit/conformance/README.md.

exit codes: 0 nothing failed but what was expected to; 1 something else did; 2 a mistake"""

COSTS = """\
architecture1 under each rule: floats of feedback stored between steps and made in every step, and
operations that make them; forward, sent and weight gradient in multiply-adds per image.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # such as one that knows no minus sign
            output.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
        return code
    except AuditError as error:
        print(f"fa-audit: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("fa-audit: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _hang_up()
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"fa-audit: the system says of{where or ' its output'}: {error}", file=sys.stderr)
        return MISTAKE


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "fa-audit", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=layout
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    quick = commands.add_parser(
        "quick",
        help="the whole chain on the embedded stand-in images",
        description="Five rules × three seeds on images drawn from a seed, then verdicts. Needs no "
        "data and no network, and says nothing about any paper.",
    )
    _add_execution(quick, "fa-audit-quick")
    quick.set_defaults(command=_quick)

    run = commands.add_parser(
        "run",
        help="train and compare every cell of a study",
        description=RUN_HELP,
        formatter_class=layout,
    )
    run.add_argument("study", type=Path, metavar="STUDY", help="folder with a study.toml")
    run.add_argument(
        "--seeds", type=int, metavar="N", help="only the first N of the declared seeds"
    )
    run.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="RULE:SEED",
        help="only this cell, or ID for all its seeds, or :SEED for all at one; a * in an ID "
        "stands for any characters; a comparison, such as usf_sn~bp:0, brings the runs that it "
        "needs; may be given several times",
    )
    run.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with CIFAR-10 in an official layout (default: FA_AUDIT_DATA, else download)",
    )
    _add_execution(run, None)
    run.set_defaults(command=_run)

    judge = commands.add_parser(
        "judge",
        help="claims × ledger → verdicts",
        description=JUDGE_HELP,
        formatter_class=layout,
    )
    judge.add_argument("study", type=Path, metavar="STUDY", help="folder with study and claims")
    judge.add_argument(
        "--out", type=Path, metavar="DIR", help="folder with the ledger (default: STUDY)"
    )
    judge.add_argument("--record", action="store_true", help="write verdicts.json anew")
    judge.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    judge.add_argument(
        "--headlines", action="store_true", help="print only the claims that claims.toml headlines"
    )
    judge.add_argument("--reasons", action="store_true", help="print each verdict's reason too")
    judge.set_defaults(command=_judge)

    report = commands.add_parser(
        "report",
        help="the page: verdicts, figures, provenance",
        description=REPORT_HELP,
        formatter_class=layout,
    )
    report.add_argument(
        "studies",
        type=Path,
        nargs="+",
        metavar="STUDY",
        help="folder with study and claims; of several, each has its page, and one leads to them",
    )
    report.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to write to (default: STUDY; needed for several); the ledger of a single "
        "study is taken from it where it has one",
    )
    report.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with CIFAR-10, to show the images that channels answer to (default: "
        "FA_AUDIT_DATA, else an earlier download, else no images)",
    )
    instead = report.add_mutually_exclusive_group()
    instead.add_argument(
        "--markdown", action="store_true", help="print a summary for a pull request instead"
    )
    instead.add_argument(
        "--figure",
        type=Path,
        action="append",
        metavar="FILE",
        help="write one figure alone instead, such as DIR/accuracy.png or DIR/controls.svg; may be "
        "given several times",
    )
    report.set_defaults(command=_report)

    associate = commands.add_parser(
        "associate",
        help="accuracy against similarity to a reference",
        description=ASSOCIATE_HELP,
        formatter_class=layout,
    )
    associate.add_argument("study", type=Path, metavar="STUDY", help="folder with a study.toml")
    associate.add_argument(
        "--out", type=Path, metavar="DIR", help="folder with the ledger (default: STUDY)"
    )
    associate.add_argument(
        "--reference", metavar="ID", default="bp", help="the configuration (default: bp)"
    )
    associate.add_argument("--csv", action="store_true", help="print the runs as CSV instead")
    associate.set_defaults(command=_associate)

    check = commands.add_parser(
        "check",
        help="hold anybody's layers to the checks",
        description=CHECK_HELP,
        formatter_class=layout,
    )
    check.add_argument("target", metavar="MODULE:ADAPTER", help="where the adapter is")
    check.add_argument("--rule", metavar="RULE", help="only this rule (default: all)")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument(
        "--expected", type=Path, metavar="FILE", help="TOML file of expected failures with reasons"
    )
    check.set_defaults(command=_check)

    rules = commands.add_parser("rules", help="the learning rules and their properties")
    rules.add_argument("--cost", action="store_true", help="what each costs, counted not timed")
    rules.set_defaults(command=_rules)
    metrics = commands.add_parser("metrics", help="the measurements, their ranges and invariances")
    metrics.set_defaults(command=_metrics)
    return parser


def _add_execution(parser: argparse.ArgumentParser, default_out: str | None) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=default_out,
        help=f"output folder (default: {default_out or 'the folder of the study'})",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes, one thread each (default: one per core on the CPU, one on CUDA)",
    )
    parser.add_argument(
        "--replicas",
        type=int,
        metavar="N",
        help="runs of one rule that a process trains as one program (default: 1 on the CPU, 10 on "
        "CUDA)",
    )


def _quick(options: argparse.Namespace) -> int:
    from fa_audit.report import make_report, write_report

    folder = Path(__file__).parent / "quick"
    options.study, options.seeds, options.only, options.data = folder, None, [], None
    _train(options)
    options.record, options.markdown = True, False
    options.headlines, options.reasons = False, False
    code = _judge(options)
    report = make_report(folder, options.out, [f"fa-audit quick --out {options.out}"])
    page = write_report(report, options.out / "report")
    print(f"Ledger, weights and verdicts are in {options.out}, the report is {page}.")
    return code


def _run(options: argparse.Namespace) -> int:
    _train(options)
    return 0


def _train(options: argparse.Namespace) -> None:
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


def _judge(options: argparse.Namespace) -> int:
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
    with _reader_may_leave():
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


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Print to a reader that may stop reading, as `head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _hang_up()


def _hang_up() -> None:
    """Let what is still to be printed, also when Python ends, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


def _report(options: argparse.Namespace) -> int:
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


def _associate(options: argparse.Namespace) -> int:
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


def _check(options: argparse.Namespace) -> int:
    from fa_audit.conformance.command import check_command

    return check_command(options.target, options.json, options.rule, options.expected)


def _rules(options: argparse.Namespace) -> int:
    from fa_audit.rules import RULES

    if options.cost:
        return _costs()
    for rule in RULES.values():
        print(f"{rule.name}: {rule.title}")
        print(f"  feedback         {rule.equation}")
        print(f"  weight transport {rule.weight_transport}")
        print(f"  stores B0        {'yes' if rule.stores_feedback else 'no'}")
        print(f"  B in training    {_in_training(rule)}")
        print(f"  sends down       {'the output' if rule.direct else 'its own'} error")
        print(f"  sign-concordant  {'yes' if rule.sign_concordant else 'no'}")
        print(f"  at convolutions  {'dense matrix' if rule.dense else 'transposed convolution'}")
        for option, values in rule.options.items():
            print(f"  {option:16s} {' | '.join(values)} (the first is the default)")
        print(f"  elsewhere        {'; '.join(rule.aliases)}")
        print(f"  source           {rule.source}\n")
    return 0


def _costs() -> int:
    import torch

    from fa_audit.measure import cost_table, rule_costs
    from fa_audit.networks import build_network

    images = torch.zeros(1, 3, 24, 24)
    costs = rule_costs(lambda: build_network("architecture1", 10, torch.Generator()), images)
    print(f"{COSTS}\n{cost_table(costs)}")
    return 0


def _in_training(rule: "Rule") -> str:
    if rule.trains_feedback:
        return "trained as W is"
    if rule.redraws_feedback:
        return "drawn anew for every pass"
    return "follows W" if rule.changes_in_training else "fixed"


def _metrics(options: argparse.Namespace) -> int:
    from fa_audit.metrics import METRICS

    for name, metric in METRICS.items():
        low, high = metric.range
        print(f"{name}: {metric.title}")
        print(f"  of               {', '.join(metric.arguments)}")
        print(f"  range            {low:g} to {high:g} {metric.unit}".rstrip())
        print(f"  unchanged by     {', '.join(sorted(metric.invariances)) or 'nothing'}")
        print(f"  estimator        {metric.estimator}")
        print(f"  source           {metric.source}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
