"""Parts of a study, chosen by name."""

from pathlib import Path

import pytest

from fa_audit.errors import AuditError
from fa_audit.study.cells import study_cells
from fa_audit.study.selection import select
from fa_audit.study.spec import Study, load_study
from study.tiny import do, records, results, write_study

PAIRS = '["fa_toeplitz~bp", "bp~bp.other-seed", "untrained~untrained.other-seed"]'


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return write_study(tmp_path, ('["fa_toeplitz~bp"]', PAIRS))


def cells(study: Study) -> list[str]:
    return [f"{cell.id}:{cell.seed}" for cell in study_cells(study)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["bp:1"], ["bp:1"]),
        (["bp"], ["bp:0", "bp:1"]),
        (["bp:1", "fa_toeplitz:0", "bp:1"], ["fa_toeplitz:0", "bp:1"]),
        (["fa_toeplitz~bp:1"], ["bp:1", "fa_toeplitz:1", "fa_toeplitz~bp:1"]),
        (["bp~bp.other-seed"], ["bp:0", "bp~bp.other-seed:0", "bp:1"]),
        (["untrained~untrained.other-seed:0"], ["untrained~untrained.other-seed:0"]),
        (
            [":1"],
            ["bp:1", "fa_toeplitz:1", "fa_toeplitz~bp:1", "untrained~untrained.other-seed:1"],
        ),
        (["fa_*:1"], ["bp:1", "fa_toeplitz:1", "fa_toeplitz~bp:1"]),
        (["*~bp:0"], ["bp:0", "fa_toeplitz:0", "fa_toeplitz~bp:0"]),
    ],
    ids=str,
)
def test_only_what_is_named_is_left_and_the_runs_that_comparisons_need(
    study: Study, names: list[str], expected: list[str]
) -> None:
    assert cells(select(study, names)) == expected


def test_every_cell_is_what_it_is_in_the_whole_study(study: Study) -> None:
    whole = {cell.stem for cell in study_cells(study)}
    parts = [select(study, [name]) for name in cells(study)]
    assert {cell.stem for part in parts for cell in study_cells(part)} == whole


def test_a_cell_computed_alone_has_the_recorded_numbers(
    finished: tuple[Study, Path], tmp_path: Path
) -> None:
    study, folder = finished
    do(select(study, ["fa_toeplitz~bp:1"]), tmp_path / "out")
    alone = results(tmp_path / "out")
    assert sorted(record.id for record in records(tmp_path / "out").values()) == [
        "bp",
        "fa_toeplitz",
        "fa_toeplitz~bp",
    ]
    assert alone.items() <= results(folder).items()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sgd", "there is no configuration or comparison 'sgd'; choose from: bp, fa_toeplitz, fa_"),
        ("sgd:0", "there is no configuration or comparison 'sgd'; choose from: bp"),
        ("sgd*", "there is no configuration or comparison 'sgd*'; choose from: bp"),
        ("bp:7", "there is no such seed; write bp:SEED with one of the seeds 0, 1"),
        ("bp:x", "there is no such seed; write bp:SEED with one of the seeds 0, 1"),
        ("bp~bp.other-seed:1", "there is no such seed; write bp~bp.other-seed:SEED with one of"),
        (":7", "there is no such seed; write ID:SEED with one of the seeds 0, 1"),
        (":", "there is no such seed; write ID:SEED"),
        ("", "there is no such seed; write ID:SEED"),
    ],
)
def test_a_name_of_nothing_is_one_sentence(study: Study, name: str, sentence: str) -> None:
    with pytest.raises(AuditError) as refusal:
        select(study, ["bp:0", name])
    assert str(refusal.value).startswith(f"--only {name}: {sentence}")


@pytest.mark.parametrize("name", ["bp~bp.other-seed", "bp~bp.other-seed:0", "bp~bp.*"])
def test_a_pair_that_needs_more_seeds_than_are_left_is_one_sentence(
    study: Study, tmp_path: Path, name: str
) -> None:
    with pytest.raises(AuditError) as refusal:
        select(load_study(tmp_path, seeds=1), [name])
    id = name.removesuffix(":0")
    assert str(refusal.value) == (
        f"--only {name}: no seed is left at which {id} can be made, such as a pair with "
        ".other-seed at a single seed; ask for more with --seeds"
    )
