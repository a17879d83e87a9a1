"""Do fa-audit's networks learn as the plain loop's do? Validation accuracy after some epochs.

    python -m benchmarks.accuracy --data DIR --out FOLDER [--epochs 8] [--seeds 0 1 2] [--rules …]

Both train on the same 45,000 images and are validated on the same 5,000, at the published settings,
with random numbers of their own. Each run is kept in FOLDER as it ends, so that a stopped benchmark
goes on, and several may share one FOLDER. `--ledger FOLDER` takes fa-audit's runs from a ledger of
longer runs where it has them: nothing in the first epochs depends on how many follow.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from scipy.stats import ttest_ind

from benchmarks.plain_loop import PlainLoop
from benchmarks.runs import STUDY, configuration
from fa_audit.data import load_dataset
from fa_audit.study.ledger import Ledger
from fa_audit.study.process import prepare_process
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.trainer import Trainer, split_indices, subnormals_flushed


def main() -> None:
    """Train what is missing, then print both sides for each rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rules", nargs="+", default=STUDY)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--ledger", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    prepare_process(1)
    print(
        f"validation accuracy in % after {options.epochs} epochs, {len(options.seeds)} seeds\n"
        "rule         plain loop               fa-audit                 difference "
        "[95 % interval, Welch]"
    )
    for rule in options.rules:
        runs = [
            configuration(rule, 5000, seed=seed, precision=options.precision)
            for seed in options.seeds
        ]
        theirs = [
            kept(options.out / f"plain-{run.rule}-s{run.seed}-{options.epochs}.json", plain)(
                options.data, run, options.epochs
            )
            for run in runs
        ]
        ours = [
            recorded(options.ledger, run, options.epochs)
            or kept(
                options.out
                / f"fa-audit-{run.rule}-{options.precision}-s{run.seed}-{options.epochs}.json",
                trained,
            )(options.data, run, options.epochs)
            for run in runs
        ]
        print(f"{rule:12s} {listed(theirs):24s} {listed(ours):24s} {compared(ours, theirs)}")


def kept(path: Path, train: Callable[..., float]) -> Callable[..., float]:
    """`train`, unless the file has its result from before."""

    def result(*arguments: object) -> float:
        if not path.exists():
            accuracy = train(*arguments)
            path.write_text(json.dumps(accuracy), encoding="utf-8")
        return float(json.loads(path.read_text(encoding="utf-8")))

    return result


def plain(folder: Path, run: RunConfiguration, epochs: int) -> float:
    """The plain loop on the run's training and validation images."""
    split = split_indices(run, load_dataset("cifar10", folder))
    train, validation = (index.numpy() for index in split)
    torch.manual_seed(run.seed)
    loop = PlainLoop(folder / "cifar-10-batches-bin", run.rule, train, validation)
    return [loop.epoch() for _ in range(epochs)][-1]


def trained(folder: Path, run: RunConfiguration, epochs: int) -> float:
    """fa-audit's run, stopped after some of its epochs."""
    run = replace(run, training=replace(run.training, epochs=epochs))
    trainer = Trainer(run, load_dataset("cifar10", folder))
    with subnormals_flushed():
        for _ in range(epochs):
            trainer.train_epoch()
    return accuracy_at(trainer.history, epochs)


def recorded(ledger: Path | None, run: RunConfiguration, epochs: int) -> float | None:
    """The accuracy after some epochs of a longer run in a ledger; None where there is none."""
    found = Ledger(ledger).find(run.rule, run.seed, run.hash) if ledger else None
    return accuracy_at(found.series["epoch"], epochs) if found else None


def accuracy_at(history: dict[str, list[float]], epochs: int) -> float:
    """In %; entry 0 is of the untrained network."""
    return history["validation_accuracy"][epochs]


def listed(values: Iterable[float]) -> str:
    """Every seed's value."""
    return " ".join(f"{value:6.2f}" for value in values)


def compared(ours: list[float], theirs: list[float]) -> str:
    """The difference of means and its interval, seeds taken as unpaired."""
    difference = statistics.mean(ours) - statistics.mean(theirs)
    if len(ours) < 2:
        return f"{difference:+.2f}"
    interval = ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    return f"{difference:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


if __name__ == "__main__":
    main()
