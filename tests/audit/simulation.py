"""Inventing studies, judging them by the functions of `fa-audit judge`, and counting."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from audit.invented import record
from audit.scenarios import ALPHA, LAWS, PUBLISHED, WRONG, Draws, Invention, Scenario
from fa_audit.audit import Evidence, Verdict, Word, judge
from fa_audit.audit.claims import Claims

REFUTED = frozenset({Word.NOT_REPRODUCED, Word.DIRECTION_ONLY})

MOST_SEEDS = 200
"""Studies are not invented for numbers of seeds beyond this."""


def draw(scenario: Scenario, law: str, n: int, studies: int, seed: int) -> dict[str, Invention]:
    """So many studies of n seeds, by name."""
    key = zlib.crc32(f"{scenario.kind}/{scenario.truth}/{law}/{n}".encode())
    rng = np.random.default_rng([seed, key])
    noise = LAWS[law](rng, (studies, scenario.sources, n + PUBLISHED))
    shared = 3 * rng.standard_normal((studies, n))
    reading = rng.uniform(-1, 1, studies)
    names = [f"s{i}" for i in range(studies)]
    drawn = map(Draws, names, noise, shared, reading.tolist())
    return {draws.name: scenario.invent(draws) for draws in drawn}


def judged(inventions: Mapping[str, Invention]) -> dict[str, list[Verdict]]:
    """The verdicts on the claims of every study, in one call of `judge`."""
    records = {
        subject: {
            seed: record({f"{place}": float(x) for place, x in enumerate(column)}, name=subject)
            for seed, column in enumerate(values.T)
        }
        for invention in inventions.values()
        for subject, values in invention.numbers.items()
    }
    seeds = tuple(next(iter(records.values())))
    evidence = Evidence("invented", "cifar10", False, seeds, records)
    claims = tuple(claim for one in inventions.values() for claim, _ in one.claims)
    verdicts = iter(judge(Claims("none", "none", "none", "cifar10", ALPHA, claims), evidence))
    return {name: [next(verdicts) for _ in one.claims] for name, one in inventions.items()}


class Rates(NamedTuple):
    """What became of the claims of many studies."""

    reproduced: float
    """How often "reproduced" is said wrongly, counted as the scenario says."""
    refuted: float
    """How often "not reproduced" or "direction only" is."""
    right: float
    """Share of claims that are settled, and rightly."""
    open: float
    """Share of claims that are inconclusive."""


def measure(scenario: Scenario, law: str, n: int, studies: int, seed: int = 0) -> Rates:
    """Judge so many invented studies of n seeds."""
    inventions = draw(scenario, law, n, studies, seed)
    counts = []
    for name, verdicts in judged(inventions).items():
        said = [
            (verdict.word, verdict.word in WRONG[truth])
            for verdict, (_, truth) in zip(verdicts, inventions[name].claims, strict=True)
        ]
        settled = [wrong for word, wrong in said if word != Word.INCONCLUSIVE]
        reproduced = [wrong for word, wrong in said if word == Word.REPRODUCED]
        refuted = [wrong for word, wrong in said if word in REFUTED]
        counts.append(
            (
                _wrong(reproduced, scenario.counted[0], len(said)),
                _wrong(refuted, scenario.counted[1], len(said)),
                settled.count(False) / len(said),
                1 - len(settled) / len(said),
            )
        )
    return Rates(*np.mean(counts, axis=0).tolist())


def _wrong(errors: Sequence[bool], counted: str, claims: int) -> float:
    """What one study adds to a rate, given which of its verdicts with some word are wrong."""
    if counted == "any":
        return float(any(errors))
    return sum(errors) / (claims if counted == "each" else max(1, len(errors)))


class Outlook(NamedTuple):
    """What became of open claims, one of each study, once they had the seeds that they named."""

    open: float
    """Share that is inconclusive at first."""
    without: float
    """Share of these that says more seeds would not do."""
    median: float
    """Of the numbers of seeds named."""
    settled: float
    """Share that another study with as many seeds as named settles."""


def outlook(scenario: Scenario, law: str, n: int, studies: int, seed: int = 0) -> Outlook:
    """Judge studies of n seeds and, for each left open, another one with the seeds it named."""
    verdicts = [one[0] for one in judged(draw(scenario, law, n, studies, seed)).values()]
    named = [verdict.seeds_needed for verdict in verdicts if verdict.word == Word.INCONCLUSIVE]
    numbers = [number for number in named if number is not None]
    invented = Counter(number for number in numbers if number <= MOST_SEEDS)
    settled = sum(
        one[0].word != Word.INCONCLUSIVE
        for number, count in invented.items()
        for one in judged(draw(scenario, law, number, count, seed + 1)).values()
    )
    return Outlook(
        open=len(named) / studies,
        without=1 - len(numbers) / max(1, len(named)),
        median=float(np.median(numbers or [0])),
        settled=settled / max(1, invented.total()),
    )
