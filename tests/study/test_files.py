import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from fa_audit.errors import AuditError
from fa_audit.study.files import set_aside, write_atomically


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    for text in ("old", "new"):
        write_atomically(path, lambda file, text=text: file.write_text(text, encoding="utf-8"))
        assert path.read_text(encoding="utf-8") == text
        assert list(path.parent.iterdir()) == [path]


def test_until_the_end_of_writing_the_old_content_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def write(file: Path) -> None:
        file.write_text("half of the ne", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"
        file.write_text("half of the new", encoding="utf-8")

    write_atomically(path, write)
    assert path.read_text(encoding="utf-8") == "half of the new"


def test_who_reads_the_old_content_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with path.open(encoding="utf-8") as reader:
        write_atomically(path, lambda file: file.write_text("new", encoding="utf-8"))
        assert reader.read() == "old"


def test_a_file_is_flushed_through_a_handle_that_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    # Windows refuses to flush any other handle; writing nothing fails for it on every system.
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.write(handle, b"")))
    write_atomically(tmp_path / "file", lambda file: file.write_text("whole", encoding="utf-8"))
    assert flushed == [0]
    assert (tmp_path / "file").read_text(encoding="utf-8") == "whole"


def test_a_full_disk_leaves_the_old_content_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def write(file: Path) -> None:
        file.write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        AuditError, match=r"file cannot be written \(No space left on device\); choose another"
    ):
        write_atomically(path, write)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(AuditError, match=r"out/x cannot be written \(.*\); choose another output"):
        write_atomically(tmp_path / "out" / "x", lambda file: file.write_text("", encoding="utf-8"))


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(AuditError, match=r"x cannot be written \(.*\); choose another output"):
        write_atomically(tmp_path / "x", lambda file: file.write_text("", encoding="utf-8"))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    "error", [RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos"), None]
)
def test_what_torch_and_safetensors_say_of_a_full_disk_is_one_sentence(
    tmp_path: Path, error: Exception | None
) -> None:
    path = tmp_path / "file"

    def write(file: Path) -> None:
        file.write_text("half", encoding="utf-8")
        raise error or SafetensorError("Error while serializing: No space left on device")

    with pytest.raises(AuditError, match=r"file cannot be written \(.+\); choose another output"):
        write_atomically(path, write)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_writing_leaves_nothing_and_goes_on(tmp_path: Path) -> None:
    def write(file: Path) -> None:
        file.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", write)
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_file_that_cannot_be_removed_hides_no_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(AuditError, match=r"cannot be written \(No such file or directory\)"):
        write_atomically(tmp_path / "file", lambda file: (file / "x").write_text("", "utf-8"))


def test_a_damaged_file_that_cannot_be_renamed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(AuditError, match=r"is damaged and cannot be renamed \(Operation not perm"):
        set_aside(tmp_path / "record")


def test_a_damaged_file_that_is_gone_is_no_mistake(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):  # another process was first; callers go on
        set_aside(tmp_path / "record")
