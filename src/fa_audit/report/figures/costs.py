"""Cost of a training step beside the reference's, as the ledger has it."""

from matplotlib.axes import Axes

from fa_audit.report.drawing import Figure, Panel
from fa_audit.report.figures.marks import CELL_HEADS, cells, published_mark, seed_dots, spread
from fa_audit.report.html import table
from fa_audit.report.material import Material, Missing
from fa_audit.report.names import base, configuration_title, measure_title
from fa_audit.report.style import INK, rule_colour

RATIOS = (
    ("cost_ratio/seconds", "median", "Time of a step"),
    ("cost_ratio/multiply_adds", "total", "Multiply-adds"),
    ("cost_ratio/kept", "total", "Parameters and stored feedback"),
    ("cost_ratio/peak_memory", "total", "Peak memory"),
)


def cost_beside_reference(material: Material) -> Figure | Missing:
    """What a step takes under each configuration, in units of the reference's."""
    reference = configuration_title(material.study.cost.reference)
    title = f"Cost of a training step beside {reference}"
    ids = [id for id in material.study.costs if material.runs(id)]
    if not ids:
        return Missing(title, "The ledger holds no timed training step yet.")
    names = [configuration_title(base(id)) for id in ids]
    found = {(m, id): material.values(id, m, at) for m, at, _ in RATIOS for id in ids}

    def panel(measure: str, at: str, name: str) -> Panel:
        def draw(axes: Axes) -> None:
            axes.set_title(name)
            for row, id in enumerate(ids):
                colour = rule_colour(material.rule(id))
                values = list(found[measure, id].values())
                seed_dots(axes, values, [row] * len(values), colour)
                if published := material.published(id, measure, at):
                    published_mark(axes, row, published, colour, across=True)
            axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
            axes.set_yticks(range(len(ids)), names)
            axes.tick_params(axis="y", length=0)
            most = max((v for id in ids for v in found[measure, id].values()), default=1.0)
            axes.set(ylim=(len(ids) - 0.4, -0.6), xlim=(0, 1.08 * max(most, 1.2)))
            axes.set_xlabel(f"times {reference}'s")

        alt = "; ".join(
            f"{name} {spread(found[measure, id])}" for name, id in zip(names, ids, strict=True)
        )
        left = 0.2 + 0.062 * max(map(len, names))
        return Panel(f"{name}: {alt}.", draw, height=0.9 + 0.27 * len(ids), left=left)

    devices = dict.fromkeys(
        str(record.provenance.get("device", "unknown"))
        for id in ids
        for record in material.runs(id).values()
    )
    return Figure(
        name="cost",
        title=title,
        caption=f"One dot for each seed; the dotted line is {reference}. A step is forward and "
        "backward pass and update of one batch. Times are medians over steps taken in turns with "
        f"{reference}'s on {', '.join(devices)}; multiply-adds and numbers kept are counted.",
        panels=[panel(*one) for one in RATIOS],
        columns=2,
        numbers=table(
            ("configuration", "measured", *CELL_HEADS),
            [
                [name, measure_title(m), *cells(found[m, id], material.published(id, m, at))]
                for m, at, _ in RATIOS
                for name, id in zip(names, ids, strict=True)
            ],
            title,
            numeric=range(2, 7),
        ),
    )
