"""Similarity of representations: CKA of all layer pairs, and its yardsticks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from fa_audit.report.drawing import Figure, Panel
from fa_audit.report.figures.heatmap import Matrix, draw_heatmap, room_below
from fa_audit.report.figures.marks import (
    CELL_HEADS,
    PUBLISHED_MARK,
    cells,
    published_mark,
    seed_dots,
    seeds_text,
    short,
    spread,
)
from fa_audit.report.html import table
from fa_audit.report.material import Material, Missing, mean
from fa_audit.report.names import (
    base,
    configuration_title,
    is_control,
    sides,
    subject_title,
)
from fa_audit.report.style import LINE, rule_colour
from fa_audit.study.pairs import SHUFFLED, UNTRAINED

SUBSETS = {
    "all": "all images",
    "both-right": "images that both networks get right",
    "reference-right-only": "images that only the reference gets right",
}


def cka_matrices(material: Material, subset: str) -> Figure | Missing:
    """CKA of all layer pairs on one subset of the images: ours, published, and the difference."""
    title = f"CKA on {SUBSETS.get(subset, subset)}"
    measure = f"cka/{subset}"
    ids = [id for id in _of_rules(material) if material.places([id], measure)]
    if not ids:
        return Missing(title, "No comparison of this study has measured it.")
    panels = []
    any_published = False
    for id in ids:
        rows, columns = _layers(material.places([id], measure))
        ours = _matrix(rows, columns, lambda at: mean(material.values(id, measure, at)))  # noqa: B023
        theirs = _matrix(rows, columns, lambda at: _value(material, id, measure, at))  # noqa: B023
        seeds = seeds_text(len(material.runs(id)))
        panels.append(_heatmap(f"{_rows(id)}, ours ({seeds})", id, rows, columns, ours))
        if np.isfinite(theirs).any():
            any_published = True
            name = configuration_title(sides(id)[0])
            panels.append(_heatmap(f"{name}, published", id, rows, columns, theirs))
            difference = _heatmap(
                f"{name}, ours − published", id, rows, columns, ours - theirs, diverging=True
            )
            panels.append(difference)
    references = " or ".join(dict.fromkeys(map(_columns, ids)))
    return Figure(
        name=f"cka-{subset}",
        title=title,
        caption=f"Rows: layers of the rule's network; columns: {references}'s. Ours is the mean "
        "over seeds, debiased, so that unrelated representations give 0. "
        + (
            "Published numbers are shown where claims.toml holds them; a dot marks those it does "
            "not."
            if any_published
            else "claims.toml holds no published number for this subset."
        ),
        panels=panels,
        columns=3 if any_published else 2,
        numbers=table(
            ("comparison", "layers", *CELL_HEADS),
            [
                [
                    subject_title(id),
                    at.replace("/", " with "),
                    *cells(material.values(id, measure, at), material.published(id, measure, at)),
                ]
                for id in ids
                for at in material.places([id], measure)
            ],
            f"{title}, by comparison and layer pair",
            numeric=range(2, 7),
        ),
    )


def _of_rules(material: Material) -> list[str]:
    """Comparisons with the reference, but for those of a grid's settings.

    There are many of these, and what they tell, how similarity goes with accuracy from setting to
    setting, has a figure of its own.
    """
    return [
        id
        for id in material.comparisons
        if not is_control(id) and base(sides(id)[0]) not in material.grid
    ]


def _rows(comparison: str) -> str:
    return configuration_title(sides(comparison)[0])


def _value(material: Material, id: str, measure: str, at: str) -> float | None:
    published = material.published(id, measure, at)
    return published.value if published else None


def _layers(places: Sequence[str]) -> tuple[list[str], list[str]]:
    pairs = [place.split("/") for place in places]
    return list(dict.fromkeys(row for row, _ in pairs)), list(dict.fromkeys(c for _, c in pairs))


def _matrix(rows: Sequence[str], columns: Sequence[str], value) -> Matrix:  # type: ignore[no-untyped-def]
    found = [[value(f"{row}/{column}") for column in columns] for row in rows]
    return np.array(found, dtype=np.float64)


def _heatmap(
    title: str,
    id: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Matrix,
    diverging: bool = False,
) -> Panel:
    norm = Normalize(-0.5, 0.5) if diverging else Normalize(0, 1)

    def draw(axes: Axes) -> None:
        axes.set_title(title)
        colours = "PuOr" if diverging else "cividis"
        draw_heatmap(
            axes, values, rows, columns, norm, lambda value: _written(value, diverging), colours
        )
        axes.set(xlabel=f"layer of {_columns(id)}", ylabel=f"layer of {_rows(id)}")

    shared = [layer for layer in rows if layer in columns]
    diagonal = ", ".join(
        f"{layer} {short(values[rows.index(layer), columns.index(layer)], 2)}" for layer in shared
    )
    bottom = room_below(columns)
    alt = f"{title}, same layers: {diagonal}."
    return Panel(alt, draw, height=2.15 + bottom, left=0.7, bottom=bottom)


def _written(value: float, signed: bool) -> str:
    """Two decimals, with a sign where asked for and not zero."""
    text = f"{value:.2f}".replace("-", "−")
    if float(f"{value:.2f}") == 0:
        return "0.00"
    return f"+{text}" if signed and value > 0 else text


def _columns(comparison: str) -> str:
    return configuration_title(base(sides(comparison)[1]))


def controls(material: Material) -> Figure | Missing:
    """CKA of equal layers: the rules' beside the yardsticks that say how to read it."""
    title = "What a high CKA is worth: controls"
    measure = "cka/all"
    yardsticks = [id for id in material.comparisons if is_control(id) and material.runs(id)]
    if not yardsticks:
        return Missing(
            title,
            "This study's ledger has no comparison with another seed (ceiling), with an untrained "
            "network (floor) or with shuffled images (null). Without them nobody can tell how much "
            "of a CKA the shared start and the architecture bring with them.",
        )
    rules = [id for id in _of_rules(material) if material.runs(id)]
    ids = sorted([*rules, *yardsticks], key=lambda id: KINDS.index(_kind(id)))
    ends = [i for i in range(1, len(ids)) if _kind(ids[i]) != _kind(ids[i - 1])]
    found = {id: _diagonal(material, id, measure) for id in ids}
    layers = dict.fromkeys(layer for course in found.values() for layer in course)
    names = [_in_two_lines(subject_title(id)) for id in ids]
    room = 0.2 + 0.055 * max(len(line) for name in names for line in name.split("\n"))

    def panel(layer: str) -> Panel:
        def draw(axes: Axes) -> None:
            axes.set_title(layer)
            for row, id in enumerate(ids):
                colour = rule_colour(material.rule(sides(id)[0]))
                values = found[id].get(layer, {}).values()
                seed_dots(axes, list(values), [row] * len(values), colour)
                if published := material.published(id, measure, f"{layer}/{layer}"):
                    published_mark(axes, row, published, colour, across=True)
            for end in ends:
                axes.axhline(end - 0.5, color=LINE, linewidth=0.8)
            axes.set_yticks(range(len(ids)), names, fontsize=6.5)
            axes.tick_params(axis="y", length=0)
            axes.set(xlim=(-0.05, 1.05), ylim=(len(ids) - 0.4, -0.6), xlabel="CKA")

        alt = "; ".join(f"{subject_title(id)} {spread(found[id].get(layer, {}), 2)}" for id in ids)
        return Panel(f"{layer}: {alt}.", draw, height=0.9 + 0.27 * len(ids), left=room)

    return Figure(
        name="controls",
        title=title,
        caption="CKA of equal layers on all images, one dot for each seed. From top to bottom: the "
        "rules and BP of the same seed, which share their start; of another seed; the ceiling, one "
        "rule from two seeds; the floor, networks that were never trained; the null, images that "
        "do not belong together. A CKA says that training made a rule like BP only as far as it "
        f"lies beyond the floor, and no more than the ceiling can. {PUBLISHED_MARK}",
        panels=[panel(layer) for layer in layers],
        columns=3,
        numbers=table(
            ("comparison", "layer", *CELL_HEADS),
            [
                [
                    subject_title(id),
                    layer,
                    *cells(values, material.published(id, measure, f"{layer}/{layer}")),
                ]
                for id in ids
                for layer, values in found[id].items()
            ],
            f"{title}: CKA of equal layers",
            numeric=range(2, 7),
        ),
    )


def _in_two_lines(name: str) -> str:
    """A long name broken before its second side."""
    return name.replace(" ~ ", "\n~ ") if len(name) > 18 else name


KINDS = ("rules, same seed", "rules, other seed", "ceiling", "floor", "null")


def _kind(id: str) -> str:
    """What a comparison of equal layers is good for."""
    rows, columns = sides(id)
    if columns.endswith(SHUFFLED):
        return "null"
    if UNTRAINED in (base(rows), base(columns)):
        return "floor"
    if base(rows) == base(columns):
        return "ceiling"
    return "rules, other seed" if is_control(id) else "rules, same seed"


def _diagonal(material: Material, id: str, measure: str) -> Mapping[str, Mapping[int, float]]:
    """Layer → seed → CKA of that layer in both networks."""
    rows, columns = _layers(material.places([id], measure))
    return {
        layer: material.values(id, measure, f"{layer}/{layer}")
        for layer in rows
        if layer in columns
    }
