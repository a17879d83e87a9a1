"""Measure: metrics taken of networks. Reads networks and images, changes neither."""

from fa_audit.measure.accuracy import Evaluation, evaluate
from fa_audit.measure.cost import Cost, NetworkCost, cost_table, network_cost, rule_costs
from fa_audit.measure.errors import ErrorAngles, error_angles
from fa_audit.measure.rank import ErrorRank, GradientTrajectories, error_ranks, gradient_ranks
from fa_audit.measure.representations import (
    Pair,
    Similarity,
    compare,
    compare_many,
    measured_layers,
)

__all__ = [
    "Cost",
    "ErrorAngles",
    "ErrorRank",
    "Evaluation",
    "GradientTrajectories",
    "NetworkCost",
    "Pair",
    "Similarity",
    "compare",
    "compare_many",
    "cost_table",
    "error_angles",
    "error_ranks",
    "evaluate",
    "gradient_ranks",
    "measured_layers",
    "network_cost",
    "rule_costs",
]
