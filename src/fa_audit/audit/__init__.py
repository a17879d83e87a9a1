"""From claims and records to verdicts, on a laptop, in seconds, without training anything.

``judge(load_claims(path), evidence)`` gives one verdict for each claim.
"""

from fa_audit.audit.claims import Claims
from fa_audit.audit.claims_file import load_claims
from fa_audit.audit.evidence import Evidence
from fa_audit.audit.judging import judge
from fa_audit.audit.recording import (
    Change,
    compare_records,
    compare_verdicts,
    read_verdicts,
    verdicts_to_json,
)
from fa_audit.audit.tables import verdict_table
from fa_audit.audit.verdict import Verdict, Word
from fa_audit.study.ledger import Record

__all__ = [
    "Change",
    "Claims",
    "Evidence",
    "Record",
    "Verdict",
    "Word",
    "compare_records",
    "compare_verdicts",
    "judge",
    "load_claims",
    "read_verdicts",
    "verdict_table",
    "verdicts_to_json",
]
