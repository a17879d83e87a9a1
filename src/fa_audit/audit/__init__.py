"""From claims and records to verdicts, on a laptop, in seconds, without training anything.

``judge(load_claims(path), evidence)`` gives one verdict for each claim.
"""

from fa_audit.audit.claims import Claims, load_claims
from fa_audit.audit.evidence import Evidence, Record
from fa_audit.audit.verdicts import (
    Change,
    Verdict,
    Word,
    compare_verdicts,
    judge,
    verdict_table,
    verdicts_to_json,
)

__all__ = [
    "Change",
    "Claims",
    "Evidence",
    "Record",
    "Verdict",
    "Word",
    "compare_verdicts",
    "judge",
    "load_claims",
    "verdict_table",
    "verdicts_to_json",
]
