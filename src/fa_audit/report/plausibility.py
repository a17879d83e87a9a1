"""The plausibility table, derived from the properties that RULES declares and tests check."""

from fa_audit.report.html import Html, table
from fa_audit.report.material import Material
from fa_audit.rules import PLAUSIBILITY, RULES


def plausibility_table(material: Material) -> Html:
    """What each rule of the study needs to know, store and change."""
    names = dict.fromkeys(material.rule(id) for id in material.study.configurations)
    rules = [RULES[name] for name in names if name in RULES]
    return table(
        ("rule", "feedback B", *PLAUSIBILITY),
        [
            [rule.title, rule.equation, *(aspect(rule) for aspect in PLAUSIBILITY.values())]
            for rule in rules
        ],
        "Plausibility of the rules, as derived from their declared properties",
    )
