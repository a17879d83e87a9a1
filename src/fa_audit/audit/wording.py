"""How numbers, lists of names and outlooks are put into words."""

from collections.abc import Sequence

from fa_audit.audit.statistics import Interval


def digits(number: float) -> str:
    """A number with four significant digits, "75.04", "−0.5"; from 10,000 on all whole ones."""
    text = f"{number:.4g}" if abs(number) < 10_000 else f"{number:,.0f}"
    return "−" + text[1:] if text.startswith("-") else text


def show(number: float, unit: str) -> str:
    """A number with its unit: "75.04 %", "−1.2 points", "30°", "0.5"."""
    return digits(number) + {"fraction": "", "1": "", "degrees": "°"}.get(unit, f" {unit}")


def span(interval: Interval, unit: str) -> str:
    """An interval in words: "74.37 to 75.71 %"."""
    return f"{digits(interval.low)} to {show(interval.high, unit)}"


def listed(items: Sequence[str]) -> str:
    """The first four of some names, and how many more there are."""
    rest = f" and {len(items) - 4} more" if len(items) > 4 else ""
    return ", ".join(items[:4]) + rest


def outlook(seeds_needed: int | None, otherwise: str, steady: str = "mean and spread") -> str:
    """How many seeds would settle a claim if what is `steady` stays as it is, or why none would."""
    if seeds_needed is None:
        return f"if {steady} stay as they are, more seeds would not settle it, for {otherwise}"
    return f"about {seeds_needed} seeds would settle it, if {steady} stay as they are"
