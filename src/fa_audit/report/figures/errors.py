"""The error that a rule sends down: its angles to BP's, and whether signs agree, over training."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from fa_audit.report.drawing import Figure, Panel
from fa_audit.report.figures.heatmap import room_below, turned
from fa_audit.report.figures.marks import (
    CELL_HEADS,
    LINES,
    PUBLISHED_MARK,
    cells,
    chance_line,
    end_labels,
    published_mark,
    room_for,
    seed_line,
    seeds_text,
    spread,
)
from fa_audit.report.html import Html, table
from fa_audit.report.material import Material, Missing, mean, numbers
from fa_audit.report.names import configuration_title
from fa_audit.report.style import rule_colour
from fa_audit.rules import RULES

MOMENTS = ("start", "lowest", "end")
DOTTED = (0, (1, 1.5))


def local_angles(material: Material) -> Figure | Missing:
    """Angle between Bᵀδ and Wᵀδ, layer by layer, with the angle predicted from the weights."""
    return _by_step(
        material,
        quantity="local_angle",
        name="local-angles",
        title="Local angle of the error that a layer sends down",
        caption="Angle between what the rule's feedback and what the layer's own weights make of "
        "the same error; 0° is BP's direction, 90° says nothing about it. The layer is the one "
        "whose feedback is measured. Dotted: the angle between weights and feedback as vectors, "
        "which errors that are independent of the weights would show; it exists where both have "
        "the same shape.",
        unit="°",
        ids=_not_bp(material),
        limits=(0, 100),
        predicted="predicted_angle",
        chance=(90, "orthogonal"),
    )


def true_angles(material: Material) -> Figure | Missing:
    """Angle between the error sent and that of backpropagation through the whole network."""
    return _by_step(
        material,
        quantity="true_angle",
        name="true-angles",
        title="Angle to the true gradient",
        caption="Angle between the error that the rule sends down and the one that "
        "backpropagation through the whole network would put in the same place. At the last layer "
        "it equals the local angle.",
        unit="°",
        ids=_not_bp(material),
        limits=(0, 100),
        chance=(90, "orthogonal"),
    )


def sign_concordance(material: Material) -> Figure | Missing:
    """Fraction of entries with sign(W) = sign(B), of the rules that do not enforce it."""
    free = [
        id
        for id in material.configurations
        if (rule := RULES.get(material.rule(id))) is not None and not rule.sign_concordant
    ]
    return _by_step(
        material,
        quantity="sign_concordance",
        name="sign-concordance",
        title="Sign concordance of weights and feedback",
        caption="Fraction of weights whose sign is that of their feedback, for the rules that do "
        "not enforce it; it is not defined where feedback and weights differ in shape. Chance "
        "gives one half, give or take .5/√(number of weights).",
        unit="",
        ids=free,
        limits=None,
        chance=(0.5, "chance"),
    )


def _not_bp(material: Material) -> list[str]:
    """Configurations whose feedback is not W itself, so that an angle can differ from 0."""
    return [
        id
        for id in material.configurations
        if (rule := RULES.get(material.rule(id))) is None or rule.weight_transport != "exact"
    ]


def _by_step(
    material: Material,
    *,
    quantity: str,
    name: str,
    title: str,
    caption: str,
    unit: str,
    ids: Sequence[str],
    limits: tuple[float, float] | None,
    chance: tuple[float, str],
    predicted: str | None = None,
) -> Figure | Missing:
    """A probed quantity over training steps: one panel for each layer, one line for each seed."""
    courses = {layer: _courses(material, ids, layer, quantity) for layer in _probed(material, ids)}
    layers = tuple(layer for layer in courses if any(courses[layer].values()))
    if not layers:
        return Missing(title, "No run of this study has measured it.")

    def panel(layer: str) -> Panel:
        def draw(axes: Axes) -> None:
            axes.set_title(layer)
            _draw_courses(axes, courses[layer], material)
            if predicted is not None:
                for id, by_seed in _courses(material, ids, layer, predicted).items():
                    for steps, values in by_seed.values():
                        colour = rule_colour(material.rule(id))
                        axes.plot(steps, values, color=colour, linewidth=0.9, linestyle=DOTTED)
            last = max(s[-1] for by in courses[layer].values() for s, _ in by.values())
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(0, last)
            ticks = [0, *(10**n for n in range(0, 9, 2) if 10**n <= last)]
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axes.minorticks_off()
            axes.set(xlabel="training step", ylabel=_AXES[quantity])
            for id in courses[layer]:
                for moment, x in (("start", 0), ("end", last)):
                    if published := material.published(id, f"{quantity}/{moment}", layer):
                        published_mark(axes, x, published, rule_colour(material.rule(id)))
            if limits is not None:
                axes.set_ylim(*limits)
            else:
                low, high = axes.get_ylim()
                axes.set_ylim(min(low, chance[0] - 0.02), max(high, chance[0] + 0.02))
            chance_line(axes, *chance)
            end_labels(
                axes,
                [
                    (y, configuration_title(id), rule_colour(material.rule(id)))
                    for id, by_seed in courses[layer].items()
                    if (y := mean(_last(by_seed))) is not None
                ],
            )

        parts = []
        for id, by_seed in courses[layer].items():
            if by_seed:
                start = mean({seed: values[0] for seed, (_, values) in by_seed.items()})
                text = f"{configuration_title(id)} from {start:.3g}{unit} to "
                published = material.published(id, f"{quantity}/end", layer)
                beside = f", published {published.value:g}{unit}" if published else ""
                parts.append(f"{text}{spread(_last(by_seed))}{beside}")
        right = room_for(map(configuration_title, courses[layer]))
        return Panel(f"{layer}: {'; '.join(parts)}.", draw, left=0.6, right=right)

    return Figure(
        name=name,
        title=title,
        caption=f"{caption} One line for each seed ({seeds_text(material.seeds_of(ids))}). "
        f"{PUBLISHED_MARK}",
        panels=[panel(layer) for layer in layers],
        columns=2,
        numbers=_moments_table(material, quantity, ids, layers, title),
    )


_AXES = {
    "local_angle": "local angle (degrees)",
    "true_angle": "true angle (degrees)",
    "sign_concordance": "sign concordance (fraction)",
}

Courses = Mapping[str, Mapping[int, tuple[list[float], list[float]]]]
"""Configuration → seed → steps and values."""


def _probed(material: Material, ids: Sequence[str]) -> dict[str, None]:
    """The layers of which there are series, in their order."""
    return {
        layer: None
        for id in ids
        for record in material.runs(id).values()
        for layer in record.series.get("probe", {})
        if layer != "step"
    }


def _courses(material: Material, ids: Sequence[str], layer: str, quantity: str) -> Courses:
    found: dict[str, dict[int, tuple[list[float], list[float]]]] = {}
    for id in ids:
        for seed, record in material.runs(id).items():
            probe = record.series.get("probe", {})
            values = numbers(probe.get(layer, {}).get(quantity))
            if any(math.isfinite(value) for value in values):
                found.setdefault(id, {})[seed] = numbers(probe["step"])[: len(values)], values
    return found


def _draw_courses(axes: Axes, courses: Courses, material: Material) -> None:
    for id, by_seed in courses.items():
        line = LINES[material.line(id) % len(LINES)]
        for steps, values in by_seed.values():
            seed_line(axes, steps, values, rule_colour(material.rule(id)), linestyle=line)


def _last(by_seed: Mapping[int, tuple[list[float], list[float]]]) -> dict[int, float]:
    """The last value of each seed that is a number."""
    return {
        seed: next(value for value in reversed(values) if math.isfinite(value))
        for seed, (_, values) in by_seed.items()
    }


def _moments_table(
    material: Material, quantity: str, ids: Sequence[str], layers: Sequence[str], title: str
) -> Html:
    rows = [
        [
            configuration_title(id),
            layer,
            moment,
            *cells(
                material.values(id, f"{quantity}/{moment}", layer),
                material.published(id, f"{quantity}/{moment}", layer),
            ),
        ]
        for id in ids
        for layer in layers
        for moment in MOMENTS
        if material.values(id, f"{quantity}/{moment}", layer)
    ]
    return table(
        ("configuration", "layer", "moment", *CELL_HEADS),
        rows,
        f"{title}, by configuration, layer and moment",
        numeric=range(3, 8),
    )


def distance_moved(material: Material) -> Figure | Missing:
    """How far each layer's weights moved from their start, beside their size."""
    title = "How far each layer moved"
    ids = [id for id in material.configurations if material.runs(id)]
    layers = material.places(ids, "distance/end")
    if not layers:
        return Missing(title, "No run of this study has measured it.")
    found = {
        (id, layer): material.values(id, "distance/end", layer) for id in ids for layer in layers
    }

    def draw(axes: Axes) -> None:
        for id in ids:
            colour = rule_colour(material.rule(id))
            line = LINES[material.line(id) % len(LINES)]
            for seed in material.runs(id):
                y = [found[id, layer].get(seed, math.nan) for layer in layers]
                axes.plot(
                    range(len(layers)), y, "o", ls=line, color=colour, linewidth=0.8, alpha=0.8
                )
        axes.set_title("Distance from the start")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
        axes.set_xticks(range(len(layers)), layers, rotation=turned(layers))
        axes.set(ylabel="‖W − W₀‖ / ‖W₀‖", xlim=(-0.3, len(layers) - 0.9))
        ends = [
            (value, configuration_title(id), rule_colour(material.rule(id)))
            for id in ids
            if (value := mean(found[id, layers[-1]])) is not None
        ]
        end_labels(axes, ends)

    alt = "; ".join(
        f"{configuration_title(id)} "
        + ", ".join(f"{layer} {spread(found[id, layer])}" for layer in layers)
        for id in ids
    )
    return Figure(
        name="distance-moved",
        title=title,
        caption="Distance of the trained weights from their start, in units of the start's norm; "
        "one line for each seed.",
        panels=[
            Panel(
                f"Distance moved: {alt}.",
                draw,
                height=2.05 + room_below(layers),
                right=room_for(map(configuration_title, ids)),
                bottom=room_below(layers),
            )
        ],
        columns=1,
        numbers=table(
            ("configuration", "layer", *CELL_HEADS[:-1]),
            [
                [configuration_title(id), layer, *cells(found[id, layer], None)[:-1]]
                for id in ids
                for layer in layers
            ],
            "Distance moved, by configuration and layer",
            numeric=range(2, 6),
        ),
    )
