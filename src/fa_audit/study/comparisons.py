"""What the ledger says of networks compared: CKA of all layer pairs, on every subset of images."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fa_audit.data import Batches, Dataset, split_train_validation
from fa_audit.errors import AuditError
from fa_audit.measure import Pair, Similarity, compare_many, evaluate, measured_layers
from fa_audit.measure.representations import ESTIMATOR
from fa_audit.networks import build_network
from fa_audit.streams import stream
from fa_audit.study.cells import ComparisonCell, RunCell, UntrainedNetwork
from fa_audit.study.results import CORRECT, Measurements, Weights, measurement
from fa_audit.training.configuration import DataSettings
from fa_audit.training.weights import set_weights


def comparison_measurements(
    cells: Sequence[ComparisonCell],
    dataset: Dataset,
    weights_of: Callable[[RunCell], Weights],
    device: torch.device,
) -> list[Measurements]:
    """Measure several comparisons in one pass over the validation and test images.

    A cell's measurements are the same, to the last bit, whichever other cells are measured with it.

    Args:
        cells: With one seed, the same settings and the same images.
        dataset: The images.
        weights_of: A run's weights by name.
        device: Where to compute.

    Returns:
        The measurements of each cell. The accuracies are those of the very weights that were
        compared: a run trained again on another processor does not end where its record does.
    """
    settings, seed = cells[0].settings, cells[0].seed
    images, labels = comparison_images(cells[0].columns.data, dataset, device)
    sides = {side.stem: side for cell in cells for side in (cell.rows, cell.columns)}
    networks = {
        name: bare_network(side, dataset, weights_of).to(device) for name, side in sides.items()
    }
    right = {name: _right(network, images, labels) for name, network in networks.items()}
    pairs = []
    for cell in cells:
        rows, columns = cell.rows.stem, cell.columns.stem
        # No tensor stands for all images, so that all pairs share what is done for this subset.
        chosen = {
            "all": None,
            "both-right": right[rows] & right[columns],
            "reference-right-only": ~right[rows] & right[columns],
        }
        pairs += [Pair(rows, columns, chosen[name], cell.shuffled) for name in settings.subsets]
    found = compare_many(
        networks,
        pairs,
        images,
        batch_size=settings.batch_size,
        passes=settings.passes,
        seed=seed,
    )
    measured = iter(zip(pairs, found, strict=True))
    accuracy = {name: _percent(one[-len(dataset.test) :]) for name, one in right.items()}
    return [
        {
            "test_accuracy": measurement(
                CORRECT,
                len(dataset.test),
                "%",
                {"rows": accuracy[cell.rows.stem], "columns": accuracy[cell.columns.stem]},
            ),
            **_measurements(
                {name: next(measured) for name in settings.subsets}, networks, len(images)
            ),
        }
        for cell in cells
    ]


def _right(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """bool [n], on the CPU: which images a network classifies correctly."""
    index = torch.arange(len(labels), device=labels.device)
    return evaluate(network, lambda i: images[i], index, labels).predictions == labels.cpu()


def _percent(right: Tensor) -> float:
    return 100 * int(right.sum()) / len(right)


def _measurements(
    by_subset: dict[str, tuple[Pair, Similarity | AuditError]],
    networks: dict[str, nn.Module],
    n: int,
) -> Measurements:
    """The measurements of one cell."""
    sizes = {
        name: n if pair.subset is None else int(pair.subset.sum())
        for name, (pair, _) in by_subset.items()
    }
    return {
        "subset_size": measurement(
            "number of images", n, "images", {name: float(size) for name, size in sizes.items()}
        ),
        **{
            f"cka/{name}": _cka(pair, found, networks, sizes[name])
            for name, (pair, found) in by_subset.items()
        },
    }


def _cka(
    pair: Pair, found: Similarity | AuditError, networks: dict[str, nn.Module], size: int
) -> dict[str, Any]:
    estimator = f"{ESTIMATOR}; columns' images shuffled" if pair.shuffled else ESTIMATOR
    if isinstance(found, AuditError):
        # Too few images, or a layer that says the same of every image: a fact about these networks.
        rows, columns = (measured_layers(networks[name]) for name in (pair.rows, pair.columns))
        undefined = dict.fromkeys(_layer_pairs(rows, columns))
        return measurement(estimator, size, "1", undefined, str(found))
    values = found.matrix.flatten().tolist()
    return measurement(
        estimator,
        found.images,
        "1",
        dict(zip(_layer_pairs(found.rows, found.columns), values, strict=True)),
        p={"rows": found.features_rows, "columns": found.features_columns},
        batch_size=found.batch_size,
        passes=found.passes,
    )


def _layer_pairs(rows: tuple[str, ...], columns: tuple[str, ...]) -> list[str]:
    return [f"{row}/{column}" for row in rows for column in columns]


def bare_network(
    side: RunCell | UntrainedNetwork, dataset: Dataset, weights_of: Callable[[RunCell], Weights]
) -> nn.Module:
    """The network of one side without its rule, which decides how it learns, not what it is."""
    generator = stream(side.seed, "initialisation")
    network = build_network(side.network, len(dataset.classes), generator, side.normalisation)
    if isinstance(side, RunCell):
        set_weights(network, weights_of(side))
    return network.to(memory_format=torch.channels_last)


def comparison_images(
    data: DataSettings, dataset: Dataset, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The validation and the test images of a study as centre crops, and their labels."""
    generator = stream(data.split_seed, "split")
    _, validation = split_train_validation(len(dataset.train), data.validation, generator)
    parts = []
    for images, index in (
        (dataset.train, validation),
        (dataset.test, torch.arange(len(dataset.test))),
    ):
        batches = Batches(images, dataset.mean, dataset.std, data.crop)
        parts.append((batches.centre(index), images.labels[index]))
    return (
        torch.cat([images for images, _ in parts]).to(device),
        torch.cat([labels for _, labels in parts]).to(device),
    )
