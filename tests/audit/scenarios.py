"""Invented studies whose truth is known: what is drawn, what is claimed, and what would be wrong.

The unit is one standard deviation, from run to run, of what a claim is about; its mean is 0. Where
that is a difference of two subjects, they share noise of three units seed by seed, and the
difference itself has the law that is named. Cells of a family come from the same networks: any two
are correlated by one half, and so are the published numbers beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fa_audit.audit import Word
from fa_audit.audit.claims import (
    Claim,
    EquivalenceClaim,
    OrderClaim,
    RangeClaim,
    ValueClaim,
    WinnerClaim,
)

Array = NDArray[np.float64]

LAWS: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "right-skewed": lambda rng, shape: rng.exponential(size=shape) - 1,
    "left-skewed": lambda rng, shape: 1 - rng.exponential(size=shape),
    "heavy-tailed": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
}
"""Mean 0, standard deviation 1: normal, exponential either way, Student's t with 3 degrees."""

PUBLISHED = 3
"""Runs drawn after ours for the published number to be made of."""

FAMILY, MAP = "family-wise", "false-discovery"

WRONG: Mapping[str, frozenset[Word]] = {
    "holds": frozenset({Word.NOT_REPRODUCED, Word.DIRECTION_ONLY}),
    "fails": frozenset({Word.REPRODUCED}),
    "edge": frozenset({Word.REPRODUCED, Word.NOT_REPRODUCED, Word.DIRECTION_ONLY}),
    "direction holds": frozenset({Word.REPRODUCED, Word.NOT_REPRODUCED}),
}
"""What is so → the verdicts that would be wrong."""


class Draws(NamedTuple):
    """The randomness of one study."""

    name: str
    law: Array
    """Independent draws, [source, N + PUBLISHED], ours first."""
    shared: Array
    """What subjects share seed by seed, [N]."""
    reading: float
    """Between −1 and 1: the error of a published number that was read off, in its own unit."""

    def cells(self, count: int) -> Array:
        """The measurements that so many claims are about, [claim, N + PUBLISHED]."""
        return self.law if count == 1 else (self.law[:1] + self.law[1:]) / np.sqrt(2)


class Invention(NamedTuple):
    """One study: what is measured, and what is claimed of it beside what is so."""

    numbers: Mapping[str, Array]
    """Subject → values, [place, N]; the places are called "0", "1", and so on."""
    claims: Sequence[tuple[Claim, str]]


Inventor = Callable[[Draws], Invention]


def _subjects(draws: Draws, values: Array, difference: bool) -> tuple[dict[str, Array], list[str]]:
    """Values as those of one subject, or as the difference of two."""
    a, b = f"{draws.name}-a", f"{draws.name}-b"
    if not difference:
        return {a: values}, [a]
    return {a: values + draws.shared, b: np.tile(draws.shared, (len(values), 1))}, [a, b]


def _keys(draws: Draws, place: int, control: str | None) -> dict[str, Any]:
    """What all measured claims say of themselves."""
    alone = {
        "id": f"{draws.name}-{place}",
        "statement": "So it is.",
        "where": "Table 1",
        "read": "printed",
        "measure": "test_accuracy",
        "at": f"{place}",
        "unit": "points",
    }
    return {**alone, "family": draws.name, "control": control} if control else alone


def _about(subjects: Sequence[str]) -> dict[str, str]:
    return dict(zip(("of", "minus"), subjects, strict=False))


# Each returns what invents a study with one claim for each number of its first argument


def value(
    shifts: Sequence[float],
    margin: float,
    difference: bool = False,
    control: str | None = None,
    error: float = 0.0,
    runs: int = 1,
) -> Inventor:
    """The published number is a mean of further runs, shifted, and read with an error."""

    def invent(draws: Draws) -> Invention:
        cells = draws.cells(len(shifts))
        numbers, subjects = _subjects(draws, cells[:, :-PUBLISHED], difference)
        published = cells[:, -runs:].mean(axis=1) + shifts + error * draws.reading
        claims = [
            ValueClaim(
                published=float(number),
                published_runs=runs,
                reading_error=error,
                margin=margin,
                **_about(subjects),
                **_keys(draws, j, control),
            )
            for j, number in enumerate(published)
        ]
        return Invention(
            numbers, [(c, "fails" if s else "holds") for c, s in zip(claims, shifts, strict=True)]
        )

    return invent


def bounds(
    kind: type[RangeClaim] | type[EquivalenceClaim],
    intervals: Sequence[tuple[float, float]],
    difference: bool = False,
    control: str | None = None,
) -> Inventor:
    """The mean, 0, is claimed to lie between two bounds."""

    def claim(low: float, high: float, keys: dict[str, Any]) -> Claim:
        if kind is RangeClaim:
            return RangeClaim(low=low, high=high, **keys)
        return EquivalenceClaim(target=(low + high) / 2, margin=(high - low) / 2, **keys)

    def truth(low: float, high: float) -> str:
        return "edge" if 0 in (low, high) else "holds" if low < 0 < high else "fails"

    def invent(draws: Draws) -> Invention:
        cells = draws.cells(len(intervals))
        numbers, subjects = _subjects(draws, cells[:, :-PUBLISHED], difference)
        return Invention(
            numbers,
            [
                (claim(*ends, {**_about(subjects), **_keys(draws, j, control)}), truth(*ends))
                for j, ends in enumerate(intervals)
            ],
        )

    return invent


def order(
    distances: Sequence[float], at_least: float | None = None, control: str | None = None
) -> Inventor:
    """A is claimed to lie above B, and is so far above it."""

    def truth(distance: float) -> str:
        if distance == (at_least or 0):
            return "edge"
        if distance > (at_least or 0):
            return "holds"
        return "direction holds" if distance > 0 else "fails"

    def invent(draws: Draws) -> Invention:
        cells = draws.cells(len(distances))[:, :-PUBLISHED] + np.array(distances)[:, None]
        numbers, (a, b) = _subjects(draws, cells, True)
        return Invention(
            numbers,
            [
                (
                    OrderClaim(
                        groups=((a,), (b,)),
                        direction="descending",
                        at_least=at_least,
                        **_keys(draws, j, control),
                    ),
                    truth(distance),
                )
                for j, distance in enumerate(distances)
            ],
        )

    return invent


def row(heights: Sequence[float]) -> Inventor:
    """Subjects at these heights are claimed to stand in descending order."""

    def invent(draws: Draws) -> Invention:
        names = [f"{draws.name}-{i}" for i in range(len(heights))]
        values = draws.law[:, :-PUBLISHED] + draws.shared + np.array(heights)[:, None]
        groups = tuple((name,) for name in names)
        claim = OrderClaim(groups=groups, direction="descending", **_keys(draws, 0, None))
        truth = "holds" if min(-np.diff(heights)) > 0 else "edge"
        return Invention(dict(zip(names, values[:, None], strict=True)), [(claim, truth)])

    return invent


def winner(heights: Sequence[float], truth: str) -> Inventor:
    """The first configuration of a grid with these heights is claimed to win."""

    def invent(draws: Draws) -> Invention:
        grid = tuple(f"{draws.name}-{i}" for i in range(len(heights)))
        values = draws.law[:, :-PUBLISHED] + draws.shared + np.array(heights)[:, None]
        claim = WinnerClaim(grid=grid, winner=grid[0], **_keys(draws, 0, None))
        return Invention(dict(zip(grid, values[:, None], strict=True)), [(claim, truth)])

    return invent


# What is calibrated


@dataclass(frozen=True)
class Scenario:
    """A kind of claim and a truth, with the rates at which a verdict may be wrong."""

    kind: str
    truth: str
    invent: Inventor
    reproduced: float | None
    """How often "reproduced" may be said wrongly; None where it would be right."""
    refuted: float | None
    """How often "not reproduced" or "direction only" may be said wrongly."""
    sources: int = 1
    counted: tuple[str, str] = ("each", "each")
    """Whose rates these are: of "each" claim, of "any" in a family, or the "share" of them."""


ALPHA, HALF = 0.05, 0.025

M = 2.5
"""The margin of value claims; no number of seeds would reach 1.96."""

WHAT = {False: "one subject", True: "a difference of two"}


def _value(difference: bool) -> list[Scenario]:
    def one(truth: str, shift: float, *rates: float | None) -> Scenario:
        invent = value([shift], M, difference)
        return Scenario(f"value of {WHAT[difference]}", truth, invent, *rates)

    return [
        one("a run like ours", 0, None, ALPHA),
        one("a run 1 margin off", M, 0.5, None),
        one("a run 2 margins off", 2 * M, HALF, None),
    ]


def _bounds(difference: bool) -> list[Scenario]:
    def within(truth: str, low: float, *rates: float | None) -> Scenario:
        invent = bounds(RangeClaim, [(low, 20)], difference)
        return Scenario(f"range of {WHAT[difference]}", truth, invent, *rates)

    def near(truth: str, target: float, margin: float, *rates: float | None) -> Scenario:
        invent = bounds(EquivalenceClaim, [(target - margin, target + margin)], difference)
        return Scenario(f"equivalence of {WHAT[difference]}", truth, invent, *rates)

    return [
        within("1 inside", -1, None, ALPHA),
        within("at the edge", 0, ALPHA, ALPHA),
        within("1 outside", 1, ALPHA, None),
        near("at the target, margin 1.5", 0, 1.5, None, ALPHA),
        near("at the target, margin .05", 0, 0.05, None, ALPHA),
        near("at the edge, margin 1.5", 1.5, 1.5, ALPHA, ALPHA),
        near("2 margins off, margin 1.5", 3, 1.5, ALPHA, None),
    ]


def _families() -> list[Scenario]:
    def six(kind: str, truth: str, invent: Inventor, *rates: float | None) -> Scenario:
        counted = ("each" if kind == "value" else "any", "any")
        return Scenario(f"family of 6: {kind}", truth, invent, *rates, 7, counted)

    def many(kind: str, truth: str, invent: Inventor, *rates: float | None) -> Scenario:
        counted = ("each" if kind == "value" else "share", "share")
        return Scenario(f"map of 16: {kind}", truth, invent, *rates, 17, counted)

    off, far, near, edge = 2 * M, (1.5, 4.5), (-1.5, 1.5), (0, 3)
    of, by = (EquivalenceClaim, RangeClaim)
    return [
        six("value", "6 like ours", value([0] * 6, M, True, FAMILY), None, ALPHA),
        six("value", "3 are 2 margins off", value([0, off] * 3, M, True, FAMILY), HALF, ALPHA),
        six("range", "6 at the edge", bounds(by, [edge] * 6, True, FAMILY), ALPHA, ALPHA),
        six("equivalence", "6 at the edge", bounds(of, [edge] * 6, True, FAMILY), ALPHA, ALPHA),
        six("equivalence", "3 off", bounds(of, [near, far] * 3, True, FAMILY), ALPHA, ALPHA),
        six("order", "6 equal", order([0] * 6, None, FAMILY), ALPHA, ALPHA),
        six("order", "3 equal, 3 as claimed", order([0, 6] * 3, None, FAMILY), ALPHA, ALPHA),
        many("value", "16 like ours", value([0] * 16, M, True, MAP), None, ALPHA),
        many("value", "8 are 2 margins off", value([0, off] * 8, M, True, MAP), HALF, ALPHA),
        many("equivalence", "8 at the edge", bounds(of, [near, edge] * 8, True, MAP), ALPHA, ALPHA),
    ]


SCENARIOS: tuple[Scenario, ...] = (
    *_value(False),
    *_value(True),
    Scenario("value ± .4, read off", "a run like ours", value([0], 2.9, error=0.4), None, ALPHA),
    Scenario("value ± .4, read off", "2 margins off", value([5.8], 2.9, error=0.4), HALF, None),
    Scenario("value, a mean of 3 runs", "a mean like ours", value([0], M, runs=3), None, ALPHA),
    Scenario("value, a mean of 3 runs", "2 margins off", value([2 * M], M, runs=3), HALF, None),
    *_bounds(False),
    *_bounds(True),
    Scenario("order of a pair", "1.5 apart as claimed", order([1.5]), None, HALF),
    Scenario("order of a pair", "equal", order([0]), HALF, HALF),
    Scenario("order of a pair", "1.5 apart the other way", order([-1.5]), HALF, None),
    Scenario("order, at least 2 apart", "4 apart", order([4], 2), None, HALF),
    Scenario("order, at least 2 apart", "2 apart", order([2], 2), HALF, HALF),
    Scenario("order, at least 2 apart", "1 apart", order([1], 2), HALF, HALF),
    Scenario("order of three", "3 apart each", row([6, 3, 0]), None, ALPHA, 3),
    Scenario("order of three", "two equal, one far below", row([9, 9, 0]), HALF, HALF, 3),
    Scenario("order of three", "all equal", row([0, 0, 0]), HALF, ALPHA, 3),
    Scenario("winner of four", "most often", winner([3, 0, 0, 0], "holds"), None, ALPHA, 4),
    Scenario("winner of four", "as often as not", winner([9, 9, 0, 0], "edge"), ALPHA, ALPHA, 4),
    Scenario("winner of four", "all alike", winner([0, 0, 0, 0], "fails"), ALPHA, None, 4),
    *_families(),
)

# Studies of few seeds leave many of these open, and name the number that would settle them.


def _open(kind: str, truth: str, invent: Inventor, sources: int = 1) -> Scenario:
    return Scenario(kind, truth, invent, None, None, sources)


OPEN: tuple[Scenario, ...] = (
    _open("value", "a run like ours, margin 2.5", value([0], 2.5)),
    _open("value", "a run like ours, margin 3", value([0], 3)),
    _open("value", "a run 1.5 margins of 2.5 off", value([3.75], 2.5)),
    _open("range", "1 inside", bounds(RangeClaim, [(-1, 20)])),
    _open("range", "1 outside", bounds(RangeClaim, [(1, 20)])),
    _open("equivalence", "at the target, margin 1", bounds(EquivalenceClaim, [(-1, 1)])),
    _open("equivalence", "at the target, margin .5", bounds(EquivalenceClaim, [(-0.5, 0.5)])),
    _open("order", "1 apart", order([1])),
    _open("order, at least 2 apart", "3 apart", order([3], 2)),
    _open("order of three", "1.5 apart each", row([3, 1.5, 0]), 3),
    _open("winner of four", "3 ahead", winner([3, 0, 0, 0], "holds"), 4),
    _open("winner of four", "all alike", winner([0, 0, 0, 0], "fails"), 4),
    _open("family of 6: value", "2 margins off", value([2 * M] * 6, M, True, FAMILY), 7),
    _open("map of 16: value", "8 are 2 margins off", value([2 * M, 0] * 8, M, True, MAP), 17),
)
