"""How numbers, lists of names and outlooks are put into words."""

from collections.abc import Sequence

from fa_audit.audit.statistics import Interval


def digits(number: float, significant: int = 4) -> str:
    """A number with so many significant digits, "75.04", "−0.5"; from 10,000 on all whole ones."""
    whole = abs(number) >= 9_999.5  # what four digits would round to 1e+04
    text = f"{number:,.0f}" if whole else f"{number:.{significant}g}"
    return "−" + text[1:] if text.startswith("-") else text


def show(number: float, unit: str) -> str:
    """A number with its unit: "75.04 %", "−1.2 points", "30°", "0.5"."""
    return digits(number) + _after(unit)


def _after(unit: str) -> str:
    return {"fraction": "", "1": "", "degrees": "°"}.get(unit, f" {unit}")


def span(interval: Interval, unit: str, beside: float | None = None) -> str:
    """An interval in words: "74.37 to 75.71 %".

    Each end has as many digits as tell it from the number `beside`, nine at most: whoever reads
    that .474 lies outside .474 to .5128 is told .47402 instead.
    """

    def end(number: float) -> str:
        told = None if beside is None else digits(beside, 9)
        texts = [digits(number, significant) for significant in range(4, 10)]
        return next((text for text in texts if text != told), texts[0])

    return f"{end(interval.low)} to {end(interval.high)}{_after(unit)}"


def listed(items: Sequence[str]) -> str:
    """The first four of some names, and how many more there are."""
    rest = f" and {len(items) - 4} more" if len(items) > 4 else ""
    return ", ".join(items[:4]) + rest


def outlook(seeds_needed: int | None, otherwise: str, steady: str = "mean and spread") -> str:
    """How many seeds would settle a claim if what is `steady` stays as it is, or why none would."""
    if seeds_needed is None:
        return f"if {steady} stay as they are, more seeds would not settle it, for {otherwise}"
    return f"about {seeds_needed} seeds would settle it, if {steady} stay as they are"
