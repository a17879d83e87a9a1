"""What each rule asks of a brain, in words, from the properties that RULES declares.

Tests and the conformance checks hold every layer to these properties, so that the table below is
no opinion: change a rule, and either a check fails or its row changes.
"""

from collections.abc import Callable, Mapping

from fa_audit.rules.table import Rule


def _sign_concordance(rule: Rule) -> str:
    if rule.weight_transport == "exact":
        return "perfect"
    return "enforced" if rule.sign_concordant else "none"


PLAUSIBILITY: Mapping[str, Callable[[Rule], str]] = {
    "weight transport": lambda rule: rule.weight_transport,
    "sign concordance": _sign_concordance,
    "feedback in training": lambda rule: "changes" if rule.changes_in_training else "fixed",
    "stored feedback": lambda rule: "B0" if rule.stores_feedback else "nothing",
    "feedback at convolutions": lambda rule: "dense" if rule.dense else "Toeplitz",
}
"""Aspect → what a rule's is: what the feedback has to know of W ("none", "sign", "sign and norm" or
"exact"); whether its signs are W's ("none", "enforced" or "perfect", where magnitudes are W's too);
whether it "changes" or is "fixed" while W is trained; what of it is stored ("B0" or "nothing"); and
whether at a convolution it is a kernel slid over the maps ("Toeplitz") or a "dense" matrix."""
