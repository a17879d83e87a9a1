"""Exemplars: the test images that a network's top channels answer to most, and their classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from fa_audit.report.drawing import SIZE, Figure, Panel
from fa_audit.report.figures.heatmap import draw_heatmap, room_below
from fa_audit.report.figures.marks import seeds_text
from fa_audit.report.html import table
from fa_audit.report.material import Material, Missing, mean
from fa_audit.report.names import base, configuration_title, measure_title
from fa_audit.report.pictures import Pixels
from fa_audit.report.style import MUTED
from fa_audit.study.inspections import FORM_NAMES
from fa_audit.study.ledger import Record

SHOWN = "absolute"
"""The form of importance whose exemplars are drawn, that of the published code."""


def exemplar_figures(material: Material) -> list[Figure | Missing]:
    """The exemplars of the top channels and their classes, as far as the ledger has them."""
    ids = [id for id in material.study.inspections if material.runs(id)]
    if not ids:
        return [Missing(IMAGES, "The ledger holds no record of what single channels answer to.")]
    return [_exemplars(material, ids), _classes(material, ids)]


IMAGES, CLASSES = "What the top channels answer to", "Classes that the top channels answer to"


def _classes(material: Material, ids: Sequence[str]) -> Figure:
    """Which classes the exemplars of the top channels belong to: counts, means over seeds."""
    settings = material.study.channels
    measures = [f"exemplar_classes/{at}/{form}" for form in _FORMS for at in settings.layers]
    groups = settings.groups
    classes = [c for c in material.places(ids, measures[0]) if c not in groups]
    images = settings.channels * settings.images
    counts = {
        measure: np.array(
            [[_count(material, id, measure, name) for name in classes] for id in ids],
            dtype=np.float64,
        )
        for measure in measures
    }
    names = [configuration_title(base(id)) for id in ids]
    highest = max((float(np.nanmax(one, initial=1.0)) for one in counts.values()), default=1.0)

    def panel(measure: str) -> Panel:
        layer, form = measure.split("/")[1:]

        def draw(axes: Axes) -> None:
            axes.set_title(f"{layer}, {_FORMS[form]}")
            draw_heatmap(axes, counts[measure], names, classes, Normalize(0, highest), _written)

        most = "; ".join(
            f"{name} {_listed(dict(zip(classes, row, strict=True)))}"
            for name, row in zip(names, counts[measure], strict=True)
        )
        return Panel(
            f"{layer}, {_FORMS[form]}, images of {images}: {most}.",
            draw,
            height=0.45 + room_below(classes, label=False) + 0.23 * len(ids),
            left=0.2 + 0.062 * max(map(len, names)),
            bottom=room_below(classes, label=False),
        )

    return Figure(
        name="exemplar-classes",
        title=CLASSES,
        caption=f"Of each network, the {settings.channels} most important channels of a layer for "
        f"the class “{settings.class_}”, and for each of them the {settings.images} test images "
        f"that excite it most: how many of these {images} images belong to which class, mean over "
        f"{seeds_text(material.seeds_of(ids))}. If channels answered to all classes alike, each "
        f"would have {images / len(classes):.3g}. Importance is the mean over images of gradient "
        "times activation, without its sign (the published code) or with it (the published "
        "equation).",
        panels=[panel(measure) for measure in measures],
        columns=2,
        numbers=table(
            ("network", "measure", *classes),
            [
                [name, measure_title(measure), *map(_written, row)]
                for measure in measures
                for name, row in zip(names, counts[measure], strict=True)
            ],
            "Exemplars by class, mean over seeds",
            numeric=range(2, 2 + len(classes)),
        ),
    )


_FORMS = {"absolute": "sign left out", "signed": "sign kept"}
assert set(_FORMS) == set(FORM_NAMES.values())


def _exemplars(material: Material, ids: Sequence[str]) -> Figure | Missing:
    """The exemplars themselves, one seed of each network, where the images are at hand."""
    if material.pictures is None:
        return Missing(
            IMAGES,
            "A ledger holds no images; to see them here, make the report where the data set is: "
            f"fa-audit report STUDY --data DIR, with {material.data_title} in DIR.",
        )
    records = {id: record for id in ids if (record := _first(material, id))}
    pictures, layers = material.pictures, material.study.channels.layers
    grids = {
        (id, layer): pictures.exemplars(record, layer, SHOWN)
        for id, record in records.items()
        for layer in layers
    }
    found = {key: pixels for key, pixels in grids.items() if pixels is not None}
    if not found:
        return Missing(IMAGES, "The images at hand are not those that the records name.")

    def panel(id: str, layer: str, pixels: Pixels) -> Panel:
        record = records[id]
        channels = record.series["channels"][layer][SHOWN]["channels"]
        values = record.measurements[f"exemplar_classes/{layer}/{SHOWN}"]["values"]
        groups = material.study.channels.groups
        counts = {name: count for name, count in values.items() if name not in groups and count}
        name = f"{configuration_title(base(id))}, {layer}"
        left, right, below = 0.5, 0.1, 0.3
        side = (SIZE[0] - left - right) / pixels.shape[1]

        def draw(axes: Axes) -> None:
            axes.set_title(name)
            mosaic, step = _mosaic(pixels)
            axes.imshow(mosaic, interpolation="none")
            axes.set_yticks(step * (np.arange(len(channels)) + 0.5), [f"{c}" for c in channels])
            axes.set_xticks([])
            axes.set_ylabel("channel")
            axes.set_xlabel(_listed(counts), fontsize=7, color=MUTED, loc="left")
            axes.tick_params(length=0)
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)

        alt = f"{name}, seed {record.seed}, channels {', '.join(map(str, channels))}"
        return Panel(
            f"{alt}: {_listed(counts, len(counts))}.",
            draw,
            height=0.3 + below + side * len(channels),
            left=left,
            right=right,
            bottom=below,
        )

    seeds = dict.fromkeys(str(records[id].seed) for id, _ in found)
    absent = len(grids) - len(found)
    return Figure(
        name="exemplars",
        title=IMAGES,
        caption=f"The {material.study.channels.images} test images that excite a channel most, "
        f"the strongest first; a row for each of the {material.study.channels.channels} most "
        f"important channels, importance without its sign, seed {' and '.join(seeds)}. Images are "
        f"cut as the networks see them. Below, how many belong to which class. Images: "
        f"{material.data_title}."
        + (f" {absent} grids name images that are not at hand." if absent else ""),
        panels=[panel(id, layer, pixels) for (id, layer), pixels in found.items()],
        columns=max(2, len(layers)),
        numbers=table(
            ("network", "seed", "layer", "channel", "importance"),
            [
                [configuration_title(base(id)), record.seed, layer, channel, f"{importance:.3g}"]
                for id, record in records.items()
                for layer in layers
                for channel, importance in _channels(record, layer)
            ],
            "The most important channels",
            numeric=(1, 3, 4),
        ),
    )


def _first(material: Material, id: str) -> Record | None:
    """The record of the first seed that has exemplars; those of an overflow have none."""
    found = (material.runs(id)[seed] for seed in sorted(material.runs(id)))
    return next((record for record in found if "channels" in record.series), None)


def _channels(record: Record, layer: str) -> list[tuple[int, float]]:
    found: Mapping[str, Any] = record.series["channels"][layer][SHOWN]
    return [(channel, found["importance"][channel]) for channel in found["channels"]]


def _count(material: Material, id: str, measure: str, name: str) -> float:
    value = mean(material.values(id, measure, name))
    return np.nan if value is None else value


def _written(count: float) -> str:
    return "–" if np.isnan(count) else f"{count:.2g}"


def _listed(counts: Mapping[str, float], most: int = 5) -> str:
    """Classes by their counts: "dog 9, cat 8, deer 5"."""
    order = sorted((name for name in counts if counts[name] > 0), key=lambda name: -counts[name])
    text = ", ".join(f"{name} {counts[name]:.2g}" for name in order[:most])
    return f"{text}, …" if len(order) > most else text or "none"


def _mosaic(pixels: Pixels, gap: int = 1) -> tuple[NDArray[np.uint8], int]:
    """Rows of images as one picture [height, width, RGBA], gaps transparent; the rows' distance."""
    rows, columns, side = pixels.shape[:3]
    step = side + gap
    picture = np.zeros((rows * step - gap, columns * step - gap, 4), dtype=np.uint8)
    for i, j in np.ndindex(rows, columns):
        at = picture[i * step : i * step + side, j * step : j * step + side]
        at[..., :3], at[..., 3] = pixels[i, j], 255
    return picture, step
