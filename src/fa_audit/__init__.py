"""Reproducibility and audit suite for feedback alignment and its relatives.

Put a learning rule into a network with `convert`, compare two networks layer by layer with
`compare`; everything else is in the rooms `rules`, `metrics`, `measure`, `training`, `study` and
`audit`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fa_audit.errors import AuditError

if TYPE_CHECKING:
    from fa_audit.measure import compare, error_angles
    from fa_audit.rules import RULES, FeedbackConv2d, FeedbackLinear, convert

__all__ = [
    "RULES",
    "AuditError",
    "FeedbackConv2d",
    "FeedbackLinear",
    "compare",
    "convert",
    "error_angles",
]

_ROOM = {
    "RULES": "fa_audit.rules",
    "FeedbackConv2d": "fa_audit.rules",
    "FeedbackLinear": "fa_audit.rules",
    "compare": "fa_audit.measure",
    "convert": "fa_audit.rules",
    "error_angles": "fa_audit.measure",
}


def __getattr__(name: str) -> Any:
    # Looked up when first used: PyTorch takes seconds to import, which neither `fa-audit --help`
    # nor a test run that only has the plugin installed should pay for.
    if name not in _ROOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOM[name]), name)
