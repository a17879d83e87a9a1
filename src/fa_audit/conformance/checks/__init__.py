"""The named checks: sentences that must be true of a layer, and how to find out.

There is no list of checks per rule: each check says of which declared properties it speaks. The
order of the imports is the order of CHECKS and of every table.
"""

# isort: off
from fa_audit.conformance.checks import gradients  # noqa: F401
from fa_audit.conformance.checks import feedback  # noqa: F401
from fa_audit.conformance.checks import training  # noqa: F401
from fa_audit.conformance.checks import usage  # noqa: F401
from fa_audit.conformance.checks import convolution  # noqa: F401
from fa_audit.conformance.checks.catalogue import CHECKS, Check

# isort: on

__all__ = ["CHECKS", "Check"]
