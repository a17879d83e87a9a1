"""Searched settings: what every point of a grid came to, seed by seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from fa_audit.report.drawing import Figure, Panel
from fa_audit.report.figures.marks import CELL_HEADS, cells, end_labels, room_for, spread
from fa_audit.report.html import table
from fa_audit.report.material import Material, Missing, mean
from fa_audit.report.names import SETTINGS, configuration_title, grid_name
from fa_audit.report.provenance import loss_above_chance
from fa_audit.report.style import rule_colour

MARKERS = "osD^vP"
MEASURE, AT = "validation_accuracy", "best-validation"


def searched_settings(material: Material) -> Figure | Missing:
    """Best validation accuracy of every configuration of a grid: one panel for each grid."""
    title = "Searched settings"
    ids = [id for id in material.grid if material.runs(id)]
    if not ids:
        return Missing(title, "This study's ledger holds no grid of settings.")
    grids: dict[str, list[str]] = {}
    for id in ids:
        grids.setdefault(grid_name(id), []).append(id)
    return Figure(
        name="searched-settings",
        title=title,
        caption="Best validation accuracy at every point of the grids, one mark for each seed, "
        "lines through the means. Hollow marks are runs whose training loss ended above that of "
        "guessing. A best value at the edge of a grid says that the grid was too small.",
        panels=[_panel(material, name, members) for name, members in grids.items()],
        columns=3,
        numbers=table(
            ("configuration", *CELL_HEADS),
            [
                [
                    configuration_title(id),
                    *cells(
                        material.values(id, MEASURE, AT), material.published(id, MEASURE, AT), 4
                    ),
                ]
                for id in ids
            ],
            "Best validation accuracy in % of searched settings",
            numeric=range(1, 6),
        ),
    )


def _panel(material: Material, name: str, ids: Sequence[str]) -> Panel:
    settings = {id: _settings(material, id) for id in ids}
    varied = [key for key in settings[ids[0]] if len({str(s[key]) for s in settings.values()}) > 1]
    numeric = [key for key in varied if isinstance(settings[ids[0]][key], float)]
    across = numeric[0] if numeric and "learning_rate" not in varied else "learning_rate"
    rows: dict[str, list[str]] = {}
    for id in sorted(ids, key=lambda id: settings[id][across]):
        label = ", ".join(
            f"{SETTINGS.get(key, key)} {settings[id][key]}" for key in varied if key != across
        )
        rows.setdefault(label, []).append(id)
    colour = rule_colour(material.rule(ids[0]))

    def draw(axes: Axes) -> None:
        axes.set_title(configuration_title(name))
        ends = []
        for marker, (label, members) in zip(MARKERS * len(rows), rows.items(), strict=False):
            found = [material.values(id, MEASURE, AT) for id in members]
            x = [settings[id][across] for id in members]
            means = [mean(values) for values in found]
            y = [math.nan if value is None else value for value in means]
            axes.plot(x, y, color=colour, linewidth=0.8)
            for id, at, values in zip(members, x, found, strict=True):
                for seed, value in values.items():
                    hollow = loss_above_chance(material.runs(id)[seed])
                    axes.plot(at, value, marker, color=colour, fillstyle=_FILL[hollow])
            ends.append((y[-1], label, colour))
        axes.set(xscale="log", xlabel=across.replace("_", " "), ylabel="validation accuracy (%)")
        x = sorted({settings[id][across] for id in ids})
        axes.set_xticks(x, [f"{one:g}" for one in x])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        end_labels(axes, ends)

    alt = "; ".join(
        f"{configuration_title(id)} {spread(material.values(id, MEASURE, AT))} %" for id in ids
    )
    return Panel(f"{alt}.", draw, right=room_for(rows))


_FILL: Mapping[bool, Any] = {True: "none", False: "full"}


def _settings(material: Material, id: str) -> dict[str, Any]:
    """The training settings and options of a configuration."""
    run = next(iter(material.study.configurations[id].values()))
    return {**asdict(run.training), **run.options}
