"""What the ledger says of networks compared, against slow readings of the same networks."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fa_audit.measure import compare
from fa_audit.metrics import cka
from fa_audit.networks import NETWORKS
from fa_audit.study.cells import ComparisonCell, RunCell, UntrainedNetwork
from fa_audit.study.comparisons import (
    bare_network,
    comparison_images,
    comparison_measurements,
)
from fa_audit.study.output import OutputFolder
from fa_audit.study.settings import ComparisonSettings
from fa_audit.study.spec import Study
from fa_audit.study.weights_file import load_weights
from fa_audit.training.trainer import split_indices, untrained_network
from fa_audit.training.weights import set_weights
from study.reading import LAYERS, assert_complete, centre, nine_digits, record
from study.tiny import comparison_cells, dataset, do, write_study
from training.tiny import configuration

DEVICE = torch.device("cpu")
PAIRS = (
    "fa_toeplitz~bp",
    "fa_toeplitz~bp.other-seed",
    "bp.other-seed~fa_toeplitz",
    "bp~bp.other-seed",
    "untrained~bp",
    "untrained.other-seed~bp",
    "untrained~untrained.other-seed",
    "bp~bp.shuffled",
)


@pytest.fixture(scope="module")
def controls(
    finished: tuple[Study, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, OutputFolder]:
    """The tiny study, its runs done before, with every kind of pair; tests only read it."""
    folder = tmp_path_factory.mktemp("controls")
    for kind in ("ledger", "weights"):
        shutil.copytree(finished[1] / kind, folder / kind)
    listed = ", ".join(f'"{pair}"' for pair in PAIRS)
    study = write_study(
        folder,
        ('pairs = ["fa_toeplitz~bp"]', f"pairs = [{listed}]\npasses = 2"),
        ("batch_size = 16", "batch_size = 55"),
    )
    do(study, folder)
    return study, OutputFolder(folder)


def network(side: RunCell | UntrainedNetwork, output: OutputFolder) -> nn.Module:
    """The network of a side as training left it, its rule in place."""
    if isinstance(side, UntrainedNetwork):
        return untrained_network(configuration(seed=side.seed), dataset())
    trained = untrained_network(side.run, dataset())
    set_weights(trained, load_weights(output, side, "best-validation"))
    return trained


def right(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which images a network classifies correctly, one at a time."""
    with torch.no_grad():
        return torch.stack([network(image[None])[0].argmax() for image in images]) == labels


def name(side: RunCell | UntrainedNetwork) -> str:
    return f"{side.id if isinstance(side, RunCell) else 'untrained'} {side.seed}"


def test_a_pair_has_the_networks_that_its_name_says_at_each_seed(
    controls: tuple[Study, OutputFolder],
) -> None:
    cells = comparison_cells(controls[0])
    found = {(cell.id, cell.seed): f"{name(cell.rows)}, {name(cell.columns)}" for cell in cells}
    assert found == {
        ("fa_toeplitz~bp", 0): "fa_toeplitz 0, bp 0",
        ("fa_toeplitz~bp", 1): "fa_toeplitz 1, bp 1",
        ("fa_toeplitz~bp.other-seed", 0): "fa_toeplitz 0, bp 1",
        ("fa_toeplitz~bp.other-seed", 1): "fa_toeplitz 1, bp 0",
        ("bp.other-seed~fa_toeplitz", 0): "bp 1, fa_toeplitz 0",
        ("bp.other-seed~fa_toeplitz", 1): "bp 0, fa_toeplitz 1",
        ("bp~bp.other-seed", 0): "bp 0, bp 1",  # and not once more turned round
        ("untrained~bp", 0): "untrained 0, bp 0",
        ("untrained~bp", 1): "untrained 1, bp 1",
        ("untrained.other-seed~bp", 0): "untrained -1, bp 0",
        ("untrained.other-seed~bp", 1): "untrained -2, bp 1",
        ("untrained~untrained.other-seed", 0): "untrained 0, untrained -1",
        ("untrained~untrained.other-seed", 1): "untrained 1, untrained -2",
        ("bp~bp.shuffled", 0): "bp 0, bp 0",
        ("bp~bp.shuffled", 1): "bp 1, bp 1",
    }
    assert [cell.id for cell in cells if cell.shuffled] == ["bp~bp.shuffled"] * 2


def test_an_untrained_network_is_the_start_of_every_rule(
    controls: tuple[Study, OutputFolder],
) -> None:
    cell = next(cell for cell in comparison_cells(controls[0]) if cell.id == "untrained~bp")
    bare = bare_network(cell.rows, dataset(), lambda run: {})
    for rule in ("bp", "fa_random"):
        start = dict(
            untrained_network(configuration(rule, cell.seed), dataset()).named_parameters()
        )
        for parameter, value in bare.named_parameters():
            assert torch.equal(value, start[parameter])


def test_compared_images_are_validation_and_test_images_as_centre_crops(
    runs: list[RunCell],
) -> None:
    images, labels = comparison_images(runs[0].data, dataset(), DEVICE)
    _, validation = split_indices(runs[0].run, dataset())
    pixels = torch.cat([dataset().train.pixels[validation], dataset().test.pixels])
    torch.testing.assert_close(images, centre(pixels))
    expected = torch.cat([dataset().train.labels[validation], dataset().test.labels])
    assert torch.equal(labels, expected)


def test_subsets_and_similarities_are_those_of_the_stored_weights(
    controls: tuple[Study, OutputFolder],
) -> None:
    study, output = controls
    images, labels = comparison_images(study.data, dataset(), DEVICE)
    undefined = 0
    for cell in comparison_cells(study):
        found = record(output, cell).measurements
        rows, columns = (network(side, output) for side in (cell.rows, cell.columns))
        right_rows, right_columns = (right(one, images, labels) for one in (rows, columns))
        subsets = {
            "all": torch.ones(len(labels), dtype=torch.bool),
            "both-right": right_rows & right_columns,
            "reference-right-only": right_columns & ~right_rows,
        }
        sizes = {name: int(chosen.sum()) for name, chosen in subsets.items()}
        assert found["subset_size"]["values"] == sizes
        test = len(dataset().test)
        assert found["test_accuracy"]["n"] == test
        assert found["test_accuracy"]["values"] == {
            "rows": pytest.approx(100 * int(right_rows[-test:].sum()) / test),
            "columns": pytest.approx(100 * int(right_columns[-test:].sum()) / test),
        }
        for name, chosen in subsets.items():
            stated = found[f"cka/{name}"]
            assert ("shuffled" in stated["estimator"]) == cell.shuffled
            if "undefined" in stated:
                undefined += 1
                assert sizes[name] < 40
                continue
            expected = compare(
                rows,
                columns,
                images,
                subset=chosen,
                shuffled=cell.shuffled,
                batch_size=55,
                passes=2,
                seed=cell.seed,
            )
            assert stated["n"] == expected.images
            assert (stated["batch_size"], stated["passes"]) == (55, 2)
            p = [25_600, 2_304, 384, 192, 10]
            assert stated["p"] == {"rows": p, "columns": p}
            for i, row in enumerate(LAYERS):
                for j, column in enumerate(LAYERS):
                    value = expected.matrix[i, j].item()
                    assert stated["values"][f"{row}/{column}"] == pytest.approx(
                        value, **nine_digits
                    )
        assert_complete(dict(found))
    assert undefined < 15  # of 45: most subsets were large enough to be looked at


def test_controls_are_ceiling_floor_and_null(controls: tuple[Study, OutputFolder]) -> None:
    study, output = controls
    conv1 = {
        cell.id: record(output, cell).measurements["cka/all"]["values"]["conv1/conv1"]
        for cell in comparison_cells(study)
    }
    assert conv1["untrained~bp"] > 0.9  # two epochs of four steps change little
    assert abs(conv1["bp~bp.shuffled"]) < 0.2


def test_a_cell_says_the_same_alone_and_in_company(controls: tuple[Study, OutputFolder]) -> None:
    study, output = controls

    def weights_of(run: RunCell) -> dict[str, Tensor]:
        return load_weights(output, run, "best-validation")

    for cell in comparison_cells(study)[:3]:
        (alone,) = comparison_measurements([cell], dataset(), weights_of, DEVICE)
        stated = record(output, cell).measurements
        for subset in cell.settings.subsets:
            found = alone[f"cka/{subset}"]["values"]
            rounded = {at: value and float(f"{value:.9g}") for at, value in found.items()}
            assert stated[f"cka/{subset}"]["values"] == rounded


def constant(weights: dict[str, Tensor], label: int) -> dict[str, Tensor]:
    """The same weights, but the network always says `label`."""
    bias = torch.zeros(10)
    bias[label] = 1e6
    return {**weights, "fc3.bias": bias}


def test_a_subset_with_fewer_than_four_images_is_undefined_and_says_so(
    finished: tuple[Study, Path], output: OutputFolder
) -> None:
    cell = comparison_cells(finished[0])[0]
    labels = {"fa_toeplitz": 0, "bp": 1}
    (found,) = comparison_measurements(
        [cell],
        dataset(),
        lambda run: constant(load_weights(output, run, "last"), labels[run.id]),
        DEVICE,
    )
    ones = int((comparison_images(cell.columns.data, dataset(), DEVICE)[1] == 1).sum())
    sizes = {"all": 110.0, "both-right": 0.0, "reference-right-only": float(ones)}
    assert found["subset_size"]["values"] == sizes
    empty = found["cka/both-right"]
    assert empty["n"] == 0
    assert set(empty["values"].values()) == {None}
    assert len(empty["undefined"]) == 25
    (reason,) = set(empty["undefined"].values())
    assert reason.startswith("CKA needs at least 4 images in a batch, and of 0 images of a subset ")
    assert_complete(found)


class Upside(nn.Module):
    """Registers its last layer first."""

    def __init__(self, classes: int, normalisation: None) -> None:
        super().__init__()
        self.last = nn.Linear(6, classes)
        self.first = nn.Linear(3 * 24 * 24, 6)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(images.flatten(1)).relu())
        return logits


def test_similarities_are_named_after_the_layers_whatever_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(NETWORKS, "upside", Upside)
    data = configuration().data
    one, other = (UntrainedNetwork("upside", seed, data) for seed in (0, 1))
    cell = ComparisonCell("x", 0, one, other, ComparisonSettings(batch_size=110))
    (found,) = comparison_measurements([cell], dataset(), lambda run: {}, DEVICE)
    values = found["cka/all"]["values"]
    images, _ = comparison_images(data, dataset(), DEVICE)
    first, last = [], []
    for side in (one, other):
        state = bare_network(side, dataset(), lambda run: {}).state_dict()
        hidden = images.flatten(1) @ state["first.weight"].T + state["first.bias"]
        first.append(hidden)
        last.append(hidden.relu() @ state["last.weight"].T + state["last.bias"])
    for name, X, Y in (
        ("first/first", first[0], first[1]),
        ("first/last", first[0], last[1]),
        ("last/first", last[0], first[1]),
        ("last/last", last[0], last[1]),
    ):
        assert values[name] == pytest.approx(cka(X.double(), Y.double()), abs=1e-5), name
