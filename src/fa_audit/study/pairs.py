"""Pairs of networks to be compared, as study.toml names them.

    pair = side~side            its first side gives the rows, its second the columns
    side = configuration, or "untrained", the start that all rules share at a seed;
           then nothing, ".other-seed" or, on the second side, ".shuffled"

With a * in the name of a configuration, which stands for any characters, it is all the pairs of
those that fit: "grid-*~bp" compares every configuration whose id begins with "grid-".

A pair stands for one comparison at each seed that both sides have. At seed s a side is the network
of that seed; with ".other-seed" it is that of the seed declared next, after the last the first.
Thus every network is in one comparison as itself and in one as another's other, and not in one with
every other network: pairs that share networks are not independent. For the same reason a pair that
turns round one at an earlier seed, as "bp~bp.other-seed" does with two seeds, is left out; and an
untrained other, which costs no training, is one that no run starts from: at seed s that of the seed
−1 − s, which no study can declare.

Even so the pairs of "bp~bp.other-seed" share networks, each with the one before it. What a
network adds to both cancels where such pairs are taken from others with the same columns, as
"usf_sn~bp.other-seed" minus "bp~bp.other-seed" are; it does not in the mean of such pairs alone,
whose interval is too narrow then, by a factor of √2 at most as seeds grow many.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from fa_audit.errors import AuditError, suggest

UNTRAINED = "untrained"
OTHER_SEED = ".other-seed"
SHUFFLED = ".shuffled"


@dataclass(frozen=True)
class Side:
    """One network of a pair: a configuration, or `UNTRAINED`, at a seed."""

    id: str
    seed: int


@dataclass(frozen=True)
class NetworkPair:
    """Two networks, and whether the images are shuffled for the columns."""

    rows: Side
    columns: Side
    shuffled: bool = False


def those_that_fit(name: str, ids: Collection[str]) -> list[str]:
    """The ids that a name with a * stands for, in their order; without *, the name itself."""
    return [id for id in ids if fnmatchcase(id, name)] if "*" in name else [name]


def pairs_that_fit(text: str, configurations: Collection[str]) -> list[str]:
    """The pairs without * that a text stands for, in the order of the configurations.

    Raises:
        AuditError: No configuration fits.
    """
    sides = []
    for side in text.split("~"):
        name, suffix = _split(side)
        found = those_that_fit(name, configurations)
        if not found:
            raise AuditError(
                f"comparison.pairs has {text!r}, but no configuration fits {name!r}; "
                f"{suggest(name, configurations)}"
            )
        sides.append([id + suffix for id in found])
    return ["~".join(pair) for pair in product(*sides)]


def pair_at_seeds(
    text: str, declared: Mapping[str, Sequence[int]], seeds: Sequence[int], first: int | None
) -> dict[int, NetworkPair]:
    """The networks that a pair means at each of its seeds.

    Args:
        text: For example "usf_sn~bp.other-seed".
        declared: The declared seeds of every configuration.
        seeds: Those of the study.
        first: Leave out what needs more than the first so many declared seeds; None for nothing.

    Raises:
        AuditError: It is not written as a pair, names a configuration that is not there, or has no
            seed.
    """
    (rows, rows_suffix), (columns, columns_suffix) = _parsed(text, declared)
    own = [declared[id] for id in (rows, columns) if id != UNTRAINED] or [seeds]
    shared = [seed for seed in own[0] if all(seed in others for others in own)]

    def side(id: str, suffix: str, seed: int) -> Side:
        if suffix != OTHER_SEED:
            return Side(id, seed)
        return Side(id, -1 - seed if id == UNTRAINED else _next(seed, declared[id]))

    pairs: dict[int, NetworkPair] = {}
    for seed in shared:
        pair = NetworkPair(
            side(rows, rows_suffix, seed),
            side(columns, columns_suffix, seed),
            columns_suffix == SHUFFLED,
        )
        alone = OTHER_SEED in (rows_suffix, columns_suffix) and pair.rows.seed == pair.columns.seed
        turned_round = NetworkPair(pair.columns, pair.rows) in pairs.values()
        if not alone and not turned_round:
            pairs[seed] = pair
    if not pairs:
        raise AuditError(
            f"comparison.pairs has {text!r}, but there is no seed at which both sides are there; "
            "declare more seeds, or leave it out"
        )
    return {
        seed: pair
        for seed, pair in pairs.items()
        if seed in shared[:first]
        and all(
            side.id == UNTRAINED or side.seed in declared[side.id][:first]
            for side in (pair.rows, pair.columns)
        )
    }


def _parsed(text: str, configurations: Mapping[str, object]) -> list[tuple[str, str]]:
    """(id, suffix) of both sides."""
    sides = [_split(side) for side in text.split("~")]
    if len(sides) != 2:
        raise AuditError(f"comparison.pairs has {text!r}; write rows~columns, such as usf_sn~bp")
    for id, _ in sides:
        known = (*configurations, UNTRAINED)
        if id not in known:
            raise AuditError(
                f"comparison.pairs has {text!r}, but there is no configuration {id!r}; "
                f"{suggest(id, known)}"
            )
    first, second = (suffix for _, suffix in sides)
    if first == SHUFFLED:
        raise AuditError(f"comparison.pairs has {text!r}; only the second side can be shuffled")
    if first == second == OTHER_SEED:
        raise AuditError(
            f"comparison.pairs has {text!r}; both sides at the other seed are the pair without "
            f"{OTHER_SEED}"
        )
    return sides


def _split(side: str) -> tuple[str, str]:
    for suffix in (OTHER_SEED, SHUFFLED):
        if side.endswith(suffix):
            return side.removesuffix(suffix), suffix
    return side, ""


def _next(seed: int, seeds: Sequence[int]) -> int:
    return seeds[(list(seeds).index(seed) + 1) % len(seeds)]
