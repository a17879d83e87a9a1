"""Judging: from a paper's claims and a study's records to verdicts."""

from fa_audit.audit.cases import open_case
from fa_audit.audit.claims import Claims
from fa_audit.audit.decisions import decide
from fa_audit.audit.evidence import Evidence
from fa_audit.audit.families import adjusted_answers
from fa_audit.audit.verdict import Verdict
from fa_audit.errors import AuditError


def judge(claims: Claims, evidence: Evidence) -> tuple[Verdict, ...]:
    """Judge every claim by the records of a study.

    Args:
        claims: A checked claims file.
        evidence: The study's records.

    Returns:
        One verdict for each claim, in their order.

    Raises:
        AuditError: The claims are about other images than the evidence, or name a configuration,
            comparison or place that the study does not have.
    """
    if claims.data != evidence.data:
        label = ", a stand-in," if evidence.stand_in else ""
        raise AuditError(
            f"{claims.file} makes claims about {claims.data}, but the records of study "
            f"{evidence.study!r} come from {evidence.data}{label} and say nothing about them; "
            f"judge runs on {claims.data}."
        )
    claims.check_subjects(evidence.records.keys())
    cases = [open_case(claim, claims.file, evidence) for claim in claims.claims]
    answers = adjusted_answers(cases, claims.alpha)
    return tuple(decide(case, answers[case.claim.id], claims.alpha) for case in cases)
