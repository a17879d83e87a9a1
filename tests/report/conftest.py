"""The invented report, built once for all tests that look at it."""

from dataclasses import replace
from pathlib import Path

import pytest

from fa_audit.data.cifar import FOLDER_VARIABLE
from fa_audit.report import Report, make_report, write_report
from fa_audit.report.pictures import Pictures
from report.invented import IMAGES, write_study


@pytest.fixture(scope="session")
def invented_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an invented study with a run that diverged and one that is missing."""
    folder = tmp_path_factory.mktemp("invented")
    write_study(folder, skipped={("usf_init", 2)}, diverged={("fa_random", 1)})
    (folder / "README.md").write_text(NOTES, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def invented_report(invented_study: Path) -> Report:
    """The report of that study, with its images at hand, not written yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(FOLDER_VARIABLE, raising=False)
        report = make_report(invented_study, commands=["fa-audit report <STUDY>"])
    return replace(report, material=replace(report.material, pictures=Pictures(lambda: IMAGES, 24)))


@pytest.fixture(scope="session")
def invented_page(invented_report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, with the figures' files beside it."""
    return write_report(invented_report, tmp_path_factory.mktemp("report"))


NOTES = """\
# Invented

## Deviations from the paper

| what | paper | here |
|---|---|---|
| seeds | one <1> | three |

## Caveats

- None that *we* know of;
  none at `all`.

## Another heading

Not to be shown.
"""
