from pathlib import Path

from fa_audit.study.selection import select
from fa_audit.study.spec import Study
from fa_audit.study.summary import run_table
from study.tiny import do, records, run_cells, write_study


def test_the_table_shows_accuracy_and_loss_of_every_run(finished: tuple[Study, Path]) -> None:
    study, folder = finished
    by_id = {(record.id, record.seed): record for record in records(folder).values()}
    title, heads, *rows = run_table(study, folder).splitlines()
    assert title.startswith("A tiny study: test accuracy at the best validation epoch")
    assert heads.split() == ["seed", "0", "seed", "1"]
    for row, id in zip(rows, ("bp", "fa_toeplitz"), strict=False):
        assert row.split()[0] == id
        for seed in (0, 1):
            found = by_id[id, seed]
            accuracy = found.measurements["test_accuracy"]["values"]["best-validation"]
            loss = found.measurements["train_loss"]["values"]["last"]
            mark = "!" if loss > found.measurements["train_loss"]["chance"] else " "
            assert f"{accuracy:5.1f} % ({loss:.2f}{mark})" in row


def test_a_seed_that_a_configuration_does_not_declare_is_left_blank(tmp_path: Path) -> None:
    study = write_study(tmp_path, ('rule = "fa_toeplitz"\n', 'rule = "fa_toeplitz"\nseeds = [1]\n'))
    _, heads, bp, toeplitz = run_table(study, tmp_path).splitlines()
    assert heads.split() == ["seed", "0", "seed", "1"]
    assert bp.count("not run") == 2
    assert toeplitz.count("not run") == 1
    assert toeplitz.index("not run") == bp.rindex("not run")


def test_a_table_of_comparisons_alone_says_so(tmp_path: Path) -> None:
    study = write_study(tmp_path, ('["fa_toeplitz~bp"]', '["untrained~untrained.other-seed"]'))
    part = select(study, ["untrained~untrained.other-seed"])
    assert run_table(part, tmp_path) == "A tiny study: no runs, only what is measured of them"


def test_what_is_not_run_or_not_finite_is_said(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        ('pairs = ["fa_toeplitz~bp"]\n', ""),
        ('rule = "fa_toeplitz"\n', 'rule = "fa_toeplitz"\nlearning_rate = 1e30\n'),
    )
    do(study, tmp_path)
    calm = next(cell for cell in run_cells(study) if cell.id == "bp" and cell.seed == 1)
    (tmp_path / "ledger" / f"{calm.stem}.json").unlink()
    bp, toeplitz, note = run_table(study, tmp_path).splitlines()[2:]
    assert bp.endswith(" not run")
    assert toeplitz.count("(not finite!)") == 2
    assert note == "! the training loss stands above chance, 2.30: logits explode"
