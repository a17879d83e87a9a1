"""What the ledger says of channels, against slow readings of the stored weights."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.networks import build_network
from fa_audit.streams import stream
from fa_audit.study import parallel
from fa_audit.study.cells import ChannelCell, study_cells
from fa_audit.study.inspections import channel_measurements, require_channels
from fa_audit.study.output import OutputFolder
from fa_audit.study.run import open_cells
from fa_audit.study.selection import select
from fa_audit.study.spec import Study
from fa_audit.study.weights_file import load_weights
from fa_audit.training.trainer import untrained_network
from fa_audit.training.weights import set_weights
from oracles import metrics_twins as twins
from study.reading import assert_complete, centre, nine_digits, record
from study.tiny import dataset, do, results, write_study

CPU = torch.device("cpu")
CLASSES = dataset().classes
GROUP = CLASSES[2:4]
TABLE = f"""\
[channels]
of = ["fa_toeplitz", "untrained"]
class = "{CLASSES[5]}"
channels = 2
images = 4
groups = {{ both = ["{GROUP[0]}", "{GROUP[1]}"] }}

"""
ADDED = ('[[configurations]]\nrule = "bp"', TABLE + '[[configurations]]\nrule = "bp"')


@pytest.fixture(scope="module")
def looked_at(
    finished: tuple[Study, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, OutputFolder]:
    """The tiny study, its runs done before, with channels looked at; tests only read it."""
    folder = tmp_path_factory.mktemp("channels")
    for kind in ("ledger", "weights"):
        shutil.copytree(finished[1] / kind, folder / kind)
    study = write_study(folder, ADDED)
    do(study, folder)
    return study, OutputFolder(folder)


def channel_cells(study: Study) -> list[ChannelCell]:
    return [cell for cell in study_cells(study) if isinstance(cell, ChannelCell)]


def plain(cell: ChannelCell, output: OutputFolder) -> nn.Sequential:
    """The network of a cell as plain layers of torch.nn."""
    network = build_network("architecture1", 10, stream(cell.seed, "initialisation"))
    assert isinstance(network, nn.Sequential)
    for run in cell.runs:
        set_weights(network, load_weights(output, run, "best-validation"))
    return network


def read(network: nn.Sequential, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of a layer, and gradients of each image's predicted logit with respect to them."""
    place = [name for name, _ in network.named_children()].index(layer) + 1
    output = network[:place](images).detach().requires_grad_()
    logits = network[place:](output)
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), output)
    return output.detach(), gradient


def test_the_cells_are_called_after_their_networks(looked_at: tuple[Study, OutputFolder]) -> None:
    assert [(cell.id, cell.seed) for cell in channel_cells(looked_at[0])] == [
        ("fa_toeplitz.channels", 0),
        ("untrained.channels", 0),
        ("fa_toeplitz.channels", 1),
        ("untrained.channels", 1),
    ]


def test_numbers_are_those_of_the_stored_weights(looked_at: tuple[Study, OutputFolder]) -> None:
    study, output = looked_at
    test = dataset().test
    images = centre(test.pixels)
    grey = test.pixels[:, 4:28, 4:28].numpy() / 255 @ np.array([0.299, 0.587, 0.114])
    tones = {"brightness": grey.mean((1, 2)), "contrast": grey.std((1, 2))}
    for cell in channel_cells(study):
        found = record(output, cell)
        assert_complete(dict(found.measurements))
        network = plain(cell, output)
        right = int((network(images).argmax(1) == test.labels).sum())
        accuracy = found.measurements["test_accuracy"]
        assert accuracy["values"] == {"network": pytest.approx(100 * right / len(test))}
        assert accuracy["n"] == len(test)
        for layer in ("conv1", "conv2"):
            activation, gradient = read(network, layer, images)
            chosen = test.labels == 5
            for form, absolute in (("absolute", "before"), ("signed", "none")):
                importance = twins.channel_importance(
                    activation[chosen], gradient[chosen], absolute
                )
                stated = found.series["channels"][layer][form]
                np.testing.assert_allclose(
                    stated["importance"], importance, rtol=1e-3, atol=1e-6 * abs(importance).max()
                )
                top = sorted(range(64), key=lambda c: -importance[c])[:2]
                assert stated["channels"] == top
                expected = [twins.top_images(activation, c, 4) for c in top]
                assert stated["exemplars"] == expected
                shown = np.array(expected).flatten()
                labels = test.labels[shown].tolist()
                counts = {name: labels.count(i) for i, name in enumerate(CLASSES)}
                counts["both"] = counts[GROUP[0]] + counts[GROUP[1]]
                classes = found.measurements[f"exemplar_classes/{layer}/{form}"]
                assert (classes["values"], classes["n"]) == (counts, 8)
                for tone, values in tones.items():
                    said = found.measurements[f"exemplar_{tone}/{layer}/{form}"]["values"]
                    assert said["exemplars"] == pytest.approx(values[shown].mean(), **nine_digits)
                    assert said["test-set"] == pytest.approx(values.mean(), **nine_digits)
                    difference = values[shown].mean() - values.mean()
                    assert said["difference"] == pytest.approx(difference, abs=1e-9)


def test_with_its_rule_in_place_a_network_would_show_other_gradients(
    looked_at: tuple[Study, OutputFolder],
) -> None:
    study, output = looked_at
    cell = channel_cells(study)[0]
    ruled = untrained_network(cell.runs[0].run, dataset())
    set_weights(ruled, load_weights(output, cell.runs[0], "best-validation"))
    assert isinstance(ruled, nn.Sequential)
    images = centre(dataset().test.pixels)
    for layer in ("conv1", "conv2"):
        activation, gradient = read(plain(cell, output), layer, images)
        same_activation, error = read(ruled, layer, images)
        torch.testing.assert_close(same_activation, activation)
        likeness = torch.cosine_similarity(error.flatten(), gradient.flatten(), dim=0)
        assert abs(likeness) < 0.5


def test_activations_that_overflow_are_undefined_and_say_why(
    looked_at: tuple[Study, OutputFolder],
) -> None:
    study, output = looked_at
    cell = channel_cells(study)[0]
    weights = load_weights(output, cell.runs[0], "last")
    weights["conv2.bias"][3] = float("inf")
    measurements, series = channel_measurements(cell, dataset(), lambda run: weights, CPU)
    assert set(measurements) == set(record(output, cell).measurements)
    assert series == {}
    assert_complete(measurements)
    assert measurements.pop("test_accuracy")["values"]["network"] is not None
    for name, found in measurements.items():
        assert found["values"].keys() == record(output, cell).measurements[name]["values"].keys()
        assert set(found["values"].values()) == {None}
        assert all("finite" in reason for reason in found["undefined"].values())


def test_runs_and_comparisons_are_what_they_are_without(
    looked_at: tuple[Study, OutputFolder], finished: tuple[Study, Path]
) -> None:
    assert results(finished[1]).items() <= results(looked_at[1].folder).items()
    assert open_cells(looked_at[0], looked_at[1]) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("images = 4\n", "images = 5\n"),
        ("channels = 2\n", "channels = 1\n"),
        (f'class = "{CLASSES[5]}"', f'class = "{CLASSES[6]}"'),
        ("images = 4\n", 'images = 4\nlayers = ["conv2"]\n'),
        ("both = ", "pair = "),
        (TABLE, TABLE + '[comparison]\npairs = ["fa_toeplitz~bp"]\ncheckpoint = "last"\n\n'),
    ],
)
def test_how_channels_are_looked_at_enters_the_hash(tmp_path: Path, old: str, new: str) -> None:
    bare = ('[comparison]\nbatch_size = 16\npairs = ["fa_toeplitz~bp"]\n\n', "")
    changed = ADDED[1].replace(old, new)
    assert changed != ADDED[1]
    one = channel_cells(write_study(tmp_path, bare, ADDED))
    other = channel_cells(write_study(tmp_path, bare, (ADDED[0], changed)))
    assert all(a.hash != b.hash for a, b in zip(one, other, strict=True))


def test_a_named_cell_brings_the_run_that_it_needs(tmp_path: Path) -> None:
    study = write_study(tmp_path, ADDED)

    def cells(name: str) -> list[str]:
        return [f"{cell.id}:{cell.seed}" for cell in study_cells(select(study, [name]))]

    assert cells("fa_toeplitz.channels:1") == ["fa_toeplitz:1", "fa_toeplitz.channels:1"]
    assert cells("untrained.channels:0") == ["untrained.channels:0"]


BAD = {
    "unknown configuration": (
        'of = ["fa_toeplitz"',
        'of = ["sgd"',
        "channels.of has 'sgd', but there is no such configuration; choose from: bp, fa_toeplitz,",
    ),
    "twice": ('of = ["fa_toeplitz"', 'of = ["untrained"', "channels.of has 'untrained' twice"),
    "no class": (f'class = "{CLASSES[5]}"\n', "", "[channels] lacks class; name the class"),
    "no channel": ("channels = 2", "channels = 0", "channels.channels is 0; it must be at least 1"),
    "no image": ("images = 4", "images = 0", "channels.images is 0; it must be at least 1"),
    "no layer": ("images = 4", "images = 4\nlayers = []", "channels.layers is []; name different"),
    "unknown key": ("images = 4", "images = 4\nx = 1", "[channels] has an unknown key 'x'; it may"),
    "the key as Python has it": ("class =", "class_ =", "[channels] has an unknown key 'class_'"),
    "groups as text": (
        re.findall("groups.*", TABLE)[0],
        'groups = "all"',
        "[channels] groups is 'all'; it must be a table",
    ),
    "a group as text": (
        re.findall("groups.*", TABLE)[0],
        'groups = { a = "b" }',
        "[channels] groups.a is 'b'; it must be a list of texts",
    ),
    "id of a cell": (
        'rule = "bp"',
        'rule = "bp"\nid = "bp.channels"',
        "configuration 'bp.channels': ids that end with .channels or .cost are those of",
    ),
}


@pytest.mark.parametrize(("old", "new", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in ADDED[1]
    with pytest.raises(AuditError) as refusal:
        write_study(tmp_path, (ADDED[0], ADDED[1].replace(old, new)))
    assert str(refusal.value).startswith(f"{tmp_path / 'study.toml'}: {sentence}")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (f'class = "{CLASSES[5]}"', 'class = "dog"', "[channels] names the class 'dog', which"),
        (f'"{GROUP[1]}"', '"cat"', "[channels] names the class 'cat', which"),
        ("both =", f"{CLASSES[0]} =", f"channels.groups.{CLASSES[0]} is called like a class"),
        ("images = 4", "images = 51", "channels.images is 51, but there are only 50 test images"),
        ("channels = 2", "channels = 65", "conv1 has 64 channels, but the top 65 were asked for"),
        ("images = 4", 'images = 4\nlayers = ["fc1"]', "there is no convolution 'fc1' in the"),
    ],
)
def test_what_images_and_network_do_not_have_is_refused_beforehand(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in ADDED[1]
    study = write_study(tmp_path, (ADDED[0], ADDED[1].replace(old, new)))
    with pytest.raises(AuditError) as refusal:
        require_channels(study, dataset())
    assert str(refusal.value).startswith(sentence)


def test_it_is_said_before_any_worker_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_worker", None)
    study = write_study(tmp_path, (ADDED[0], ADDED[1].replace(CLASSES[5], "dog")))
    with pytest.raises(AuditError, match="names the class 'dog'"):
        parallel.run_study(study, parallel.Execution(tmp_path / "out", device="cpu"))
    assert not any((tmp_path / "out" / "ledger").iterdir())


def test_a_study_that_asks_for_no_channels_is_not_refused(tmp_path: Path) -> None:
    require_channels(write_study(tmp_path), dataset())
