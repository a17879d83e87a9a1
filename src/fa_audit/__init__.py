"""Reproducibility and audit suite for feedback alignment and its relatives.

Put a learning rule into a network with `convert`, compare two networks layer by layer with
`compare`; everything else is in the rooms `rules`, `metrics`, `measure`, `training`, `study` and
`audit`.
"""

from fa_audit.errors import AuditError
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
