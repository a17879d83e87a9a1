"""Effective ranks on their way from study.toml to the numbers that claims take from a ledger."""

from pathlib import Path

import pytest

from fa_audit.audit.evidence import measured, places
from fa_audit.errors import AuditError
from fa_audit.metrics.rank import DEFINITIONS
from fa_audit.study.ledger import Record
from fa_audit.training.ranks import OBJECTS
from study.reading import LAYERS, assert_complete
from study.tiny import do, records, run_cells, write_study

RANK = ("[comparison]", "[rank]\nrows = 4\ncolumns = 32\n\n[comparison]")
ONE_RUN = [
    ("seeds = [0, 1]", "seeds = [0]"),
    ("epochs = 2", "epochs = 1"),
    ('pairs = ["fa_toeplitz~bp"]', "pairs = []"),
    ('[[configurations]]\nrule = "bp"\n\n', ""),
]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of one run whose ranks were measured."""
    folder = tmp_path_factory.mktemp("ranks")
    do(write_study(folder, RANK, *ONE_RUN), folder)
    (found,) = records(folder).values()
    return found


def test_every_rank_has_an_address_where_its_series_is_read(record: Record) -> None:
    for name in OBJECTS:
        for layer in LAYERS:
            for definition in DEFINITIONS:
                measure = f"effective_rank/{name}/{layer}/{definition}"
                values = record.series["rank"][name][layer][definition]
                assert places(record, measure) == {"first", "lowest", "highest", "last"}
                assert measured(record, measure, "first") == values[0]
                assert measured(record, measure, "last") == values[-1]
                assert measured(record, measure, "lowest") == min(values)
                assert measured(record, measure, "highest") == max(values)
    ranks = [name for name in record.measurements if name.startswith("effective_rank/")]
    assert len(ranks) == len(OBJECTS) * len(LAYERS) * len(DEFINITIONS)


def test_no_rank_travels_alone(record: Record) -> None:
    ranks = {k: v for k, v in record.measurements.items() if k.startswith("effective_rank/")}
    assert_complete(ranks)
    sizes = {
        "error/conv2": (16, 2304),
        "error/fc3": (16, 10),
        "gradient/conv2": (64, 1600),
        "update/fc1": (384, 576),
        "trajectory/fc1": (4, 221_184),
    }
    for address, size in sizes.items():
        stated = ranks[f"effective_rank/{address}/entropy"]
        assert (stated["n"], stated["p"], stated["unit"]) == (*size, "directions")


def test_the_bound_of_the_output_error_stands_beside_it(record: Record) -> None:
    bounds = {
        name: stated["bound"] for name, stated in record.measurements.items() if "bound" in stated
    }
    assert bounds == {f"effective_rank/error/fc3/{definition}": 9 for definition in DEFINITIONS}
    for name in bounds:
        assert "at most the bound, classes − 1" in record.measurements[name]["estimator"]
        assert measured(record, name, "highest") <= 9


def test_what_is_not_there_says_why(tmp_path: Path) -> None:
    last = ("learning_rate = 1e-3", 'learning_rate = 1e-3\ntrained_layers = ["fc3"]')
    study = write_study(tmp_path, RANK, *ONE_RUN, last)
    do(study, tmp_path)
    (found,) = records(tmp_path).values()
    reason = measured(found, "effective_rank/update/fc1/entropy", "last")
    assert reason == "it was zero or not finite, or no step was measured"
    assert isinstance(measured(found, "effective_rank/update/fc3/entropy", "last"), float)


def test_without_the_table_nothing_is_measured_and_nothing_changes(tmp_path: Path) -> None:
    plain = write_study(tmp_path / "plain", *ONE_RUN)
    with_ranks = write_study(tmp_path / "ranks", RANK, *ONE_RUN)
    assert run_cells(plain)[0].run.rank is None
    assert "rank" not in run_cells(plain)[0].configuration
    assert run_cells(with_ranks)[0].configuration["rank"] == {"rows": 4, "columns": 32}
    assert run_cells(plain)[0].hash != run_cells(with_ranks)[0].hash
    do(plain, tmp_path / "plain")
    (found,) = records(tmp_path / "plain").values()
    assert set(found.series) == {"epoch", "probe"}
    assert not any(name.startswith("effective_rank") for name in found.measurements)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("[rank]\nrow = 4\n", r"\[rank\] has an unknown key 'row'; it may have: rows, columns"),
        ('[rank]\nrows = "4"\n', r"\[rank\] rows is '4'; it must be of type int"),
        ("[rank]\nrows = 0\n", "rank.rows is 0; it must be at least 1"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path, table: str, sentence: str) -> None:
    with pytest.raises(AuditError, match=sentence):
        write_study(tmp_path, ("[comparison]", f"{table}\n[comparison]"))


def test_an_empty_table_takes_the_defaults(tmp_path: Path) -> None:
    study = write_study(tmp_path, ("[comparison]", "[rank]\n\n[comparison]"))
    assert run_cells(study)[0].configuration["rank"] == {"rows": 256, "columns": 8192}
