"""Change the rank of updates and nothing else: does accuracy follow?

If a low rank is what holds a rule back, then backpropagation with its updates cut to that rank must
lose as much, and the rule with updates of a higher rank must gain. An update is what one step of
the optimizer really changes, ΔW = W after − W before, as a matrix [out, in · kh · kw]: Adam does
not keep the rank of a gradient. Its Frobenius norm is kept, so a run does not learn worse for
taking smaller steps. With ΔW = U diag(σ) Vᵀ, σ descending:

- "truncate": the r leading directions, c · U_r diag(σ_r) V_rᵀ;
- "flatten": these, or all, at one size, c · U_r V_rᵀ: the effective rank becomes r by every
  definition; without r, that of all singular values above `NOISE` of the largest;
- "random-subspace": c · P ΔW with P the projection on r random directions of the smaller side,
  drawn anew for every layer and step: as few directions, but not the update's own.

What else could explain that accuracy changes, and the control that tells:

- Doing this at all: "truncate" with r at or above the number of rows or columns leaves every bit of
  the run as it is.
- Few directions, or the wrong ones: "random-subspace" at the same r. Truncation says something on
  rank only as far as it does better than this.
- Equal sizes help whatever they are applied to, as with Muon: "flatten" of backpropagation beside
  that of the rule. Only a gain that the rule has and backpropagation has not is a remedy.
- The number of directions, or their evenness: "flatten" to r beside "truncate" to r; both stay in
  the same r directions at the same norm.
- Longer steps along the directions that are left, by ‖ΔW‖ / ‖ΔW_r‖: the same r at lower learning
  rates.

r is to be taken from what the rule's own updates show (`effective_rank/update/…`), layer by layer:
the effective rank of a truncated update is at most r, and less where its spectrum decays.

First and last layer are left alone, as in the studies of Muon: images and classes bound their rank;
so are biases and everything that is not a Linear or Conv2d. Weights are float32, so an update has
rank r up to their rounding, about 1e-6 of its norm; that also decides what counts as zero.

Cost: the smaller Gram matrix and its eigenvectors in float64, the cheapest exact way of those tried
on one core (in ms: that; SVD in float32; SVD in float64): 64 × 1600 .9, 13, 13; 384 × 576 35, 89,
152; 256 × 2304 37, 222, 419. A step of architecture1 with 128 images takes half as long again.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure import measured_layers
from fa_audit.streams import stream
from fa_audit.training.configuration import TrainingSettings

NOISE = 1e-5
"""Singular values below this fraction of the largest are rounding, not directions."""


def truncate(update: Tensor, rank: int) -> Tensor:
    """c · U_r diag(σ_r) V_rᵀ: an update cut to its leading directions, at kept norm.

    Args:
        update: ΔW [m, p], float64.
        rank: r ≥ 1.

    Returns:
        [m, p] of rank r or less; the very tensor given if r ≥ min(m, p).
    """
    if rank >= min(update.shape):
        return update
    vectors, _ = _spectrum(update)
    leading = vectors[:, :rank]
    return _resized(leading @ (leading.T @ _wide(update)), update)


def flatten(update: Tensor, rank: int | None = None) -> Tensor:
    """c · U_r V_rᵀ: the leading directions of an update at one size, at kept norm.

    Args:
        update: ΔW [m, p], float64.
        rank: r ≥ 1; None for all directions above `NOISE`, of which there may be fewer than r too.

    Returns:
        [m, p], all singular values that are not zero being equal.
    """
    vectors, sigma = _spectrum(update)
    r = int((sigma > NOISE * sigma[0]).sum()) if sigma[0] > 0 else 0
    r = min(r, rank or r)
    even = (vectors[:, :r] / sigma[:r]) @ (vectors[:, :r].T @ _wide(update))
    return _resized(even, update)


def confine(update: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """c · P ΔW (or ΔW P): an update projected on r random directions of its smaller side.

    Args:
        update: ΔW [m, p], float64.
        rank: r ≥ 1.
        generator: Where the directions are drawn from, on the CPU: uniform over all subspaces.

    Returns:
        [m, p] of rank r or less, of the update's norm; the very tensor given if r ≥ min(m, p).
    """
    size = min(update.shape)
    if rank >= size:
        return update
    drawn = torch.randn(size, rank, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(drawn.to(update.device)).Q
    return _resized(basis @ (basis.T @ _wide(update)), update)


def _wide(update: Tensor) -> Tensor:
    return update if update.shape[0] <= update.shape[1] else update.T


def _spectrum(update: Tensor) -> tuple[Tensor, Tensor]:
    """Singular vectors of the smaller side [k, k] and singular values [k], the largest first."""
    wide = _wide(update)
    eigenvalues, vectors = torch.linalg.eigh(wide @ wide.T)
    return vectors.flip(1), eigenvalues.flip(0).clamp(min=0).sqrt()


def _resized(changed: Tensor, update: Tensor) -> Tensor:
    """`changed` in the orientation and of the norm of `update`; zero stays zero."""
    norm = changed.norm()
    scaled = changed * (update.norm() / norm) if norm > 0 else changed
    return scaled if scaled.shape == update.shape else scaled.T


class Intervention:
    """Changes every update of the hidden layers of one network, from hooks of its optimizer.

    Args:
        network: The network.
        settings: With an intervention.
        seed: The run's; random directions are a function of it, the layer and the step.

    Attributes:
        ranks: Hidden layer → r, of the layers whose updates are changed.
        steps: How many steps were taken; to be set where a run goes on.

    Raises:
        AuditError: The network has no hidden layer, or none of a name that is given.
    """

    def __init__(self, network: nn.Module, settings: TrainingSettings, seed: int) -> None:
        assert settings.intervention is not None
        self.kind, self.seed, self.steps = settings.intervention, seed, 0
        self.ranks = _ranks(hidden_layers(network), settings.intervention_rank)
        self._weights = {
            name: cast(nn.Parameter, network.get_submodule(name).weight) for name in self.ranks
        }
        self._before: dict[str, Tensor] = {}

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Change what `optimizer` does from its next step on."""
        optimizer.register_step_pre_hook(lambda *_: self._before_step())
        optimizer.register_step_post_hook(lambda *_: self._after_step())

    def _before_step(self) -> None:
        self.steps += 1
        self._before = {name: w.detach().clone() for name, w in self._weights.items()}

    @torch.no_grad()
    def _after_step(self) -> None:
        for name, weight in self._weights.items():
            before = self._before[name].flatten(1).double()
            update = weight.flatten(1).double() - before
            if not update.isfinite().all():
                continue  # the run is diverging and will be recorded as such
            changed = self._changed(name, update)
            if changed is not update:
                weight.copy_((before + changed).view(weight.shape))

    def _changed(self, name: str, update: Tensor) -> Tensor:
        rank = self.ranks[name]
        if self.kind == "flatten":
            return flatten(update, rank)
        assert rank is not None
        if self.kind == "truncate":
            return truncate(update, rank)
        return confine(update, rank, stream(self.seed, "intervention", name, self.steps))


def intervene(
    network: nn.Module, optimizer: torch.optim.Optimizer, settings: TrainingSettings, seed: int
) -> Intervention | None:
    """Attach the intervention that the settings name, if any.

    Raises:
        AuditError: The network has no hidden layer, or none of a name that is given.
    """
    if settings.intervention is None:
        return None
    intervention = Intervention(network, settings, seed)
    intervention.attach(optimizer)
    return intervention


def hidden_layers(network: nn.Module) -> tuple[str, ...]:
    """The Linear and Conv2d layers but the first and the last registered."""
    return measured_layers(network)[1:-1]


def _ranks(hidden: tuple[str, ...], given: int | Mapping[str, int] | None) -> dict[str, int | None]:
    if not hidden:
        raise AuditError(
            "intervention changes the updates of hidden layers, and this network has none; leave "
            "it out or take a network of three layers or more"
        )
    if not isinstance(given, Mapping):
        return dict.fromkeys(hidden, given)
    for name in given:
        if name not in hidden:
            raise AuditError(
                f"intervention_rank names {name!r}, which is no hidden layer; choose from: "
                f"{', '.join(hidden)}"
            )
    return dict(given)
