"""Sign concordance: the fraction of entries in which weight and feedback have the same sign."""

import math
from dataclasses import dataclass

from torch import Tensor

from fa_audit.errors import AuditError


@dataclass(frozen=True)
class Concordance:
    """A fraction of equal signs with what chance alone would give.

    Attributes:
        value: fraction in [0, 1]; None where it is undefined.
        n: entries compared; 0 where it is undefined.
        chance_sd: .5/√n, the standard deviation about .5 for signs that know nothing of each other;
            None where value is.
        reason: why it is undefined; None where it is defined.
    """

    value: float | None
    n: int
    chance_sd: float | None
    reason: str | None = None


def sign_concordance(weight: Tensor, feedback: Tensor) -> Concordance:
    """Fraction of entries with sign(W) = sign(B).

    sign(0) = 0 agrees with sign(0) = 0 and with nothing else. A feedback |B0| ⊙ sign(W) thus has a
    concordance of exactly 1, zero weights included. For Gaussian W and B at an angle θ the expected
    value is 1 − θ/π.

    Args:
        weight: W, any shape.
        feedback: B. A shape other than W's (dense feedback of a convolution) leaves no entries to
            compare: the result is undefined, with the reason, and nothing is raised.

    Returns:
        The concordance; its value is in [0, 1].

    Raises:
        AuditError: if a value is NaN, or the tensors are empty.

    Source: Liao et al. 2016 (sign-concordant feedback).
    """
    if weight.shape != feedback.shape:
        reason = f"shapes differ: weight {list(weight.shape)}, feedback {list(feedback.shape)}"
        return Concordance(value=None, n=0, chance_sd=None, reason=reason)
    n = weight.numel()
    if n == 0 or weight.isnan().any() or feedback.isnan().any():
        raise AuditError(
            f"sign concordance of tensors of shape {list(weight.shape)} is undefined because they "
            "are empty or hold NaN: measure a run that did not diverge"
        )
    agreeing = int((weight.sign() == feedback.sign()).sum())
    return Concordance(value=agreeing / n, n=n, chance_sd=0.5 / math.sqrt(n))
