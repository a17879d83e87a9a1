"""The one exception that stands for a mistake a user can mend."""


class AuditError(Exception):
    """Something a user can mend: a setting, a file, a folder, an argument.

    The message is one sentence that says what is wrong, where, and what to do. The command line
    prints it without a traceback and ends with exit code 2.
    """
