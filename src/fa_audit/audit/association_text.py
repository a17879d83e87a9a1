"""The association of accuracy with similarity in words: what is seen, and what it cannot say."""

from collections.abc import Iterator, Sequence

from fa_audit.audit.association import MEAN, Association, Associations, RuleAssociation
from fa_audit.audit.regression import Estimate
from fa_audit.audit.wording import listed

CAVEATS = (
    "Association, nothing more. Accuracy and similarity are both measured after training; that one "
    "makes the other, or that both follow from something else, looks the same here.",
    "Between rules there are as few points as rules, and rules of one family resemble each other. "
    "Whatever else they differ in (how much of W their feedback knows, whether training diverges) "
    "goes along with similarity.",
    "A rule's mean, and what varies within a rule, are those of the settings that were run: they "
    "were chosen, not drawn, and some rules have more of them than others.",
    "Settings are held fixed as straight lines in log learning rate, log scale and weight decay, "
    "the same for all rules. What bends, or bends otherwise under another rule, stays in.",
    "An interval that holds zero shows no association, and does not show that there is none: it "
    "says how large one could be.",
    "Intervals are 95 % each, not corrected for looking at several layers. They take "
    "configurations as independent given rule and seed; where rules are compared, rules.",
)

HEAD = ("CKA of", "all runs: r", "between rules", "within rules", "adjusted", "adjusted: r")

LEGEND = """\
between, within, adjusted: points of accuracy per .1 of CKA, with the 95 % interval
within: rule and seed held fixed; adjusted: learning rate, scale and weight decay too
r: correlation, of all runs and as left by what is adjusted for; –: no interval is estimable"""


def association_text(associations: Associations) -> str:
    """The whole answer: a table and sentences for each length of training, then the caveats."""
    reference, found = associations.paired.reference, associations.found
    lines = [f"Does similarity to {reference} of the same seed go with accuracy?", ""]
    if not found:
        lines += [f"Not estimable: no run is compared with {reference}.", ""]
    for epochs in dict.fromkeys(one.epochs for one in found):
        alike = [one for one in found if one.epochs == epochs]
        lines += [*_table(alike), LEGEND, "", *sentences(alike[0]), ""]
    left_out = associations.paired.left_out
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, why in left_out.items() if why == reason]
        lines += [f"{len(names)} left out ({reason}): {listed(names)}.", ""]
    return "\n".join([*lines, *CAVEATS])


def sentences(found: Association) -> tuple[str, ...]:
    """One association in plain words."""
    of = "the layers' mean CKA" if found.similarity == MEAN else f"{found.similarity}'s CKA"
    runs = ", ".join(
        (
            _counted(found.runs, "run"),
            _counted(found.configurations, "configuration"),
            _counted(len(found.rules), "rule"),
            _counted(len(found.seeds), "seed"),
        )
    )
    adjusted = (
        f"with the settings held fixed too, {_per_step(found.adjusted)}"
        if found.settings_vary
        else "no setting varies within a rule, so there is none to hold fixed"
    )
    return (
        f"{_counted(found.epochs, 'epoch')}; {runs}. Over all runs accuracy and {of} correlate "
        f"with {shown(found.correlation, 3)}.",
        f"Between rules, {_per_step(found.between)}.",
        f"Within rules, {_per_step(found.within)}; {adjusted}.",
        f"The correlation left within rules, settings held fixed: {shown(found.partial, 3)}.",
        *_together(found),
        *map(_of_rule, found.by_rule),
    )


def shown(estimate: Estimate, digits: int = 2) -> str:
    """A number with its interval in brackets, or why there is none."""
    if estimate.value is None:
        return f"not estimable: {estimate.reason}"
    value = f"{estimate.value:.{digits}f}"
    if estimate.interval is None:
        return f"{value} (interval not estimable: {estimate.reason})"
    low, high = estimate.interval
    return f"{value} [{low:.{digits}f}, {high:.{digits}f}]"


def sign(estimate: Estimate) -> int | None:
    """1 or −1 where the interval lies above or below zero, 0 where it holds it; None without."""
    if estimate.interval is None:
        return None
    return int(estimate.interval.low > 0) - int(estimate.interval.high < 0)


def _per_step(estimate: Estimate) -> str:
    if estimate.interval is None:
        return shown(estimate)
    either = "" if sign(estimate) else ", so neither sign is excluded"
    return f".1 more of CKA goes with {shown(estimate)} points of accuracy{either}"


def _together(found: Association) -> Iterator[str]:
    """What between and within say side by side, where rules are told apart at all."""
    between, within = sign(found.between), sign(found.adjusted)
    if not between:
        return
    if within is None:
        yield "Similarity tells rules apart; whether it tells runs of one rule apart stays open."
    elif within == between:
        yield (
            "Similarity goes with accuracy in the same direction, between rules and within them; "
            "how steeply, the two slopes tell."
        )
    elif within == 0:
        yield "Similarity tells rules apart; that it tells runs of one rule apart is not shown."
    else:
        yield (
            "The sign within rules is the opposite of that between them (Simpson's paradox): what "
            "tells rules apart does not tell the better run of a rule."
        )


def _of_rule(rule: RuleAssociation) -> str:
    counts = (
        _counted(rule.runs, "run"),
        _counted(rule.configurations, "configuration"),
        _counted(rule.seeds, "seed"),
    )
    return (
        f"{rule.rule} ({', '.join(counts)}): correlation left over settings "
        f"{shown(rule.over_settings, 3)}; over seeds {shown(rule.over_seeds, 3)}."
    )


def _table(found: Sequence[Association]) -> Iterator[str]:
    rows = [HEAD, *map(table_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def table_row(one: Association) -> tuple[str, ...]:
    """One association as the cells under `HEAD`."""
    points = (one.between, one.within, one.adjusted)
    return (
        one.similarity,
        _cell(one.correlation, 3),
        *(_cell(estimate, 2) for estimate in points),
        _cell(one.partial, 3),
    )


def _cell(estimate: Estimate, digits: int) -> str:
    return shown(estimate, digits) if estimate.interval else "–"


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
