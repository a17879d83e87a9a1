"""Measure: metrics taken of networks. Reads networks and images, changes neither."""

from fa_audit.measure.accuracy import Evaluation, evaluate
from fa_audit.measure.errors import ErrorAngles, error_angles
from fa_audit.measure.representations import Similarity, compare, measured_layers

__all__ = [
    "ErrorAngles",
    "Evaluation",
    "Similarity",
    "compare",
    "error_angles",
    "evaluate",
    "measured_layers",
]
