"""Strip plots: the seeds behind one claim, the published value and the interval, as small SVGs.

They are written by hand, not by matplotlib, because a report holds hundreds of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from fa_audit.audit import Verdict
from fa_audit.audit.claims import (
    Claim,
    EquivalenceClaim,
    MeasuredClaim,
    RangeClaim,
    SingleClaim,
)
from fa_audit.audit.statistics import Interval
from fa_audit.audit.wording import digits, show, span
from fa_audit.report.html import Html, join, tag
from fa_audit.report.material import Material, mean
from fa_audit.report.names import quantity_title, subject_title
from fa_audit.report.style import rule_variable

WIDTH, MARGIN = 340, 22
ROW, AXIS = 34, 24


@dataclass(frozen=True)
class Strip:
    """One row: the values of one quantity over seeds."""

    name: str
    colour: str
    values: Mapping[int, float]


@dataclass(frozen=True)
class Scale:
    """From the unit of a measurement to pixels across."""

    low: float
    high: float
    ticks: Sequence[float]

    def x(self, value: float) -> str:
        """Where a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return f"{MARGIN + (WIDTH - 2 * MARGIN) * share:.1f}"

    def width(self, interval: Interval) -> str:
        """How wide an interval is, a point at least one pixel."""
        return f"{max(1.0, float(self.x(interval.high)) - float(self.x(interval.low))):.1f}"


@dataclass(frozen=True)
class Marks:
    """What is drawn beside the seeds.

    Attributes:
        interval: Of our seeds; none where a claim is about several quantities or was not judged.
        band: What is claimed, where that is a range.
        published: The published value, where it is a number.
        error: Its reading error.
    """

    interval: Interval | None
    band: Interval | None
    published: float | None
    error: float

    @property
    def ends(self) -> list[float]:
        """Everything that has to lie on the scale."""
        found = [*(self.interval or ()), *(self.band or ())]
        if self.published is not None:
            found += [self.published - self.error, self.published + self.error]
        return found


def strip_plot(claim: Claim, verdict: Verdict, material: Material) -> Html | None:
    """The numbers behind a claim; None where it has none."""
    if not isinstance(claim, MeasuredClaim):
        return None
    strips = list(_strips(claim, material))
    values = [value for strip in strips for value in strip.values.values()]
    if not values:
        return None
    band = None
    if isinstance(claim, (RangeClaim, EquivalenceClaim)):
        band = Interval(claim.low, claim.high)
    marks = Marks(
        interval=verdict.interval if isinstance(claim, SingleClaim) else None,
        band=band,
        published=claim.published if isinstance(claim.published, (int, float)) else None,
        error=claim.reading_error,
    )
    scale = _scale([*values, *marks.ends])
    unit = claim.quantity_unit if isinstance(claim, SingleClaim) else claim.unit
    bottom = ROW * len(strips) + 4
    return tag(
        "svg",
        _band(marks.band, scale, bottom),
        _axis(scale, bottom, unit),
        (_row(strip, ROW * i, scale, marks) for i, strip in enumerate(strips)),
        class_="strip",
        paint_order="stroke",  # inherited by the texts, whose rim keeps them legible over marks
        viewBox=f"0 0 {WIDTH} {bottom + AXIS}",
        role="img",
        aria_label=_alt(strips, marks, unit),
    )


def _scale(values: Sequence[float]) -> Scale:
    low, high = min(values), max(values)
    ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high)]
    return Scale(min(ticks[0], low), max(ticks[-1], high), ticks)


def _strips(claim: MeasuredClaim, material: Material) -> Iterator[Strip]:
    """One row for each subject, or one for the difference that is claimed."""

    def values(term: str) -> Mapping[int, float]:
        return material.values(*claim.terms[term])

    def colour(subject: str) -> str:
        return rule_variable(material.rule(subject.split("~")[0]))

    if isinstance(claim, SingleClaim) and claim.is_difference:
        by_term = [values(term) for term in claim.terms]
        signs = (1, -1, -1, 1)[: len(by_term)]
        yield Strip(
            quantity_title(claim.quantity),
            colour(claim.of),
            {
                seed: sum(sign * own[seed] for sign, own in zip(signs, by_term, strict=True))
                for seed in by_term[0]
                if all(seed in own for own in by_term)
            },
        )
        return
    for subject in claim.subjects:
        yield Strip(subject_title(subject), colour(subject), values(subject))


def _row(strip: Strip, top: int, scale: Scale, marks: Marks) -> Html:
    middle = top + 24
    interval, published = marks.interval, marks.published
    bar = diamond = None
    if interval is not None:
        x, width = scale.x(interval.low), scale.width(interval)
        bar = tag("rect", x=x, y=middle - 6, width=width, height=12, rx=2, class_="interval")
    if published is not None:
        ends = f"M{scale.x(published - marks.error)} {middle}H{scale.x(published + marks.error)}"
        shape = f"M{scale.x(published)} {middle - 7}l7 7-7 7-7-7z"
        path = f"{ends}{shape}" if marks.error else shape
        diamond = tag("path", d=path, class_="published")
    return join(
        tag("text", strip.name, x=MARGIN, y=top + 12),
        bar,
        (
            tag("circle", cx=scale.x(value), cy=middle, r="3.6", style=f"fill:{strip.colour}")
            for value in strip.values.values()
        ),
        diamond,
    )


def _band(band: Interval | None, scale: Scale, height: int) -> Html | None:
    if band is None:
        return None
    width = scale.width(band)
    return tag("rect", x=scale.x(band.low), y=0, width=width, height=height, class_="band")


def _axis(scale: Scale, y: int, unit: str) -> Html:
    return join(
        join(
            tag("path", d=f"M{scale.x(tick)} 16V{y}", class_="grid"),
            tag("text", show(tick, unit), x=scale.x(tick), y=y + 14, class_="tick"),
        )
        for tick in scale.ticks
    )


def _alt(strips: Sequence[Strip], marks: Marks, unit: str) -> str:
    """The plot in words and numbers."""
    parts = []
    for strip in strips:
        seeds = ", ".join(f"seed {seed} {digits(value)}" for seed, value in strip.values.items())
        parts.append(f"{strip.name}: {seeds or 'no value'}")
        middle = mean(strip.values)
        if middle is not None and len(strip.values) > 1:
            parts[-1] += f", mean {digits(middle)}"
    if marks.interval is not None:
        parts.append(f"interval {span(marks.interval, unit)}")
    if marks.band is not None:
        parts.append(f"claimed {span(marks.band, unit)}")
    if marks.published is not None:
        parts.append(f"published {show(marks.published, unit)}")
    return "; ".join(parts) + "."
