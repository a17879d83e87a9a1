"""The benchmark as a picture."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def draw(record: dict[str, Any], path: Path) -> None:
    """Ratios to the plain loop, and the cost of a step by batch size, width and replicas."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    axes = figure.subplots(1, 4)
    rows = record["epochs"]
    for k, precision in enumerate(record["precisions"]):
        ratios = [by[precision]["ratio"] for by in rows.values()]
        axes[0].barh([i + 0.4 * k for i in range(len(rows))], ratios, 0.38, label=precision)
    axes[0].set_yticks(range(len(rows)), list(rows))
    axes[0].axvline(1, color="black", linewidth=0.8)
    axes[0].set_xlabel("epochs per time, plain loop = 1")
    axes[0].set_title(", ".join(record["precisions"]), fontsize=9)
    if len(record["precisions"]) > 1:
        axes[0].legend(frameon=False)
    scaling = record["scaling"]
    for axis, title, by_rule in (
        (axes[1], "batch size", scaling["batch_size"]),
        (axes[2], "channels", scaling["width"]),
        (axes[3], "replicas", scaling["replicas"]["float32"]),
    ):
        for rule, by in by_rule.items():
            axis.plot([int(at) for at in by], list(by.values()), marker="o", label=rule)
        axis.set_xscale("log", base=2)
        axis.set_xticks([int(at) for at in by], list(map(str, by)))
        axis.set_ylim(bottom=0)
        axis.set_xlabel(title)
    axes[1].set_ylabel("ms per image and training step")
    axes[3].legend(frameon=False)
    figure.savefig(path)
