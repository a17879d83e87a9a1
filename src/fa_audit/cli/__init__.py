"""The command `fa-audit`: thin, each subcommand a few calls of the library."""

import io
import sys
from collections.abc import Sequence

from fa_audit.cli.parser import build_parser
from fa_audit.cli.printing import hang_up, replace_closed_streams
from fa_audit.errors import AuditError

MISTAKE = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    replace_closed_streams()
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # such as one that knows no minus sign
            output.reconfigure(errors="replace")
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
        return code
    except AuditError as error:
        print(f"fa-audit: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        end = "; the same command goes on from here" if options.resumable else ""
        print(f"fa-audit: stopped{end}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        hang_up()
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"fa-audit: the system says of{where or ' its output'}: {error}", file=sys.stderr)
        return MISTAKE
