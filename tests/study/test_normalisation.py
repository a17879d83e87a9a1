"""Studies whose configurations differ in normalisation, from study.toml to comparisons."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fa_audit.errors import AuditError
from fa_audit.measure import compare, evaluate
from fa_audit.study.cells import ChannelCell, study_cells
from fa_audit.study.comparisons import bare_network, comparison_images
from fa_audit.study.output import OutputFolder
from fa_audit.study.spec import Study, load_study
from fa_audit.study.weights_file import load_weights
from fa_audit.training.trainer import untrained_network
from study.reading import nine_digits, record
from study.tiny import comparison_cells, dataset, do, edited, run_cells, write_study

CHANNELS = """
[channels]
of = ["bp", "untrained"]
class = "disk"
layers = ["conv1"]
channels = 1
images = 2

[cost]
of = ["bp"]
reference = "fa_toeplitz"
rounds = 1

[[configurations]]
rule = "bp"
normalisation = "batch"
"""
MIXED = (
    ("seeds = [0, 1]", "seeds = [0]"),
    ('network = "architecture1"', 'network = "cnn4"'),
    ('[[configurations]]\nrule = "bp"\n', CHANNELS),
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, OutputFolder]:
    """A finished study of BP with batch normalisation and of FA without."""
    folder = tmp_path_factory.mktemp("mixed")
    classes = dataset().classes
    changes = [(old, new.replace('"disk"', f'"{classes[0]}"')) for old, new in MIXED]
    study = write_study(folder, *changes)
    do(study, folder)
    return study, OutputFolder(folder)


def plain(id: str, mixed: tuple[Study, OutputFolder]) -> nn.Module:
    """The trained network of a configuration without its rule."""
    study, output = mixed
    cell = next(cell for cell in run_cells(study) if cell.id == id)
    network = bare_network(
        cell, dataset(), lambda run: load_weights(output, run, "best-validation")
    )
    return network.eval()


def test_a_compared_network_answers_as_its_run_did(mixed: tuple[Study, OutputFolder]) -> None:
    study, output = mixed
    images, labels = comparison_images(study.data, dataset(), torch.device("cpu"))
    test = torch.arange(60, 110)
    for cell in run_cells(study):
        network = plain(cell.id, mixed)
        norms = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
        assert norms == (3 if cell.id == "bp" else 0)
        found = evaluate(network, lambda index: images[index], test, labels[test])
        measured = record(output, cell).measurements["test_accuracy"]["values"]
        assert found.accuracy == pytest.approx(measured["best-validation"], **nine_digits)


def test_a_comparison_across_normalisations_is_of_the_networks_as_trained(
    mixed: tuple[Study, OutputFolder],
) -> None:
    study, output = mixed
    [cell] = comparison_cells(study)
    images, _ = comparison_images(study.data, dataset(), torch.device("cpu"))
    rows, columns = (plain(id, mixed) for id in ("fa_toeplitz", "bp"))
    expected = compare(rows, columns, images, batch_size=16, seed=cell.seed)
    values = record(output, cell).measurements["cka/all"]["values"]
    assert list(values.values()) == pytest.approx(expected.matrix.flatten().tolist(), **nine_digits)


def test_statistics_lie_in_the_weights_file_and_the_mode_is_recorded(
    mixed: tuple[Study, OutputFolder],
) -> None:
    study, output = mixed
    for cell in run_cells(study):
        has_them = cell.id == "bp"
        names = load_weights(output, cell, "last").keys()
        assert ("norm1.running_mean" in names) == has_them
        estimator = record(output, cell).measurements["true_angle/end"]["estimator"]
        assert ("batch normalisation by its running statistics" in estimator) == has_them


def test_channels_and_costs_of_normalised_networks_are_measured(
    mixed: tuple[Study, OutputFolder],
) -> None:
    study, output = mixed
    cells = [cell for cell in study_cells(study) if isinstance(cell, ChannelCell)]
    assert [cell.network.normalisation for cell in cells] == ["batch", None]
    for cell in cells:
        assert record(output, cell).measurements
    cost = next(cell for cell in study_cells(study) if cell.kind == "cost")
    found = record(output, cost).measurements["cost/parameters"]["values"]
    assert found["conv2"] == 64 * 32 * 9  # no bias


def read(tmp_path: Path, *changes: tuple[str, str]) -> Study:
    (tmp_path / "study.toml").write_text(edited(*changes), encoding="utf-8")
    return load_study(tmp_path)


def test_a_study_chooses_for_all_and_a_configuration_for_itself(tmp_path: Path) -> None:
    plain_study = read(tmp_path)
    study = read(
        tmp_path,
        ('network = "architecture1"', 'network = "architecture1"\nnormalisation = "batch"'),
        ('rule = "bp"', 'rule = "bp"\nnormalisation = "none"'),
    )
    assert study.normalisation == "batch"
    found = {id: runs[0].normalisation for id, runs in study.configurations.items()}
    assert found == {"bp": None, "fa_toeplitz": "batch"}
    assert study.configurations["bp"][0].hash == plain_study.configurations["bp"][0].hash
    network = untrained_network(study.configurations["fa_toeplitz"][0], dataset())
    assert isinstance(network.get_submodule("norm4"), nn.BatchNorm1d)


def test_a_list_of_normalisations_is_a_grid(tmp_path: Path) -> None:
    study = read(tmp_path, ('rule = "bp"', 'rule = "bp"\nnormalisation = ["none", "batch"]'), PAIRS)
    found = {id: runs[0].normalisation for id, runs in study.configurations.items()}
    assert found == {
        "bp.normalisation=none": None,
        "bp.normalisation=batch": "batch",
        "fa_toeplitz": None,
    }


PAIRS = ('pairs = ["fa_toeplitz~bp"]', "pairs = []")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seeds = [0, 1]", 'seeds = [0]\nnormalisation = "group"', "normalisation is 'group'; cho"),
        ("seeds = [0, 1]", "seeds = [0]\nnormalisation = true", "normalisation is missing or not"),
        ('rule = "bp"', 'rule = "bp"\nnormalisation = "x"', "configuration 'bp': normalisation is"),
    ],
)
def test_an_unknown_normalisation_is_refused_by_file_and_name(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(AuditError) as refusal:
        read(tmp_path, (old, new))
    assert str(refusal.value).startswith(f"{tmp_path / 'study.toml'}: {sentence}")
