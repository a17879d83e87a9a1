"""Accuracy against similarity, run by run."""

from matplotlib.axes import Axes

from fa_audit.audit.association import MEAN
from fa_audit.audit.paired_runs import PairedRun
from fa_audit.report.drawing import Figure, Panel
from fa_audit.report.figures.marks import point_labels, seed_dots, short, spread
from fa_audit.report.html import table
from fa_audit.report.material import Material, Missing
from fa_audit.report.names import configuration_title
from fa_audit.report.style import rule_colour


def accuracy_against_similarity(material: Material) -> Figure | Missing:
    """Test accuracy against CKA to the reference: one panel for each length and each similarity."""
    title = "Accuracy against similarity"
    associations = material.associations
    reference = configuration_title(associations.paired.reference)
    if not associations.found:
        return Missing(
            title,
            f"No run of this study is compared with {reference} of its own seed yet, so nothing "
            "can be said of accuracy and similarity.",
        )
    runs = associations.paired.runs
    by_rule: dict[str, list[PairedRun]] = {}
    for run in runs:
        by_rule.setdefault(run.rule, []).append(run)

    def panel(epochs: int, similarity: str) -> Panel:
        points = {
            rule: found
            for rule, members in by_rule.items()
            if (
                found := [
                    (_similarity(run, similarity), run.accuracy)
                    for run in members
                    if run.epochs == epochs
                ]
            )
        }
        of = "mean over layers" if similarity == MEAN else similarity
        name = f"{of}, {epochs} epoch{'' if epochs == 1 else 's'}"

        def draw(axes: Axes) -> None:
            axes.set_title(name)
            for rule, found in points.items():
                x, y = ([point[i] for point in found] for i in (0, 1))
                seed_dots(axes, x, y, rule_colour(rule.partition(".")[0]))
            every = [point for found in points.values() for point in found]
            lowest, highest = min(x for x, _ in every), max(y for _, y in every)
            axes.set(xlim=(min(-0.02, lowest - 0.02), 1.02), xlabel=f"CKA with {reference}")
            axes.set(ylim=(0, min(105, 1.15 * highest)), ylabel="test accuracy (%)")
            point_labels(axes, {configuration_title(rule): at for rule, at in points.items()})

        alt = "; ".join(
            f"{configuration_title(rule)} CKA {spread(dict(enumerate(x for x, _ in found)), 2)}, "
            f"accuracy {spread(dict(enumerate(y for _, y in found)))} %"
            for rule, found in points.items()
        )
        return Panel(f"{name}: {alt}.", draw)

    layers = list(runs[0].layers)
    return Figure(
        name="accuracy-against-similarity",
        title=title,
        caption=f"One dot for each run: its test accuracy, and the CKA of its layers with "
        f"{reference}'s of the same seed, on all images. The first layer, which all networks of a "
        "seed share at the start and hardly change, has no part in the mean. Rules differ in both "
        "at once: this is association between a few rules, not evidence that one makes the other.",
        panels=[panel(one.epochs, one.similarity) for one in associations.found],
        columns=3,
        numbers=table(
            ("run", "seed", "epochs", "test accuracy (%)", "mean CKA", *layers),
            [
                [
                    configuration_title(run.run),
                    run.seed,
                    run.epochs,
                    short(run.accuracy, 4),
                    short(run.mean),
                    *(short(run.layers.get(layer)) for layer in layers),
                ]
                for run in runs
            ],
            f"{title}, run by run",
            numeric=range(1, 5 + len(layers)),
        ),
    )


def _similarity(run: PairedRun, similarity: str) -> float:
    return run.mean if similarity == MEAN else run.layers[similarity]
