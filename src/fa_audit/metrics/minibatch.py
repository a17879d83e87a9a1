"""CKA of many samples from batches of them, over all samples or over a subset.

In each pass all samples are put in one random order and cut into batches; a subset has in batch b
those n_b of its samples that fall into it. With HSIC₁ of these n_b samples, and weights w_b = n_b,
by which every sample counts alike,

    CKA[i, j] = Σ_b w_b HSIC₁_b(Kᵢ, Lⱼ) / √(Σ_b w_b HSIC₁_b(Kᵢ, Kᵢ) · Σ_b w_b HSIC₁_b(Lⱼ, Lⱼ)).

Each of the three sums, divided by Σ w_b, is an unbiased estimate of HSIC₁ of the whole subset:
given n_b, the subset's samples in batch b are n_b of it drawn at random, and HSIC₁, a mean over
quadruples of different samples, has the same expectation for them as for all, whatever n_b ≥ 4. The
ratio is taken once, at the end. A mean of ratios would be biased, and a mean of *biased* CKAs of
batches is far off.

Source: Nguyen et al. 2021, equations 2 and 3, where all n_b are equal. Differs from it in that a
subset is not cut into batches of its own: so all subsets share one pass through a network.
"""

import torch
from torch import Tensor

from fa_audit.errors import AuditError
from fa_audit.metrics.cka import CentredGrams, require_signal


class MinibatchCKA:
    """The sums over batches, for every layer pair of two networks.

    Attributes:
        n: Samples seen, summed over batches (a second pass counts again).
        batches: Batches seen.
    """

    def __init__(self) -> None:
        self.n = 0
        self.batches = 0
        self._cross = torch.zeros((), dtype=torch.float64)
        self._self_a = torch.zeros((), dtype=torch.float64)
        self._self_b = torch.zeros((), dtype=torch.float64)

    def update(self, first: CentredGrams, second: CentredGrams) -> None:
        """Add one batch, or what a subset has of it.

        Args:
            first: Debiased, of the first network.
            second: Debiased, of the second network on the same samples.

        Raises:
            AuditError: If the samples differ in number, the layers do between batches, or either is
                not debiased.
        """
        if first.estimator != "debiased":
            raise AuditError(
                "CKA of batches is summed from debiased HSIC, whose mean over batches is that of "
                f"all samples; got the {first.estimator} one"
            )
        cross = first.hsic(second)
        if self.batches and self._cross.shape != cross.shape:
            raise AuditError(
                f"a batch has {len(first)} and {len(second)} layers where earlier batches had "
                f"{list(self._cross.shape)}: compare the same layers in every batch"
            )
        weight = first.n
        self._cross = self._cross + weight * cross
        self._self_a = self._self_a + weight * first.self_hsic()
        self._self_b = self._self_b + weight * second.self_hsic()
        self.n += weight
        self.batches += 1

    def matrix(self) -> Tensor:
        """CKA of every layer pair.

        Returns:
            [first layers, second layers], float64, in [−1, 1].

        Raises:
            AuditError: If no batch was added, or a layer's summed self-HSIC is zero.
        """
        if not self.batches:
            raise AuditError("CKA was asked for before any batch was added: call update first")
        require_signal(self._self_a)
        require_signal(self._self_b)
        ratio = self._cross / (self._self_a.sqrt()[:, None] * self._self_b.sqrt())
        return ratio.clamp(-1, 1)  # rounding takes matrices that are alike past 1
