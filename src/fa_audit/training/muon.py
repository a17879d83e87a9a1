"""Muon for the matrices of hidden layers, AdamW for everything else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from fa_audit.errors import AuditError

MOMENTUM = 0.95
STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class MuonWithAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` that takes convolutions too, and `torch.optim.AdamW` beside it.

    A weight [out, in, kh, kw] is presented as the matrix W [out, in · kh · kw], a weight [out, in]
    as it is. With G its gradient:

        M ← .95 M + .05 G
        U = q(q(q(q(q(X))))), X = (.05 G + .95 M) / ‖·‖_F, q(X) = a X + b XXᵀX + c (XXᵀ)²X
        W ← (1 − rate · decay) W − rate · √max(1, out / (in · kh · kw)) · U

    U has the singular vectors of X. A singular value σ of X becomes q(q(q(q(q(σ))))): between .681
    and 1.203 for every σ ≥ .002, .47 at .001, 485 σ near 0, and 0 where it is 0.

    So a momentum of rank one would give an update of rank one; but PyTorch computes U in bfloat16,
    and what rounding adds is amplified 485 times like any small singular value. From a gradient of
    rank one a weight of 128 × 576 gets an update with singular values of .70, .3, .3, … and an
    effective rank exp H(σ²) of about 30, a weight of 256 × 2,304 one of about 45: rounding, not
    anything that was learned. Where all σ ≥ .002, those of U stay within .003 of the range above.

    The scale is that of the flattened shape; the order of columns has no part in it, for
    q(XP) = q(X)P for every permutation P. Weights may lie in any memory format.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", with its
    constants; decay is an argument, where PyTorch's default is .1.

    Args:
        matrices: What Muon trains: weights of two or more axes, at least one.
        others: What AdamW trains (β 0.9, 0.999, ε 1e-8); may be none.
        muon_learning_rate: Muon's step size, > 0.
        learning_rate: AdamW's, > 0.
        weight_decay: That of both, ≥ 0, beside the gradient, not in it.

    Raises:
        AuditError: This PyTorch has no Muon; no matrices.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Sequence[nn.Parameter],
        *,
        muon_learning_rate: float,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise AuditError(
                f"optimizer is 'muon', which PyTorch {torch.__version__} does not have; "
                'use PyTorch 2.9 or newer, or optimizer = "adam"'
            )
        self._own = list(matrices)
        if not self._own:
            raise AuditError(
                "optimizer is 'muon', but no weight of a hidden layer is trained; train one, or "
                'use optimizer = "adam"'
            )
        # The base class runs the hooks of a step; rates and states are those of the two parts.
        super().__init__([*self._own, *others], {})
        self._flat = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in self._own]
        self._parts: dict[str, torch.optim.Optimizer] = {
            "muon": torch.optim.Muon(
                self._flat,
                lr=muon_learning_rate,
                weight_decay=weight_decay,
                momentum=MOMENTUM,
                nesterov=True,
                ns_coefficients=COEFFICIENTS,
                ns_steps=STEPS,
                adjust_lr_fn="original",
            )
        }
        if others:
            self._parts["adamw"] = torch.optim.AdamW(
                others, lr=learning_rate, weight_decay=weight_decay, fused=True
            )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient; no closure is called."""
        # Weights are copied anew each time: what holds them may be exchanged between steps.
        for own, flat in zip(self._own, self._flat, strict=True):
            flat.copy_(own.flatten(1))
            flat.grad = None if own.grad is None else own.grad.flatten(1)
        for part in self._parts.values():
            part.step()
        for own, flat in zip(self._own, self._flat, strict=True):
            own.copy_(flat.view(own.shape))
            flat.grad = None

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, of the same parameters."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
