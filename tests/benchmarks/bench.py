"""fa-audit beside the plain loop, and what its steps cost.

    python -m benchmarks.bench --data DIR [--rounds 3] [--images 5120] [--out FOLDER]

Absolute times belong to this machine and this hour; only ratios measured in one run are meant to
be quoted. Writes bench.json and bench.png into the folder. On a CUDA device it also says what the
whole study would take there.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's notes about itself

import torch

from benchmarks import epochs, figure, scaling, similarity
from benchmarks.machine import ceiling, cores, description
from benchmarks.runs import STUDY

PARTS = ("epochs", "similarity", "scaling")


def main() -> None:
    """Measure, print the tables and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=5120)
    parser.add_argument("--validation", type=int, default=512)
    parser.add_argument("--rules", nargs="+", default=STUDY)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rules, precisions = tuple(options.rules), tuple(options.precisions)
    cuda = torch.cuda.is_available()
    ceilings = {precision: ceiling(precision) for precision in precisions}
    record = {
        "machine": description("cpu"),
        "precisions": precisions,
        "images": options.images,
        "ceiling_gflops": ceilings,
    }
    print(
        f"{record['machine']}; ceiling in GFLOP/s: "
        + ", ".join(f"{precision} {rate:.0f}" for precision, rate in ceilings.items())
    )
    if "epochs" in options.parts:
        print(
            f"\nepochs of {options.images} training and {options.validation} validation images, "
            f"seconds per run on {cores()} cores, medians of {options.rounds} alternating rounds"
        )
        record["epochs"] = epochs.benchmark(
            options.data,
            rules,
            precisions,
            options.images,
            options.validation,
            options.rounds,
            ceilings,
        )
    if "similarity" in options.parts:
        print()
        record["similarity"] = similarity.benchmark(options.data, 5120, 2560, options.rounds)
    if "scaling" in options.parts:
        print()
        record["scaling"] = scaling.benchmark(options.data, rules, precisions, 5, "cpu")
    if cuda:
        on_device(options.data, rules, record)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=1)
        (options.out / "bench.json").write_text(text + "\n", encoding="utf-8")
        if {"epochs", "scaling"} <= record.keys():
            figure.draw(record, options.out / "bench.png")


def on_device(data: Path, rules: tuple[str, ...], record: dict[str, object]) -> None:
    """The steps on CUDA, and what the study of 10 seeds and 50 epochs would take."""
    precisions = ("float32", "tf32", "bf16")
    print(f"\n{description('cuda')}")
    found = scaling.benchmark(data, rules, precisions, 50, "cuda")
    whole = scaling.extrapolation(found["replicas"], seeds=10, epochs=50)
    ceilings = {precision: ceiling(precision, "cuda") for precision in precisions}
    for precision, seconds in whole.items():
        print(
            f"{precision}: {len(rules)} rules × 10 seeds × 50 epochs in {seconds / 60:.1f} min of "
            f"training steps; ceiling {ceilings[precision] / 1000:.0f} TFLOP/s"
        )
    record["cuda"] = {
        "machine": description("cuda"),
        "scaling": found,
        "study_seconds": whole,
        "ceiling_gflops": ceilings,
    }


if __name__ == "__main__":
    main()
