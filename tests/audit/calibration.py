"""How often verdicts are wrong, counted over invented studies; see `scenarios`.

To write it down anew, in `tests`: python -m audit.calibration > audit/calibration.md
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from audit.scenarios import ALPHA, LAWS, OPEN, SCENARIOS, Scenario
from audit.simulation import MOST_SEEDS, Outlook, Rates, measure, outlook

TABLE = Path(__file__).parent / "calibration.md"

SEEDS = (3, 5, 10)

ERRORS = 4
"""A rate exceeds the nominal one when it is above it by more standard errors than these."""

OUTLOOKS = 300
"""Studies behind each outlook."""


def studies_of(scenario: Scenario, law: str) -> int:
    """How many studies a rate of the table is counted over."""
    one = 4_000 if law == "normal" else 1_000
    return one if scenario.counted == ("each", "each") else one // 4


def standard_error(rate: float, studies: int) -> float:
    """Of a rate that is counted over so many studies."""
    return math.sqrt(rate * (1 - rate) / studies)


def exceeds(rate: float, nominal: float | None, studies: int) -> bool:
    """Whether a rate is above the nominal one by more than chance explains."""
    return nominal is not None and rate > nominal + ERRORS * standard_error(nominal, studies)


def title(kind: str) -> str:
    """The heading of a kind."""
    return kind[0].upper() + kind[1:]


def outlook_name(scenario: Scenario) -> str:
    """What the table calls a scenario that leaves claims open."""
    return f"{scenario.kind}: {scenario.truth}"


def number(value: float | None) -> str:
    """Three digits without the leading zero, or a dash."""
    return "–" if value is None else f"{value:.3f}".lstrip("0")


HEAD = f"""\
# How often verdicts are wrong

Written by `python -m audit.calibration` in `tests`, which judges invented studies by the function
that `fa-audit judge` calls; `tests/audit/scenarios.py` invents them. α is {ALPHA}.

Nominal rates, and why they hold for normal seeds:

- **value, refuted: α.** (x̄ − y) / (s √(1/k + 1/N)) is Student's t where the published run is like
  ours. A reading error only gives room.
- **value, reproduced: α/2 at two margins.** Our mean would have to be within the half-width h ≤
  margin of the number, so h or more nearer to it than the truth is. At one margin it may happen
  every second time: a margin says how wide a prediction still informs, not how far off is too far.
- **range and equivalence, reproduced: α.** Two one-sided tests; at an edge one of them decides.
- **range and equivalence, refuted: α.** A two-sided test, α/2 beyond either bound.
- **order, reproduced or refuted: α/2.** A two-sided test errs in either direction with α/2; three
  pairs share α by Holm's method, and are reproduced only if the least certain is.
- **winner: α.** The binomial test is exact for any law of the seeds.
- **family: α that any of its claims is wrongly refuted, α that any is wrongly reproduced**, by
  Holm's method under any dependence. Only refutations of values are adjusted: a wrong "reproduced"
  has α/2 for each value.
- **map: α for the share of wrong ones among the refuted, and among the reproduced**, by Benjamini
  and Hochberg's method; for values again α/2 for each wrongly reproduced.

Seeds are normal, exponential with the long tail to the right or to the left, or of Student's t with
3 degrees. Only for normal seeds are the rates promised, apart from the winner's: a t interval of
three skewed numbers cannot be exact, and the last row of the worst rates says how far off it is.

↑ marks a rate over the nominal one by more than {ERRORS} standard errors. At .05 an error is .0034
over the 4,000 studies of normal seeds (.0069 over the 1,000 of a family or map), so that a true
rate of .08 (.11) would be marked in 999 cases of 1,000; over the 1,000 (250) studies of other seeds
it is .0069 (.0138).
"""

LEGEND = """\
Cells: wrongly reproduced / wrongly refuted / rightly settled / inconclusive.
"""

SETTLED = "Seeds that would settle it"

OUTLOOK = f"""\
## {SETTLED}

Of {OUTLOOKS} studies, those that are inconclusive name a number of seeds. Other studies of the same
law with so many seeds (up to {MOST_SEEDS}) should be settled about every second time or more, as
the number is the one that would just do if mean and spread stayed as they were. Cells:
inconclusive / of these without a number / median of the numbers / settled with as many.
"""

Key = tuple[str, str, str, int]
"""Kind, truth, law and N."""


def render() -> Iterator[str]:
    """The lines of the table."""
    keys = [(scenario, law, n) for scenario in SCENARIOS for law in LAWS for n in SEEDS]
    found: dict[Key, Rates] = {
        (scenario.kind, scenario.truth, law, n): measure(
            scenario, law, n, studies_of(scenario, law)
        )
        for scenario, law, n in tqdm(keys, "rates")
    }
    yield HEAD
    yield from _summary(found)
    for kind in dict.fromkeys(scenario.kind for scenario in SCENARIOS):
        yield f"\n## {title(kind)}\n\n{LEGEND}"
        yield from _head("truth", "nominal", "seeds", *(f"N = {n}" for n in SEEDS))
        for scenario in SCENARIOS:
            if scenario.kind == kind:
                for law in LAWS:
                    yield _rates_row(scenario, law, found)
    yield f"\n{OUTLOOK}"
    yield from _head("claim", "nominal", "seeds", *(f"N = {n}" for n in SEEDS))
    for scenario in tqdm(OPEN, "outlooks"):
        for law in LAWS:
            cells = [_outlook_cell(outlook(scenario, law, n, OUTLOOKS)) for n in SEEDS]
            yield _row(outlook_name(scenario), "settled ½ or more", law, *cells)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield f"|{'---|' * len(cells)}"


def _marked(rate: float, nominal: float | None, studies: int) -> str:
    mark = " ↑" if exceeds(rate, nominal, studies) else ""
    return number(None if nominal is None else rate) + mark


def _rates_row(scenario: Scenario, law: str, found: Mapping[Key, Rates]) -> str:
    studies = studies_of(scenario, law)
    cells = []
    for n in SEEDS:
        rates = found[scenario.kind, scenario.truth, law, n]
        reproduced = _marked(rates.reproduced, scenario.reproduced, studies)
        refuted = _marked(rates.refuted, scenario.refuted, studies)
        cells.append(f"{reproduced} / {refuted} / {number(rates.right)} / {number(rates.open)}")
    nominal = f"{number(scenario.reproduced)} / {number(scenario.refuted)}"
    return _row(scenario.truth, nominal, law, *cells)


def _outlook_cell(found: Outlook) -> str:
    named = f"{found.median:g}" if found.median else "–"
    return f"{number(found.open)} / {number(found.without)} / {named} / {number(found.settled)}"


def _summary(found: Mapping[Key, Rates]) -> Iterator[str]:
    """The worst rates of each kind and law, over all truths and N that share a nominal rate."""
    asked = [
        (scenario, word, nominal)
        for scenario in SCENARIOS
        for word in ("reproduced", "refuted")
        if (nominal := getattr(scenario, word)) is not None
    ]
    yield "## The worst rates\n\nOver all truths and N that share a nominal rate.\n"
    yield from _head("claim", "said wrongly", "nominal", *LAWS)
    for row in dict.fromkeys((scenario.kind, word, nominal) for scenario, word, nominal in asked):
        alike = [(one, word) for one, word, nominal in asked if (one.kind, word, nominal) == row]
        worst = [_worst(found, law, alike) for law in LAWS]
        cells = [_marked(rate, row[2], studies) for rate, studies in worst]
        yield _row(*row[:2], number(row[2]), *cells)
    small = [(one, word) for one, word, nominal in asked if nominal <= ALPHA]
    cells = [f"**{number(_worst(found, law, small)[0])}**" for law in LAWS]
    yield _row("all of these", "either", f"≤ {number(ALPHA)}", *cells)


def _worst(
    found: Mapping[Key, Rates], law: str, asked: Sequence[tuple[Scenario, str]]
) -> tuple[float, int]:
    """The highest of some rates, and the number of studies behind it."""
    return max(
        (getattr(found[one.kind, one.truth, law, n], word), studies_of(one, law))
        for one, word in asked
        for n in SEEDS
    )


def read(text: str) -> dict[Key, list[float | None]]:
    """The numbers of a table that was written down: those of the cells, by what they are about."""
    found: dict[Key, list[float | None]] = {}
    kind = ""
    for line in text.splitlines():
        if line.startswith("## "):
            kind = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 6 and cells[2] in LAWS:
            for n, cell in zip(SEEDS, cells[3:], strict=True):
                parts = cell.replace(" ↑", "").split(" / ")
                numbers = [None if part == "–" else float(part) for part in parts]
                found[kind, cells[0], cells[2], n] = numbers
    return found


if __name__ == "__main__":
    for line in render():
        print(line, flush=True)
