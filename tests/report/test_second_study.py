"""A study unlike the first: other layers, several configurations of a rule, no comparison."""

from pathlib import Path
from typing import Any

import pytest

from fa_audit.data.editions import CIFAR10
from fa_audit.errors import AuditError
from fa_audit.report import Report, make_report, write_figure, write_report
from fa_audit.report.drawing import Figure
from fa_audit.report.page import all_figures, report_page
from fa_audit.study.cells import RunCell, study_cells
from fa_audit.study.ledger import Ledger, Record
from fa_audit.study.spec import load_study
from report.invented import write_study

STUDY = """\
name = "second"
title = "Rank and remedies"
source = "a test"
seeds = [0, 1]
network = "architecture1"

[data]
name = "cifar10"
validation = 5000

[training]
epochs = 2
learning_rate = 1e-3
""" + "".join(
    f'\n[[configurations]]\nid = "{id}"\nrule = "{rule}"\nweight_decay = {decay}\n'
    for decay, (id, rule) in enumerate(
        [
            ("bp", "bp"),
            ("bp+muon", "bp"),
            ("fa", "fa_toeplitz"),
            ("fa+muon", "fa_toeplitz"),
            ("fa+bn+muon", "fa_toeplitz"),
            ("usf_sn", "usf_sn"),
            ("usf_sn-spectral", "usf_sn"),
        ]
    )
)

CLAIMS = """\
paper = "Another Invented Paper"
source = "its abstract"
data = "cifar10"

[[claims]]
id = "muon-helps"
kind = "order"
statement = "Under FA Muon raises the accuracy"
where = "Abstract"
read = "prose"
unit = "%"
groups = [["fa+muon"], ["fa"]]
direction = "descending"
measure = "test_accuracy"
at = "last"

[[claims]]
id = "rank"
kind = "range"
statement = "FA: effective rank of the error stays low"
where = "Figure 1"
read = "prose"
unit = "directions"
of = "fa"
measure = "effective_rank/error/block1.conv1/entropy"
at = "last"
low = 1
high = 20
"""

LAYERS = tuple(f"block{i}.conv{j}" for i in (1, 2, 3) for j in (1, 2))


def run(cell: RunCell) -> Record:
    level = 50.0 + 3 * cell.seed + 10 * cell.id.count("+")
    accuracy = {"unit": "%", "values": {"best-validation": level, "last": level}}
    probe: dict[str, Any] = {"step": [0, 10, 100]}
    for layer in LAYERS:
        probe[layer] = {
            "distance": [0.0, 0.5, 1.0],
            "local_angle": [90.0, 88.0, 86.0],
        }
    return Record(
        kind="run",
        id=cell.id,
        seed=cell.seed,
        hash=cell.hash,
        configuration=cell.configuration,
        status="finished",
        measurements={
            "test_accuracy": accuracy,
            "validation_accuracy": accuracy,
            **{
                f"effective_rank/error/{layer}/entropy": {
                    "unit": "directions",
                    "values": {"last": 10.0 + i + cell.seed},
                }
                for i, layer in enumerate(LAYERS)
            },
            "distance/end": {"unit": "1", "values": dict.fromkeys(LAYERS, 1.0)},
        },
        series={"epoch": {"validation_accuracy": [10.0, 30.0, level]}, "probe": probe},
        provenance={"data": {"title": "CIFAR-10", **(CIFAR10.fingerprints or {})}, "seconds": 1.0},
    )


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("second")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    (folder / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    ledger = Ledger(folder / "ledger")
    for cell in study_cells(load_study(folder)):
        assert isinstance(cell, RunCell)
        ledger.write(run(cell))
    return make_report(folder)


@pytest.fixture(scope="module")
def figures(second: Report) -> dict[str, Figure]:
    found = [one for group in all_figures(second.material).values() for one in group]
    return {figure.name: figure for figure in found if isinstance(figure, Figure)}


def test_what_is_added_to_a_configuration_makes_no_variant_of_it(second: Report) -> None:
    material = second.material
    main = ("bp", "bp+muon", "fa", "fa+muon", "fa+bn+muon", "usf_sn")
    assert (material.configurations, material.variants) == (main, ("usf_sn-spectral",))


def test_configurations_of_one_rule_have_one_colour_and_lines_of_their_own(second: Report) -> None:
    material = second.material
    assert {material.rule(id) for id in ("fa", "fa+muon", "fa+bn+muon")} == {"fa_toeplitz"}
    assert [material.line(id) for id in ("fa", "fa+muon", "fa+bn+muon", "bp")] == [0, 1, 2, 0]


def test_every_layer_and_every_configuration_is_drawn(figures: dict[str, Figure]) -> None:
    panels = figures["local-angles"].panels
    assert [panel.alt.partition(":")[0] for panel in panels] == list(LAYERS)
    for title in ("FA", "FA + Muon", "FA + BN + Muon", "uSF SN"):
        assert f"{title} from 90 to 86" in panels[0].alt.replace("°", "")


def test_the_page_has_no_place_for_what_the_study_does_not_ask(second: Report) -> None:
    figures = all_figures(second.material)
    assert set(figures) == {"Accuracy", "Errors sent down", "Cost"}
    page = report_page(second.material, figures, second.folder, second.commands)
    assert "FA + Muon − FA" in page
    for absent in ("CKA", "Searched settings", "single channels"):
        assert absent not in page


def test_two_studies_do_not_write_over_each_other(second: Report, tmp_path: Path) -> None:
    write_study(tmp_path / "first")
    for file in (tmp_path / "first" / "ledger").iterdir():
        file.unlink()
    first = make_report(tmp_path / "first")
    page = write_report(first, tmp_path / "report")
    before = page.read_bytes()
    with pytest.raises(AuditError, match="is the report of the study invented; name another"):
        write_report(second, tmp_path / "report")
    assert page.read_bytes() == before
    assert write_report(first, tmp_path / "report") == page


def test_one_figure_can_be_written_alone(second: Report, tmp_path: Path) -> None:
    write_figure(second, tmp_path / "accuracy.svg")
    assert [file.name for file in tmp_path.iterdir()] == ["accuracy.svg"]
    assert "FA + BN + Muon" in (tmp_path / "accuracy.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["controls.png", "accuracy.pdf", "accuracy"])
def test_a_figure_that_is_not_there_is_a_mistake(second: Report, tmp_path: Path, name: str) -> None:
    with pytest.raises(AuditError, match=f"{name} names no figure of this report; write NAME.png"):
        write_figure(second, tmp_path / name)
