"""Rules: how an error crosses a layer on its way down."""

from fa_audit.rules.base import FeedbackLayer
from fa_audit.rules.convert import Conversion, convert
from fa_audit.rules.layers import (
    FeedbackConv2d,
    FeedbackLinear,
    as_backpropagation,
    feedback_layers,
)
from fa_audit.rules.plausibility import PLAUSIBILITY
from fa_audit.rules.table import RULES, Rule, get_rule

__all__ = [
    "PLAUSIBILITY",
    "RULES",
    "Conversion",
    "FeedbackConv2d",
    "FeedbackLayer",
    "FeedbackLinear",
    "Rule",
    "as_backpropagation",
    "convert",
    "feedback_layers",
    "get_rule",
]
