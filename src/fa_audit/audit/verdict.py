"""A verdict: what a study's records say about one claim.

The words, and what earns them:

- **reproduced**: shown to hold, not merely unrefuted.
- **direction only**: an order holds, but the distance claimed with it is shown to be smaller.
- **not reproduced**: shown to be otherwise.
- **inconclusive**: the runs do not settle it; with the number of seeds that would, where there is
  one. So is every claim whose runs are not the ones it is about, or are not all there.
- **not testable**: a fact is missing, such as a measurement that cannot be defined.
- **contradicted by its own source**: settled by reading.

What the audit asks and no paper claims is judged in the same way; there **holds** stands for
reproduced, and **does not hold** for not reproduced.
"""

from dataclasses import dataclass
from enum import StrEnum

from fa_audit.audit.differences import Difference
from fa_audit.audit.statistics import Interval


class Word(StrEnum):
    """The verdicts: six on what a paper says, two more on what the audit asks."""

    REPRODUCED = "reproduced"
    DIRECTION_ONLY = "direction only"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE = "not testable"
    CONTRADICTED = "contradicted by its own source"
    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"

    @property
    def affirms(self) -> bool:
        """Whether what is claimed or asked is shown to hold."""
        return self in (Word.REPRODUCED, Word.HOLDS)

    @property
    def denies(self) -> bool:
        """Whether it is shown not to."""
        return self in (Word.NOT_REPRODUCED, Word.DOES_NOT_HOLD)


OF_AUDIT = {Word.REPRODUCED: Word.HOLDS, Word.NOT_REPRODUCED: Word.DOES_NOT_HOLD}
"""What a verdict is called where no paper made the claim."""


@dataclass(frozen=True)
class RecordReference:
    """A record behind a verdict."""

    subject: str
    seed: int
    hash: str
    digest: str


@dataclass(frozen=True)
class Comparison:
    """One pair of an order claim, paired by seed: larger minus smaller, as claimed."""

    larger: str
    smaller: str
    difference: Difference
    p_adjusted: float

    @property
    def name(self) -> str:
        """The difference in words."""
        return f"{self.larger} − {self.smaller}"


@dataclass(frozen=True)
class GridEntry:
    """What became of one configuration of a grid."""

    configuration: str
    wins: int
    """Searches in which every other configuration is below it."""
    mean: float
    """Mean over the searches, in the unit of the measurement."""
    edges: tuple[str, ...]
    """On which axes it has the lowest or highest value searched."""


@dataclass(frozen=True)
class Verdict:
    """What became of one claim, and everything it rests on."""

    claim: str
    definition: str
    """Hash of all that the claims file says of the claim."""
    statement: str
    """What is claimed, in our words."""
    kind: str
    origin: str
    """Who claims it: "paper", or "audit" for a question that the paper does not ask."""
    word: Word
    reason: str
    """One sentence for a scientist who is no statistician."""
    study: str
    data: str
    stand_in: bool
    unit: str = ""
    published: float | str | None = None
    quantity: str = ""
    """What was estimated: a subject, or a difference of two; in an order, the deciding pair; of a
    grid's winner, its share of the searches."""
    estimate: float | None = None
    found: str = ""
    """What was found, where that is no number."""
    interval: Interval | None = None
    interval_kind: str = ""
    half_width: float | None = None
    n: int = 0
    seeds: tuple[int, ...] = ()
    p: float | None = None
    p_adjusted: float | None = None
    seeds_needed: int | None = None
    diverged: int = 0
    missing: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    grid: tuple[GridEntry, ...] = ()
    """The configurations of a grid, those first that win most often, then those of higher mean."""
    matrix: str = ""
    """The matrix that the claim is a cell of."""
    records: tuple[RecordReference, ...] = ()
