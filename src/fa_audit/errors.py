"""The one exception that stands for a mistake a user can mend, and what to say of a wrong name."""

import difflib
from collections.abc import Collection, Set


class AuditError(Exception):
    """Something a user can mend: a setting, a file, a folder, an argument.

    The message is one sentence that says what is wrong, where, and what to do. The command line
    prints it without a traceback and ends with exit code 2.
    """


def suggest(word: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or which there are.

    Of more than 20 the first eight are named, and how many more there are.
    """
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    names = sorted(known) if isinstance(known, Set) else list(known)
    shown = names if len(names) <= 20 else [*names[:8], f"and {len(names) - 8} more"]
    return f"choose from: {', '.join(shown)}."
