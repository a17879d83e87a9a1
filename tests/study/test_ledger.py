import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fa_audit.errors import AuditError
from fa_audit.hashing import content_hash
from fa_audit.study.ledger import DamagedRecordError, Ledger, Record, cell_stem, read_record

CONFIGURATION = {"rule": "bp", "training": {"learning_rate": 0.1234567890123456}}
RECORD = Record(
    kind="run",
    id="bp",
    seed=3,
    hash=content_hash(CONFIGURATION),
    configuration=CONFIGURATION,
    status="finished",
    measurements={
        "accuracy": {"n": 10, "unit": "%", "values": {"last": 12.5, "best": None}},
        "p": {"rows": (1, 2)},
    },
    series={"epoch": {"loss": [None, 2.302585092994046, 1e-300, 123456789.123456789]}},
    provenance={"code": "0", "torch": "2"},
)


def find(ledger: Ledger, record: Record = RECORD) -> Record | None:
    return ledger.find(record.id, record.seed, record.hash)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new" / "ledger")
    assert find(ledger) is None
    path = ledger.write(RECORD)
    assert path == ledger.path("bp", 3, RECORD.hash)
    found = find(ledger)
    assert found is not None
    # Numbers come back with nine digits, which tell any two float32 numbers apart; the
    # configuration, which was given and not measured, comes back as it was.
    assert found == replace(
        RECORD,
        measurements={**RECORD.measurements, "p": {"rows": [1, 2]}},
        series={"epoch": {"loss": [None, 2.30258509, 1e-300, 123456789.0]}},
        digest=found.digest,
    )
    assert found.stem == RECORD.stem == cell_stem("bp", 3, RECORD.hash) == path.stem
    assert path.stem == f"bp-s3-{RECORD.hash[:12]}"


def test_the_digest_is_that_of_everything_else(tmp_path: Path) -> None:
    content = json.loads(Ledger(tmp_path).write(RECORD).read_text(encoding="utf-8"))
    assert content.pop("format") == 1
    digest = content.pop("digest")
    assert digest == content_hash(content)
    assert content["hash"] == content_hash(content["configuration"])


LAYOUT = """\
{
 "format": 1,
 "kind": "run",
 "id": "bp",
 "seed": 3,
 "hash": "%s",
 "configuration": {
  "rule": "bp",
  "training": {"learning_rate": 0.1234567890123456}
 },
 "status": "finished",
 "measurements": {
  "accuracy": {"n": 10, "unit": "%%", "values": {"last": 12.5, "best": null}},
  "p": {"rows": [1, 2]}
 },
 "series": {
  "epoch": {"loss": [null, 2.30258509, 1e-300, 123456789.0]}
 },
 "provenance": {
  "code": "0",
  "torch": "2"
 },
 "digest": "%s"
}
"""


def test_the_layout_is_fixed_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = (Ledger(tmp_path / name).write(RECORD) for name in ("a", "b"))
    text = first.read_text(encoding="utf-8")
    assert text == LAYOUT % (RECORD.hash, json.loads(text)["digest"])
    assert first.read_bytes() == second.read_bytes()


def test_a_record_without_series_has_an_empty_table(tmp_path: Path) -> None:
    path = Ledger(tmp_path).write(replace(RECORD, series={}))
    assert ' "series": {},\n' in path.read_text(encoding="utf-8")
    assert read_record(path).series == {}


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_not_a_number_is_never_written(tmp_path: Path, number: float) -> None:
    ledger = Ledger(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        ledger.write(replace(RECORD, series={"x": [number]}))
    assert list(tmp_path.iterdir()) == []


# Damage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Ledger(tmp_path).write(RECORD)


def assert_damaged(path: Path, sentence: str) -> None:
    __tracebackhide__ = True
    for read in (lambda: read_record(path), lambda: find(Ledger(path.parent))):
        with pytest.raises(DamagedRecordError) as damage:
            read()
        assert str(damage.value).startswith(f"{path} {sentence}")
        assert "\n" not in str(damage.value)


def test_a_file_cut_short_anywhere_is_damaged(path: Path) -> None:
    whole = path.read_bytes()
    for length in [*range(0, len(whole) - 2, 41), len(whole) - 3]:
        path.write_bytes(whole[:length])
        assert_damaged(path, "is not a whole ledger file; ")
    path.write_bytes(whole.rstrip())  # only the last line's end is no content
    assert find(Ledger(path.parent)) is not None


def test_every_altered_digit_of_content_or_digest_is_found(path: Path) -> None:
    whole = path.read_text(encoding="utf-8")
    start = whole.index('"kind"')  # the format's digit is another matter
    places = [i for i, c in enumerate(whole) if c.isdecimal() and i > start]
    assert len(places) > 100
    for place in places:
        altered = str((int(whole[place]) + 1) % 10)
        path.write_text(whole[:place] + altered + whole[place + 1 :], encoding="utf-8")
        with pytest.raises(DamagedRecordError):
            read_record(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("12.5", "99.5"),
        ('"finished"', '"diverged"'),
        ('"best": null', '"best": 1.0'),
        ('"rule": "bp"', '"rule": "usf_sn"'),
        ('"code": "0"', '"code": "1"'),
    ],
)
def test_an_altered_value_is_found_and_said(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert_damaged(path, "was altered after it was written: ")


def rewritten(path: Path, **changes: Any) -> None:
    """The file with changed content and a digest that fits it, as a forger would leave it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    version = content.pop("format")
    del content["digest"]
    content |= changes
    whole = {"format": version, **content, "digest": content_hash(content)}
    path.write_text(json.dumps(whole), encoding="utf-8")


def test_a_configuration_that_does_not_have_its_hash_is_found(path: Path) -> None:
    rewritten(path)
    assert read_record(path).seed == 3
    rewritten(path, configuration={"rule": "usf_sn"})
    assert_damaged(path, "was altered after it was written: ")


def test_the_record_of_another_configuration_under_this_name_is_damaged(path: Path) -> None:
    other = {"rule": "usf_sn"}
    rewritten(path, configuration=other, hash=content_hash(other))
    assert read_record(path).configuration == other
    with pytest.raises(DamagedRecordError, match="is the record of another configuration"):
        find(Ledger(path.parent))


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '{"format": 1}', "{}", '"x"', "{" * 9])
def test_what_is_no_record_at_all_is_damaged(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    assert_damaged(path, "is not a whole ledger file; ")


def test_bytes_that_are_no_text_and_folders_are_damaged(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\x01")
    assert_damaged(path, "is not a whole ledger file; ")
    path.unlink()
    path.mkdir()
    assert_damaged(path, "is not a whole ledger file; ")


def test_an_additional_key_is_damage(path: Path) -> None:
    rewritten(path, comment="looks better")
    assert_damaged(path, "is not a whole ledger file; ")


@pytest.mark.parametrize("keys", [{}, {"machine": "new in format 2"}])
def test_another_format_is_not_damage_but_a_matter_of_versions(
    path: Path, keys: dict[str, str]
) -> None:
    content = {**json.loads(path.read_text(encoding="utf-8")), "format": 2, **keys}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(AuditError, match="has format 2, this version of fa-audit reads 1; ") as no:
        read_record(path)
    assert not isinstance(no.value, DamagedRecordError)  # so that nobody sets it aside


def test_a_record_that_cannot_be_read_for_now_is_not_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_text", fail)
    sentence = r"cannot be read \(Too many open files\) and stays as it is; "
    with pytest.raises(AuditError, match=sentence) as no:
        read_record(path)
    assert not isinstance(no.value, DamagedRecordError)  # so that nobody sets it aside


def test_a_damaged_file_is_set_aside_without_losing_an_earlier_one(path: Path) -> None:
    ledger = Ledger(path.parent)
    for number in (1, 2, 3):
        path.write_text(f"damage {number}", encoding="utf-8")
        aside = ledger.set_aside(RECORD.id, RECORD.seed, RECORD.hash)
        assert aside.name == f"{RECORD.stem}.damaged-{number}"
        assert find(ledger) is None
    ledger.write(RECORD)
    kept = sorted(p.read_text(encoding="utf-8") for p in path.parent.glob("*.damaged-*"))
    assert kept == ["damage 1", "damage 2", "damage 3"]
    assert find(ledger) is not None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(AuditError, match=r"ledger.* cannot be written \(.*\); choose another outp"):
        Ledger(tmp_path / "ledger").write(RECORD)
