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
from study.tiny import dataset

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


def test_code_that_is_edited_while_it_runs_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    provenance.running_code.cache_clear()
    monkeypatch.setattr(provenance, "code_version", lambda: "at first")
    assert provenance.running_code() == "at first"
    monkeypatch.setattr(provenance, "code_version", lambda: "later")
    stated = provenance.provenance(dataset(), torch.device("cpu"), 1.0)
    assert stated["code"] == "at first"
    provenance.running_code.cache_clear()


def test_the_processor_is_named_with_what_it_computes_with() -> None:
    assert re.fullmatch(r"cpu \((.+, )?\w+, \w+\)", device_name(torch.device("cpu")))


CPUINFO = """\
processor\t: 0
vendor_id\t: AuthenticMaker
cpu family\t: 25
model\t\t: 17
model name\t: Maker's Best (R)

processor\t: 1
model name\t: another
"""


def test_of_a_processor_name_family_and_model_are_told(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO, encoding="utf-8")
    assert provenance._processor(file) == ("Maker's Best (R)", "family 25 model 17")


@pytest.mark.parametrize("text", [None, "", "Processor : ARMv8\n"])
def test_where_the_system_does_not_tell_nothing_is_said(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert provenance._processor(file) == ()
