"""The plausibility table, derived from the properties that RULES declares and tests check."""

from fa_audit.report.html import Html, table
from fa_audit.report.material import Material
from fa_audit.rules import RULES, Rule


def plausibility_table(material: Material) -> Html:
    """What each rule of the study needs to know, store and change."""
    names = dict.fromkeys(material.rule(id) for id in material.study.configurations)
    return table(
        (
            "rule",
            "feedback B",
            "knows of W",
            "sign concordance",
            "B in training",
            "stores B0",
            "at convolutions",
        ),
        [_row(RULES[name]) for name in names if name in RULES],
        "Plausibility of the rules, as derived from their declared properties",
    )


def _row(rule: Rule) -> list[str]:
    if rule.weight_transport == "exact":
        concordance = "perfect"
    else:
        concordance = "enforced" if rule.sign_concordant else "not enforced"
    return [
        rule.title,
        rule.equation,
        "nothing" if rule.weight_transport == "none" else rule.weight_transport,
        concordance,
        "changes" if rule.changes_in_training else "fixed",
        "yes" if rule.stores_feedback else "no",
        "dense matrix" if rule.dense else "slid kernel (Toeplitz)",
    ]
