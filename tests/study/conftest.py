from pathlib import Path

import pytest

from fa_audit.study.cells import RunCell
from fa_audit.study.output import OutputFolder
from fa_audit.study.spec import Study
from study.tiny import do, run_cells, write_study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """The tiny study and the folder of its undisturbed run, shared: tests only read it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = write_study(folder)
    do(study, folder)
    return study, folder


@pytest.fixture(scope="session")
def output(finished: tuple[Study, Path]) -> OutputFolder:
    return OutputFolder(finished[1])


@pytest.fixture(scope="session")
def runs(finished: tuple[Study, Path]) -> list[RunCell]:
    return run_cells(finished[0])
