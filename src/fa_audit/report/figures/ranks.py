"""Effective ranks over training: of errors, gradients, updates and trajectories, layer by layer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from fa_audit.metrics.rank import DEFINITIONS
from fa_audit.report.drawing import Figure, Panel
from fa_audit.report.figures.marks import (
    LINES,
    PUBLISHED_MARK,
    chance_line,
    end_labels,
    published_mark,
    room_for,
    seed_line,
    seeds_text,
    short,
    spread,
)
from fa_audit.report.html import Child, Html, table
from fa_audit.report.material import Material, Missing, mean, numbers
from fa_audit.report.names import configuration_title, place_title
from fa_audit.report.style import rule_colour

DRAWN = "entropy"
"""The definition that figures draw, the first to be called effective rank; tables have all."""

MOST_PANELS = 8
"""Deep networks have more layers than anybody looks at; tables have all."""

MOST_COURSES = 6
"""More configurations than this are told apart only with a panel for each rule."""

MOMENTS = ("first", "lowest", "highest", "last")

_OF = {
    "error": (
        "Effective rank of the error that arrives at a layer",
        "Of the errors of the probe's images at the layer's output, a row for each image, under "
        "the run's own rule. Softmax errors sum to zero over classes, so those of the network's "
        "output, and what they become one layer below before a nonlinearity masks them, have at "
        "most one rank less than there are classes, whatever the rule.",
    ),
    "gradient": (
        "Effective rank of a training step's weight gradient",
        "Of the gradient on the step's own batch, before the optimizer, as a matrix of outputs by "
        "inputs.",
    ),
    "update": (
        "Effective rank of what a training step changes",
        "Of the difference of the weights after and before a step, after the optimizer and any "
        "intervention, as a matrix of outputs by inputs.",
    ),
    "trajectory": (
        "Effective rank of the trajectory of gradients",
        "Of the weight gradients of all steps so far, a row for each; of more steps than are held, "
        "of a random sample of these. As long as all are held, the rank may grow because there are "
        "more of them.",
    ),
}


@dataclass(frozen=True)
class Course:
    """The ranks of one configuration in one layer."""

    id: str
    colour: str
    dash: object
    by_seed: Mapping[int, tuple[list[float], list[float]]]
    """Seed → steps and values."""

    def ends(self, first: bool) -> dict[int, float]:
        """Seed → the first or the last value that is a number."""
        return {
            seed: next(v for v in (values if first else reversed(values)) if math.isfinite(v))
            for seed, (_, values) in self.by_seed.items()
        }


def rank_figures(material: Material) -> dict[str, list[Figure | Missing]]:
    """A heading with a figure for each object that was measured; nothing where none was."""
    found = (_figure(material, name) for name in _OF)
    figures: list[Figure | Missing] = [figure for figure in found if figure is not None]
    return {"Effective rank": figures} if figures else {}


def _figure(material: Material, name: str) -> Figure | None:
    layers = _layers(material, name)
    courses = {layer: _courses(material, name, layer) for layer in layers}
    layers = [layer for layer in layers if courses[layer]]
    if not layers:
        return None
    title, caption = _OF[name]
    drawn = _evenly(layers, MOST_PANELS)
    left_out = "" if drawn == layers else f" {len(drawn)} of {len(layers)} layers are drawn."
    ids = list(dict.fromkeys(course.id for by in courses.values() for course in by))
    return Figure(
        name=f"effective-rank-{name}",
        title=title,
        caption=f"{caption} Drawn by the definition exp H(σ/Σσ); the numbers behind it are by all "
        f"five.{left_out} One line for each seed ({seeds_text(material.seeds_of(ids))}); "
        f"configurations of one rule differ in their dashes. {PUBLISHED_MARK}",
        panels=[
            panel for layer in drawn for panel in _panels(material, name, layer, courses[layer])
        ],
        columns=2,
        numbers=_table(material, name, ids, layers, title),
    )


def _layers(material: Material, name: str) -> list[str]:
    found = (
        layer
        for id in material.study.configurations
        for record in material.runs(id).values()
        for layer in record.series.get("rank", {}).get(name, {})
    )
    return [layer for layer in dict.fromkeys(found) if layer != "step"]


def _evenly(layers: Sequence[str], most: int) -> list[str]:
    """So many of the layers, evenly spaced, the first and the last among them."""
    if len(layers) <= most:
        return list(layers)
    return [layers[round(i * (len(layers) - 1) / (most - 1))] for i in range(most)]


def _courses(material: Material, name: str, layer: str) -> list[Course]:
    found = []
    for id in material.study.configurations:
        by_seed = {}
        for seed, record in material.runs(id).items():
            series = record.series.get("rank", {}).get(name, {})
            values = numbers(series.get(layer, {}).get(DRAWN))
            if any(math.isfinite(value) for value in values):
                by_seed[seed] = numbers(series["step"]), values
        if by_seed:
            dash = LINES[material.line(id) % len(LINES)]
            found.append(Course(id, rule_colour(material.rule(id)), dash, by_seed))
    return found


def _panels(
    material: Material, name: str, layer: str, courses: Sequence[Course]
) -> Iterator[Panel]:
    """One panel of a layer; of many configurations one for each rule, all to one scale."""
    values = [v for one in courses for _, of in one.by_seed.values() for v in of if v > 0]
    scale = min(values), max(values)
    if len(courses) <= MOST_COURSES:
        yield _panel(material, name, layer, layer, courses, scale)
        return
    by_rule: dict[str, list[Course]] = {}
    for course in courses:
        by_rule.setdefault(material.rule(course.id), []).append(course)
    for rule, members in by_rule.items():
        title = f"{layer}, {configuration_title(rule)}"
        yield _panel(material, name, layer, title, members, scale)


def _panel(
    material: Material,
    name: str,
    layer: str,
    title: str,
    courses: Sequence[Course],
    scale: tuple[float, float],
) -> Panel:
    measure = f"effective_rank/{name}/{layer}/{DRAWN}"
    bound = _bound(material, measure)

    def draw(axes: Axes) -> None:
        axes.set_title(title)
        for course in courses:
            for steps, values in course.by_seed.values():
                seed_line(axes, steps, values, course.colour, linestyle=course.dash)
        last = max(steps[-1] for one in courses for steps, _ in one.by_seed.values())
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0, last)
        ticks = [0, *(10**n for n in range(0, 9, 2) if 10**n <= last)]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
        axes.set(xlabel="training step", ylabel="effective rank")
        for course in courses:
            for moment, x in (("first", 0), ("last", last)):
                if published := material.published(course.id, measure, moment):
                    published_mark(axes, x, published, course.colour)
        low, high = axes.get_ylim()  # what is published may lie beyond our runs
        low, high = min(low, scale[0] / 1.1), max(high, scale[1] * 1.1)
        axes.set_ylim(min(low, 0.95), max(high, 2.0, 1.2 * (bound or 0)))
        if bound is not None:
            chance_line(axes, bound, "bound")
        ends = [(mean(one.ends(first=False)), one) for one in courses]
        end_labels(
            axes, [(y, configuration_title(one.id), one.colour) for y, one in ends if y is not None]
        )

    parts = []
    for course in courses:
        published = material.published(course.id, measure, "last")
        beside = f", published {published.value:g}" if published else ""
        start = mean(course.ends(first=True))
        parts.append(
            f"{configuration_title(course.id)} from {short(start)} to "
            f"{spread(course.ends(first=False))}{beside}"
        )
    limit = "" if bound is None else f" At most {bound:g}."
    right = room_for(configuration_title(course.id) for course in courses)
    return Panel(f"{title}: {'; '.join(parts)}.{limit}", draw, left=0.6, right=right)


def _bound(material: Material, measure: str) -> float | None:
    """The bound that a record states of a measure."""
    for record in material.records:
        bound = record.measurements.get(measure, {}).get("bound")
        if bound is not None:
            return float(bound)
    return None


def _table(
    material: Material, name: str, ids: Sequence[str], layers: Sequence[str], title: str
) -> Html:
    """A row for each configuration, layer and moment, a column for each definition."""
    rows: list[list[Child]] = []
    for id in ids:
        for layer in layers:
            for moment in MOMENTS:
                measures = [f"effective_rank/{name}/{layer}/{one}" for one in DEFINITIONS]
                values = [material.values(id, measure, moment) for measure in measures]
                if any(values):
                    rows.append(
                        [
                            configuration_title(id),
                            layer,
                            place_title(moment),
                            *(_cell(material, id, one, moment) for one in measures),
                            max(map(len, values)),
                        ]
                    )
    heads = (definition.replace("_", " ") for definition in DEFINITIONS)
    return table(
        ("configuration", "layer", "moment", *heads, "seeds"),
        rows,
        f"{title}: mean over seeds, lowest to highest, and published",
        numeric=range(3, 9),
    )


def _cell(material: Material, id: str, measure: str, moment: str) -> str:
    values = material.values(id, measure, moment)
    text = short(mean(values))
    if len(values) > 1:
        text += f" ({short(min(values.values()))} to {short(max(values.values()))})"
    published = material.published(id, measure, moment)
    return f"{text}; published {published.value:g}" if published else text
