"""Accuracy: its course over epochs, and what every seed came to."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fa_audit.report.drawing import Figure, Panel
from fa_audit.report.figures.marks import (
    CELL_HEADS,
    PUBLISHED_MARK,
    cells,
    chance_line,
    published_mark,
    seed_dots,
    seed_line,
    seeds_text,
    short,
    spread,
)
from fa_audit.report.html import Html, table
from fa_audit.report.material import Material, Missing, Published, numbers
from fa_audit.report.names import configuration_title
from fa_audit.report.style import FAINT, INK, rule_colour


def accuracy_by_epoch(material: Material) -> Figure | Missing:
    """Validation accuracy by epoch: one panel for each configuration, one line for each seed."""
    title = "Validation accuracy by epoch"
    courses = {
        id: {
            seed: numbers(record.series.get("epoch", {}).get("validation_accuracy"))
            for seed, record in material.runs(id).items()
        }
        for id in material.configurations
    }
    if not any(course for by_seed in courses.values() for course in by_seed.values()):
        return Missing(title, "No run of this study has ended yet.")
    chance = _chance(material)
    last = max(len(course) for by_seed in courses.values() for course in by_seed.values()) - 1
    best = {id: material.published(id, "validation_accuracy", "best-validation") for id in courses}
    finals = {id: material.published(id, "validation_accuracy", "last") for id in courses}
    highest = max(
        [value for by in courses.values() for course in by.values() for value in course]
        + [published.value for published in (*best.values(), *finals.values()) if published],
        key=lambda value: -math.inf if math.isnan(value) else value,
    )

    def panel(id: str) -> Panel:
        ends = {seed: course[-1] for seed, course in courses[id].items() if course}
        tops = {
            seed: max((v for v in course if not math.isnan(v)), default=math.nan)
            for seed, course in courses[id].items()
            if course
        }

        def draw(axes: Axes) -> None:
            axes.set_title(configuration_title(id))
            for other, by_seed in courses.items():
                for course in by_seed.values() if other != id else ():
                    axes.plot(range(len(course)), course, color=FAINT, linewidth=0.9, zorder=1)
            for seed, course in courses[id].items():
                seed_line(axes, range(len(course)), course, rule_colour(material.rule(id)))
                if course and material.runs(id)[seed].status == "diverged":
                    stop = max((i for i, v in enumerate(course) if not math.isnan(v)), default=0)
                    axes.plot(stop, course[stop], "x", color=INK, markersize=6)
            axes.set(xlim=(0, last), ylim=(0, min(100, 1.12 * highest)))
            axes.set(xlabel="epoch", ylabel="validation accuracy (%)")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            if chance is not None:
                chance_line(axes, chance, "chance", below=True)
            if published := best[id]:
                axes.axhline(published.value, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
                axes.annotate(
                    f"published best, {published.value:g} %",
                    xy=(0.01, published.value),
                    xycoords=axes.get_yaxis_transform(),
                    xytext=(0, 2),
                    textcoords="offset points",
                    fontsize=6.5,
                )
            if published := finals[id]:
                published_mark(axes, last, published, rule_colour(material.rule(id)))

        alt = f"{configuration_title(id)}: ends at {spread(ends)} %, best epoch {spread(tops)} %"
        return Panel(f"{alt}{_beside(best[id])}.", draw)

    epochs = " and ".join(map(str, material.epochs_of(tuple(courses))))
    theirs = " and ".join(map(str, material.published_epochs(tuple(courses))))
    return Figure(
        name="accuracy-by-epoch",
        title=title,
        caption=f"One line for each seed ({seeds_text(material.seeds_of(tuple(courses)))}), the "
        f"other configurations in grey; our runs have {epochs} epochs"
        + (f", the published ones {theirs}" if theirs else "")
        + ". Dashed: the published accuracy of the best epoch, a maximum over all epochs. "
        "A cross ends a run that diverged. Epoch 0 is the untrained network.",
        panels=[panel(id) for id, by_seed in courses.items() if by_seed],
        columns=3,
        numbers=table(
            ("configuration", "seed", "first epoch", "best", "last", "epochs"),
            [
                [
                    configuration_title(id),
                    seed,
                    short(course[1] if len(course) > 1 else None),
                    short(max((v for v in course if not math.isnan(v)), default=None)),
                    short(course[-1]),
                    len(course) - 1,
                ]
                for id, by_seed in courses.items()
                for seed, course in by_seed.items()
                if course
            ],
            "Validation accuracy in %, by configuration and seed",
            numeric=(1, 2, 3, 4, 5),
        ),
    )


def _beside(published: Published | None) -> str:
    return "" if published is None else f"; published {published.value:g} %"


def _chance(material: Material) -> float | None:
    """Accuracy of guessing, in %, as far as the records say how many classes there are."""
    for record in material.records:
        nats = record.measurements.get("train_loss", {}).get("chance")
        if nats is not None:
            return 100 / math.exp(float(nats))
    return None


ACCURACIES = (
    ("test_accuracy", "best-validation", "Test, best validation epoch"),
    ("validation_accuracy", "best-validation", "Validation, best epoch"),
    ("test_accuracy", "last", "Test, last epoch"),
    ("validation_accuracy", "last", "Validation, last epoch"),
)


def accuracy_of_seeds(material: Material) -> Figure | Missing:
    """Accuracy of every seed of every configuration, at the best validation epoch and the last."""
    title = "Accuracy of every seed"
    ids = [id for id in (*material.configurations, *material.variants) if material.runs(id)]
    if not ids:
        return Missing(title, "No run of this study has ended yet.")
    found = {
        (measure, at, id): material.values(id, measure, at)
        for measure, at, _ in ACCURACIES
        for id in ids
    }
    top = max((value for by_seed in found.values() for value in by_seed.values()), default=1.0)
    room = 0.2 + 0.062 * max(len(configuration_title(id)) for id in ids)
    top = max([top, *(p.value for key in found if (p := material.published(key[2], *key[:2])))])

    def panel(measure: str, at: str, name: str) -> Panel:
        rows = [(id, found[measure, at, id], material.published(id, measure, at)) for id in ids]

        def draw(axes: Axes) -> None:
            axes.set_title(name)
            for row, (id, values, published) in enumerate(rows):
                colour = rule_colour(material.rule(id))
                seed_dots(axes, list(values.values()), [row] * len(values), colour)
                if published:
                    published_mark(axes, row, published, colour, across=True)
            axes.set_yticks(range(len(ids)), [configuration_title(id) for id in ids])
            axes.set(ylim=(len(ids) - 0.4, -0.6), xlim=(0, 1.06 * top), xlabel="accuracy (%)")
            axes.tick_params(axis="y", length=0)
            if (chance := _chance(material)) is not None:
                axes.axvline(chance, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))

        alt = "; ".join(
            f"{configuration_title(id)} {spread(values)}{_beside(published)}"
            for id, values, published in rows
        )
        return Panel(f"{name}, in %: {alt}.", draw, height=0.9 + 0.27 * len(ids), left=room)

    return Figure(
        name="accuracy",
        title=title,
        caption=f"One dot for each seed. {PUBLISHED_MARK} The dotted line is chance. The best "
        "epoch is picked by validation accuracy, so its validation accuracy is a maximum; the last "
        "epoch is a level.",
        panels=[panel(*one) for one in ACCURACIES],
        columns=2,
        numbers=_accuracy_table(material, ids),
    )


def _accuracy_table(material: Material, ids: Sequence[str]) -> Html:
    return table(
        ("configuration", "measured", *CELL_HEADS),
        [
            [
                configuration_title(id),
                name,
                *cells(
                    material.values(id, measure, at), material.published(id, measure, at), digits=4
                ),
            ]
            for measure, at, name in ACCURACIES
            for id in ids
        ],
        "Accuracy in %, by configuration",
        numeric=range(2, 7),
    )
