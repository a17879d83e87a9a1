"""Families: claims that share one error rate, their p-values adjusted together.

A claim asks one or two questions of its numbers; those of one family are adjusted question by
question: by Holm's method, or by Benjamini and Hochberg's where the family is a map that is
explored. A claim that cannot be judged yet counts with p = 1, so that a family has the size it was
declared with, not the one that happened. A claim without a family is one by itself: an order's
pairs still share one error rate.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fa_audit.audit import grids, multiplicity, statistics
from fa_audit.audit.cases import Case, quantity
from fa_audit.audit.claims import (
    EquivalenceClaim,
    MeasuredClaim,
    OrderClaim,
    RangeClaim,
    ValueClaim,
    WinnerClaim,
)
from fa_audit.audit.differences import paired_differences


class Answer(NamedTuple):
    """One p-value of a claim, and what its family makes of it."""

    p: float
    p_adjusted: float
    family_size: int
    level: float
    """How small p itself would have to be, the others of the family as they are."""


Answers = Mapping[str, Sequence[Answer]]
"""Question → the answers of one claim: one, or in an order one for each pair."""


def adjusted_answers(cases: Sequence[Case], alpha: float) -> Mapping[str, Answers]:
    """What every case asks of its numbers, answered within its family.

    Args:
        cases: All cases of a claims file.
        alpha: The error rate of each family, in (0, .5).

    Returns:
        Claim id → "differs" (value), "inside" and "outside" (range, equivalence), "most" and
        "fewest" (winner), or "order" and, where a distance is claimed, "size" (order) → p-values,
        adjusted.
    """
    pools: dict[tuple[str, str, str], list[tuple[str, float]]] = defaultdict(list)
    for case in cases:
        claim = case.claim
        if not isinstance(claim, MeasuredClaim):
            continue
        pool = f"family {claim.family}" if claim.family else f"claim {claim.id}"
        for question, p_values in _p_values(case).items():
            pools[pool, claim.control, question].extend((claim.id, p) for p in p_values)
    answers: dict[str, dict[str, list[Answer]]] = {case.claim.id: {} for case in cases}
    for (_, control, question), pooled in pools.items():
        p_values = [p for _, p in pooled]
        size = len(p_values)
        if control == "false-discovery":
            adjusted = multiplicity.benjamini_hochberg(p_values)
            settled = sum(p <= alpha for p in adjusted)
            level = alpha * min(settled + 1, size) / size
        else:
            adjusted = multiplicity.holm(p_values)
            settled = sum(p <= alpha for p in adjusted)
            level = alpha / max(size - settled, 1)
        for (id, p), p_adjusted in zip(pooled, adjusted, strict=True):
            answers[id].setdefault(question, []).append(Answer(p, p_adjusted, size, level))
    return answers


def _p_values(case: Case) -> dict[str, list[float]]:
    """What a claim asks of its numbers, and the raw p-values that answer it."""
    claim, numbers = case.claim, case.numbers
    if isinstance(claim, ValueClaim):
        if numbers is None:
            return {"differs": [1.0]}
        values, k = quantity(claim, numbers), claim.published_runs
        return {
            "differs": [statistics.prediction_p(values, claim.published, k, claim.reading_error)]
        }
    if isinstance(claim, RangeClaim | EquivalenceClaim):
        if numbers is None:
            return {"inside": [1.0], "outside": [1.0]}
        test = statistics.equivalence_test(quantity(claim, numbers), claim.low, claim.high)
        return {"inside": [test.p_inside], "outside": [test.p_outside]}
    if isinstance(claim, WinnerClaim):
        if numbers is None:
            return {"most": [1.0], "fewest": [1.0]}
        wins = grids.count_wins(numbers, claim.winner)
        return {"most": [wins.p_most], "fewest": [wins.p_fewest]}
    if isinstance(claim, OrderClaim):
        distances = {"order": 0.0}
        if claim.at_least is not None:
            distances["size"] = claim.at_least
        if numbers is None:
            return {question: [1.0] * len(claim.pairs) for question in distances}
        differences = [paired_differences(numbers[a], numbers[b]) for a, b in claim.pairs]
        return {
            question: [statistics.mean_p(one, distance) for one in differences]
            for question, distance in distances.items()
        }
    return {}
