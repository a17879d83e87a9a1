from pathlib import Path

import pytest

from fa_audit.study.spec import Study
from study.tiny import do, write_study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """The tiny study and the folder of its undisturbed run, shared: tests only read it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = write_study(folder)
    do(study, folder)
    return study, folder
