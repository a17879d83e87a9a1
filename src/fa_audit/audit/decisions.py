"""Deciding: the word that a claim's numbers earn, and the sentence that gives the reason."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fa_audit.audit import grids, sample_size, statistics
from fa_audit.audit.cases import Case, Numbers, quantity
from fa_audit.audit.claims import (
    EquivalenceClaim,
    OrderClaim,
    RangeClaim,
    ValueClaim,
    WinnerClaim,
)
from fa_audit.audit.differences import Difference, paired_t
from fa_audit.audit.families import Answer, Answers
from fa_audit.audit.statistics import Interval
from fa_audit.audit.verdict import OF_AUDIT, Comparison, GridEntry, Verdict, Word
from fa_audit.audit.wording import digits, outlook, show, span


def decide(case: Case, answers: Answers, alpha: float) -> Verdict:
    """The verdict on one case.

    Args:
        case: The claim, its draft, and its numbers where it can be judged.
        answers: Its p-values, adjusted within its family.
        alpha: The error rate of each family.
    """
    claim, verdict, numbers = case.claim, case.draft, case.numbers
    if numbers is not None:
        if isinstance(claim, ValueClaim):
            verdict = _decide_value(claim, verdict, quantity(claim, numbers), answers, alpha)
        elif isinstance(claim, RangeClaim | EquivalenceClaim):
            verdict = _decide_bounds(claim, verdict, quantity(claim, numbers), answers, alpha)
        elif isinstance(claim, OrderClaim):
            pairs = [paired_t(numbers[a], numbers[b], alpha) for a, b in claim.pairs]
            verdict = _decide_order(claim, verdict, pairs, answers, alpha)
        elif isinstance(claim, WinnerClaim):
            verdict = _decide_winner(claim, verdict, numbers, case.training, answers, alpha)
    if verdict.diverged:
        share = f"{verdict.diverged} of {len(verdict.records)}"
        reason = f"{verdict.reason.rstrip('.')}; {share} runs diverged and count like the others."
        verdict = replace(verdict, reason=reason)
    if claim.origin == "audit":
        verdict = replace(verdict, word=OF_AUDIT.get(verdict.word, verdict.word))
    return verdict


def _decide_value(
    claim: ValueClaim,
    draft: Verdict,
    values: NDArray[np.float64],
    answers: Answers,
    alpha: float,
) -> Verdict:
    """Could the published number be one of our runs, and should we have noticed if not?

    A number outside the interval that may still be chance among the claims of its family is neither
    reproduced nor refuted. So "reproduced" always means that our mean is within the margin of it,
    and a number whose true mean is two margins away earns the word with α/2 at most: it would have
    to lie a whole half-width nearer to us than its mean.
    """
    (answer,) = answers["differs"]
    n, mean, sd = statistics.summarise(values)
    k, error, unit = claim.published_runs, claim.reading_error, claim.quantity_unit
    allowed = f"± {show(claim.margin, claim.difference_unit)}"
    half_width = statistics.prediction_half_width(n, sd, alpha, k) + error
    interval = Interval(mean - half_width, mean + half_width)
    draft = replace(
        draft,
        interval=interval,
        interval_kind=f"{100 * (1 - alpha):g} % prediction interval",
        half_width=half_width,
        p=answer.p,
        p_adjusted=answer.p_adjusted,
    )
    published = f"The published {show(claim.published, unit)}"
    theirs = "a run" if k == 1 else f"a mean of {k} runs"
    where = (
        f"{span(interval, unit, claim.published)}, where our {n} seeds place {theirs} like theirs"
    )
    distance = abs(mean - claim.published)
    if answer.p_adjusted <= alpha:
        reason = f"{published} lies outside {where}."
        return replace(draft, word=Word.NOT_REPRODUCED, reason=reason)
    if distance <= half_width <= claim.margin:
        reason = f"{published} lies within {where}, and {allowed} was allowed."
        return replace(draft, word=Word.REPRODUCED, reason=reason)
    if distance <= half_width:
        needed = sample_size.seeds_for_prediction(sd, claim.margin - error, alpha, k)
        why = f"within {where}, but that is wider than the {allowed} allowed"
    else:
        needed = sample_size.seeds_for_prediction(sd, distance - error, answer.level, k)
        why = f"outside {where}, but one miss among {answer.family_size} claims may be chance"
    reason = f"{published} lies {why}; {outlook(needed, 'runs like theirs scatter too widely')}."
    return replace(draft, reason=reason, seeds_needed=needed)


def _decide_bounds(
    claim: RangeClaim | EquivalenceClaim,
    draft: Verdict,
    values: NDArray[np.float64],
    answers: Answers,
    alpha: float,
) -> Verdict:
    """Is our mean shown to lie between the bounds, shown to lie beyond one, or neither?"""
    (inside,), (outside,) = answers["inside"], answers["outside"]
    n, mean, sd = statistics.summarise(values)
    # A mean is shown to lie inside by two one-sided tests, and outside by a two-sided one.
    within = claim.low <= mean <= claim.high
    answer, error = (inside, 2 * alpha) if within else (outside, alpha)
    seeds_for = sample_size.seeds_for_equivalence if within else sample_size.seeds_for_difference
    unit, interval = claim.quantity_unit, statistics.mean_interval(values, error)
    draft = replace(
        draft,
        interval=interval,
        interval_kind=f"{100 * (1 - error):g} % confidence interval",
        half_width=interval.half_width,
        p=answer.p,
        p_adjusted=answer.p_adjusted,
    )
    around = f"{draft.interval_kind} {span(interval, unit)}"
    ours = f"Our mean of {n} seeds, {show(mean, unit)} ({around}),"
    bounds = span(Interval(claim.low, claim.high), unit)
    if isinstance(claim, EquivalenceClaim) and show(claim.low, unit) == show(claim.high, unit):
        bounds = f"{show(claim.target, unit)} ± {digits(claim.margin)}"  # rounding hides it
    if inside.p_adjusted <= alpha:
        return replace(draft, word=Word.REPRODUCED, reason=f"{ours} lies inside {bounds}.")
    if outside.p_adjusted <= alpha:
        return replace(draft, word=Word.NOT_REPRODUCED, reason=f"{ours} lies outside {bounds}.")
    room = min(abs(mean - claim.low), abs(mean - claim.high))
    needed = seeds_for(sd, room, answer.level)
    where = f"is not clearly inside nor clearly outside {bounds}"
    if answer.p <= alpha:
        # By itself it would have been shown, so the interval does not tell why it is open.
        side = "inside" if within else "outside"
        where = (
            f"lies {side} {bounds}, but one such among {answer.family_size} claims may be chance"
        )
    reason = f"{ours} {where}; {outlook(needed, 'our mean lies too near the edge')}."
    return replace(draft, reason=reason, seeds_needed=needed)


class _Settled(NamedTuple):
    """Whether all differences of an order are shown to exceed a distance."""

    state: str
    """Either "above" (all are), "below" (one is shown not to), or "open"."""
    pair: Comparison
    """The one that decides: it refutes, or else it is the least certain."""
    answer: Answer
    seeds_needed: int | None = None


def _settle(
    comparisons: Sequence[Comparison], answers: Sequence[Answer], distance: float, alpha: float
) -> _Settled:
    tested = list(zip(comparisons, answers, strict=True))
    shown = [one for one in tested if one[1].p_adjusted <= alpha]
    below = [one for one in shown if one[0].difference.mean < distance]
    if below:
        return _Settled("below", *min(below, key=lambda one: one[1]))
    least_certain = max(tested, key=lambda one: one[1])
    if len(shown) == len(tested):
        return _Settled("above", *least_certain)
    needed = [
        sample_size.seeds_for_difference(
            pair.difference.sd, pair.difference.mean - distance, answer.level
        )
        for pair, answer in tested
        if answer.p_adjusted > alpha
    ]
    return _Settled("open", *least_certain, max(needed, key=lambda n: n or math.inf))


def _decide_order(
    claim: OrderClaim,
    draft: Verdict,
    pairs: Sequence[Difference],
    answers: Answers,
    alpha: float,
) -> Verdict:
    """Is every difference shown to have the sign claimed, and then the size, if one is claimed?

    One difference shown to be reversed refutes the order. Where the order is shown, a difference
    shown to be smaller than `at_least` leaves the direction only; one that merely may be smaller
    leaves the claim inconclusive, since "direction only" says that the size does *not* hold.
    """
    comparisons = tuple(
        Comparison(larger, smaller, difference, answer.p_adjusted)
        for (larger, smaller), difference, answer in zip(
            claim.pairs, pairs, answers["order"], strict=True
        )
    )
    least, about_size = claim.at_least or 0.0, False
    settled = _settle(comparisons, answers["order"], 0.0, alpha)
    if settled.state == "above" and claim.at_least is not None:
        settled, about_size = _settle(comparisons, answers["size"], least, alpha), True
    difference = settled.pair.difference
    unit = claim.difference_unit
    shown = f"{settled.pair.name} = {show(difference.mean, unit)}"
    shown = f"{shown} ({span(difference.interval, unit)})"
    far = show(least, unit)
    prospect = outlook(settled.seeds_needed, "the difference lies right at the edge")
    chance = ""
    if settled.state == "open" and settled.answer.p <= alpha:
        # By itself it would have been shown, so the interval does not tell why it is open.
        chance = f", for one such among {settled.answer.family_size} may be chance"
    word, reason = {
        (False, "below"): (Word.NOT_REPRODUCED, f"{shown} is the reverse of the order claimed."),
        (False, "open"): (Word.INCONCLUSIVE, f"{shown} leaves the order open{chance}; {prospect}."),
        (False, "above"): (Word.REPRODUCED, f"The order holds throughout, least surely {shown}."),
        (True, "below"): (Word.DIRECTION_ONLY, f"The order holds, but {shown} is less than {far}."),
        (True, "open"): (
            Word.INCONCLUSIVE,
            f"The order holds, but {shown} may be less than {far}{chance}; {prospect}.",
        ),
        (True, "above"): (Word.REPRODUCED, f"All differ by {far} or more, least surely {shown}."),
    }[about_size, settled.state]
    return replace(
        draft,
        word=word,
        reason=reason,
        unit=unit,
        quantity=settled.pair.name,
        estimate=difference.mean,
        interval=difference.interval,
        interval_kind=f"{100 * (1 - alpha):g} % confidence interval",
        half_width=difference.interval.half_width,
        p=settled.answer.p,
        p_adjusted=settled.answer.p_adjusted,
        seeds_needed=settled.seeds_needed,
        comparisons=comparisons,
    )


def _decide_winner(
    claim: WinnerClaim,
    draft: Verdict,
    numbers: Numbers,
    training: Mapping[str, Mapping[str, Any]],
    answers: Answers,
    alpha: float,
) -> Verdict:
    """Does one configuration win more than half of all searches, fewer, or is it open?"""
    (most,), (fewest,) = answers["most"], answers["fewest"]
    edges = grids.edges(training)
    entries = [
        GridEntry(name, grids.count_wins(numbers, name).alone, float(np.mean(values)), edges[name])
        for name, values in numbers.items()
    ]
    grid = tuple(sorted(entries, key=lambda entry: (-entry.wins, -entry.mean)))
    wins = grids.count_wins(numbers, claim.winner)
    share = wins.alone / wins.n
    answer = most if share > 0.5 else fewest
    interval = grids.share_interval(wins.alone, wins.n, 2 * alpha)
    draft = replace(
        draft,
        unit="of searches",
        quantity=claim.winner,
        estimate=share,
        interval=interval,
        interval_kind=f"{100 * (1 - 2 * alpha):g} % confidence interval",
        half_width=interval.half_width,
        p=answer.p,
        p_adjusted=answer.p_adjusted,
        grid=grid,
    )
    seen = f"{claim.winner} wins {wins.alone} of {wins.n} searches"
    if grid[0].configuration != claim.winner:
        seen = f"{seen}, {grid[0].configuration} {grid[0].wins}"
    needed = None
    if most.p_adjusted <= alpha:
        word, reason = Word.REPRODUCED, f"{seen}: more than half"
    elif fewest.p_adjusted <= alpha:
        word, reason = Word.NOT_REPRODUCED, f"{seen}: fewer than half"
    else:
        needed = grids.searches_for_majority(wins, answer.level)
        prospect = outlook(needed, "it wins just as often as not", "shares")
        word, reason = Word.INCONCLUSIVE, f"{seen}: more than half or fewer is open; {prospect}"
    at_edge = [
        f"{entry.configuration} stands at the edge of its grid ({', '.join(entry.edges)})"
        for entry in grid
        if entry.edges and entry.configuration in (claim.winner, grid[0].configuration)
    ]
    reason = "; ".join([reason, *at_edge])
    return replace(draft, word=word, reason=f"{reason}.", seeds_needed=needed)
