"""The report of the committed study: complete, small, and made within a minute."""

import time
from pathlib import Path

import pytest

from fa_audit.report import Report, make_report, write_report

STUDY = Path(__file__).parents[2] / "reproductions" / "lance_kieu_2026"


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path, float]:
    start = time.process_time()
    report = make_report(STUDY)
    page = write_report(report, tmp_path_factory.mktemp("committed"))
    return report, page, time.process_time() - start


def test_it_takes_less_than_a_minute(timed: tuple[Report, Path, float]) -> None:
    assert timed[2] < 60


def test_it_is_at_most_8_mb(timed: tuple[Report, Path, float]) -> None:
    assert timed[1].stat().st_size < 8_000_000


def test_every_claim_is_in_it(timed: tuple[Report, Path, float]) -> None:
    report, page, _ = timed
    text = page.read_text(encoding="utf-8")
    for verdict in report.material.verdicts:
        assert f'id="claim-{verdict.claim}"' in text
    assert "Deviations from the paper" in text


def test_it_is_no_stand_in(timed: tuple[Report, Path, float]) -> None:
    assert "Stand-in data" not in timed[1].read_text(encoding="utf-8")
