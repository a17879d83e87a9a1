"""From a study's files to the evidence that claims are judged by."""

from pathlib import Path

from fa_audit.audit.evidence import Evidence
from fa_audit.data.editions import EDITIONS
from fa_audit.errors import AuditError
from fa_audit.rules import PLAUSIBILITY, RULES
from fa_audit.study.cells import study_cells
from fa_audit.study.ledger import Ledger, Record
from fa_audit.study.spec import Study


def gather(study: Study, folder: Path) -> Evidence:
    """The records of every cell of `study` that is in `folder`/ledger, and what rules are like.

    Args:
        study: What was declared to be run.
        folder: The study's output folder.

    Raises:
        AuditError: A record is cut short or altered, or was made with other images than the study
            names.
    """
    ledger = Ledger(folder / "ledger")
    records: dict[str, dict[int, Record]] = {}
    declared: dict[str, tuple[int, ...]] = {}
    edition = EDITIONS.get(study.data.name)
    known = dict(edition.fingerprints or {}) if edition else None
    for cell in study_cells(study):
        by_seed = records.setdefault(cell.id, {})
        declared[cell.id] = (*declared.get(cell.id, ()), cell.seed)
        record = ledger.find(cell.id, cell.seed, cell.hash)
        if record is not None:
            if known is not None:
                _require_same_data(known, study, record, ledger)
            by_seed[cell.seed] = record
    return Evidence(
        study=study.name,
        data=study.data.name,
        stand_in=study.data.name == "shapes",
        seeds=study.seeds,
        records=records,
        declared=declared,
        properties={
            aspect: {name: found(rule) for name, rule in RULES.items()}
            for aspect, found in PLAUSIBILITY.items()
        },
    )


def _require_same_data(known: dict[str, str], study: Study, record: Record, ledger: Ledger) -> None:
    """Refuse a record of other images; where none are known, the first record tells which."""
    edition = EDITIONS[study.data.name]
    for split in edition.files:
        found = record.provenance["data"][split]
        if known.setdefault(split, found) != found:
            what = edition.title if edition.fingerprints else "the images of the other records"
            raise AuditError(
                f"{ledger.path(record.id, record.seed, record.hash)} was not made with {what}: "
                f"the fingerprint of its {split} images is another; remove it and run the study "
                "again."
            )
