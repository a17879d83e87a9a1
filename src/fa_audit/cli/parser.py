"""What can be written after `fa-audit`, and what its help says."""

import argparse
from pathlib import Path

from fa_audit.cli import listings, studies

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


def build_parser() -> argparse.ArgumentParser:
    """The parser; what it returns has as `command` what is to be done with it.

    And as `resumable` whether that, once stopped, goes on where it was.
    """
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "fa-audit", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=layout
    )
    parser.set_defaults(resumable=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    quick = commands.add_parser(
        "quick",
        help="the whole chain on the embedded stand-in images",
        description="Five rules × three seeds on images drawn from a seed, then verdicts. Needs no "
        "data and no network, and says nothing about any paper.",
    )
    _add_execution(quick, "fa-audit-quick")
    quick.set_defaults(command=studies.quick_command)

    run = commands.add_parser(
        "run",
        help="train and compare every cell of a study",
        description=RUN_HELP,
        formatter_class=layout,
    )
    run.add_argument("study", type=_path, metavar="STUDY", help="folder with a study.toml")
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
        type=_path,
        metavar="DIR",
        help="folder with CIFAR-10 in an official layout (default: FA_AUDIT_DATA, else download)",
    )
    _add_execution(run, None)
    run.set_defaults(command=studies.run_command)

    judge = commands.add_parser(
        "judge",
        help="claims × ledger → verdicts",
        description=JUDGE_HELP,
        formatter_class=layout,
    )
    judge.add_argument("study", type=_path, metavar="STUDY", help="folder with study and claims")
    judge.add_argument(
        "--out", type=_path, metavar="DIR", help="folder with the ledger (default: STUDY)"
    )
    judge.add_argument("--record", action="store_true", help="write verdicts.json anew")
    judge.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    judge.add_argument(
        "--headlines", action="store_true", help="print only the claims that claims.toml headlines"
    )
    judge.add_argument("--reasons", action="store_true", help="print each verdict's reason too")
    judge.set_defaults(command=studies.judge_command)

    report = commands.add_parser(
        "report",
        help="the page: verdicts, figures, provenance",
        description=REPORT_HELP,
        formatter_class=layout,
    )
    report.add_argument(
        "studies",
        type=_path,
        nargs="+",
        metavar="STUDY",
        help="folder with study and claims; of several, each has its page, and one leads to them",
    )
    report.add_argument(
        "--out",
        type=_path,
        metavar="DIR",
        help="folder to write to (default: STUDY; needed for several); the ledger of a single "
        "study is taken from it where it has one",
    )
    report.add_argument(
        "--data",
        type=_path,
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
        type=_path,
        action="append",
        metavar="FILE",
        help="write one figure alone instead, such as DIR/accuracy.png or DIR/controls.svg; may be "
        "given several times",
    )
    report.set_defaults(command=studies.report_command)

    associate = commands.add_parser(
        "associate",
        help="accuracy against similarity to a reference",
        description=ASSOCIATE_HELP,
        formatter_class=layout,
    )
    associate.add_argument("study", type=_path, metavar="STUDY", help="folder with a study.toml")
    associate.add_argument(
        "--out", type=_path, metavar="DIR", help="folder with the ledger (default: STUDY)"
    )
    associate.add_argument(
        "--reference", metavar="ID", default="bp", help="the configuration (default: bp)"
    )
    associate.add_argument("--csv", action="store_true", help="print the runs as CSV instead")
    associate.set_defaults(command=studies.associate_command)

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
        "--expected", type=_path, metavar="FILE", help="TOML file of expected failures with reasons"
    )
    check.set_defaults(command=listings.check_command)

    rules = commands.add_parser("rules", help="the learning rules and their properties")
    rules.add_argument("--cost", action="store_true", help="what each costs, counted not timed")
    rules.set_defaults(command=listings.rules_command)
    metrics = commands.add_parser("metrics", help="the measurements, their ranges and invariances")
    metrics.set_defaults(command=listings.metrics_command)
    return parser


def _path(text: str) -> Path:
    """A path; one that is empty, as of a variable that is not set, is not the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; name a file or folder")
    return Path(text)


def _add_execution(parser: argparse.ArgumentParser, default_out: str | None) -> None:
    parser.set_defaults(resumable=True)  # what trains keeps what it has done
    parser.add_argument(
        "--out",
        type=_path,
        metavar="DIR",
        default=default_out,
        help=f"output folder (default: {default_out or 'the folder of the study'})",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes, one thread each (default: on the CPU one per core that this process may "
        "use, one on CUDA)",
    )
    parser.add_argument(
        "--replicas",
        type=int,
        metavar="N",
        help="runs of one rule that a process trains as one program (default: 1 on the CPU, 10 on "
        "CUDA)",
    )
