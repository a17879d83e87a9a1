import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
import torch

from fa_audit.study import provenance
from fa_audit.study.provenance import code_version, device_name

VERSION = metadata.version("fa-audit")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out like this project, which the code takes for its own."""
    file = tmp_path / "src" / "fa_audit" / "study" / "provenance.py"
    file.parent.mkdir(parents=True)
    file.write_text("", encoding="utf-8")
    monkeypatch.setattr(provenance, "__file__", str(file))
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # a hook of this project's own repository sets them
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_in_a_checkout_the_code_is_named_by_commit_and_changes_of_the_source(
    checkout: Path,
) -> None:
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "all")
    commit = git(checkout, "rev-parse", "--short=12", "HEAD")
    assert code_version() == f"{VERSION} ({commit})"
    (checkout / "notes.txt").write_text("not source", encoding="utf-8")
    assert code_version() == f"{VERSION} ({commit})"
    (checkout / "src" / "fa_audit" / "new.py").write_text("", encoding="utf-8")
    assert code_version() == f"{VERSION} ({commit}+changes)"


def test_elsewhere_the_code_is_named_by_its_version(checkout: Path) -> None:
    assert code_version() == VERSION
    (checkout / ".git").mkdir()  # looks like a checkout, but git cannot read it
    assert code_version() == VERSION


def test_the_processor_is_named_with_what_it_computes_with() -> None:
    assert re.fullmatch(r"cpu \(\w+, \w+\)", device_name(torch.device("cpu")))
