"""Similarity of two representations of the same n samples: linear CKA and orthogonal Procrustes.

CKA is the cosine between two centred Gram matrices. Each estimator of HSIC is one way of centring:

    biased       K̃ = HKH, H = I − 11ᵀ/n                          HSIC₀ = ⟨K̃, L̃⟩ / (n−1)²
    debiased     diagonal removed, then, off the diagonal,
                 K̃ᵢⱼ = Kᵢⱼ − rᵢ/(n−2) − rⱼ/(n−2) + s/((n−1)(n−2))  HSIC₁ = ⟨K̃, L̃⟩ / (n(n−3))
                 with row sums r and total s (diagonal zero again)

The second line is Song's unbiased estimator written as an inner product (Székely & Rizzo 2014), so
that each Gram matrix is centred once and all layer pairs then cost one matrix product. It also
shows that HSIC₁(K, K) ≥ 0 and |CKA| ≤ 1. The biased form is near 1 for unrelated features as soon
as p is large against n: for independent Gaussians it is about √(pq / ((n+p)(n+q))).
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from fa_audit.errors import AuditError

Estimator: TypeAlias = Literal["debiased", "biased"]

FEWEST_SAMPLES = 4  # HSIC₁ divides by n − 3

# Rows of a Gram matrix computed at a time. What lies below a block's diagonal is known by symmetry,
# which saves three eighths of the products for 256 samples.
BLOCK = 64

# A centred Gram matrix this small against the matrix it came from is what float32 leaves where
# nothing varies between samples, or only one sample differs from the rest. It holds for float64
# matrices too: what they were made of, such as a network's outputs on an accelerator, is float32.
NOISE_FLOOR = 1e-6


def gram(features: Tensor) -> Tensor:
    """Gram matrix of centred features.

    K = XXᵀ, X the features with each column's mean over the n samples subtracted.

    float32 features on the CPU are multiplied in float32, which is twice as fast and costs CKA less
    than 1e-5, unless single samples are some hundred times as large as the others: at a thousand
    times it may cost 3e-5, at ten thousand 3e-4. Give float64 features then. Everything else is
    multiplied in float64; on an accelerator that keeps a training loop's choice of TF32 out of the
    measurement. Autocast is off for these products.

    Args:
        features: [n, ...], any floating dtype; all but the first dimension are flattened.

    Returns:
        [n, n], float64, on the features' device.

    Raises:
        AuditError: if features have no second dimension, are empty, hold NaN or infinite values, or
            values whose products overflow.
    """
    X = _matrix(features)
    if X.dtype != torch.float32 or X.device.type != "cpu":
        X = X.double()
    X = _centred_columns(X)
    K = X.new_empty(len(X), len(X))
    with torch.autocast(X.device.type, enabled=False):  # else float32 would become bfloat16
        for start in range(0, len(X), BLOCK):
            rows = slice(start, start + BLOCK)
            K[rows, start:] = X[rows] @ X[start:].T
            K[start + BLOCK :, rows] = K[rows, start + BLOCK :].T
    K = K.double()
    _require_finite(K, features)
    return K


class CentredGrams:
    """K̃ of every layer of a network on the same n samples.

    HSIC of any two of them is an inner product, so a network centred once is compared with many
    others at the cost of one matrix product each.

    Args:
        grams: A Gram matrix [n, n] of each layer, n ≥ 4, or all as one tensor [layers, n, n].
        estimator: "debiased" or "biased".

    Attributes:
        n: Number of samples.
        estimator: How they were centred.

    Raises:
        AuditError: if a matrix is not square, is not finite or has n < 4, or if their n differ.
    """

    def __init__(self, grams: Sequence[Tensor] | Tensor, estimator: Estimator = "debiased") -> None:
        if estimator not in get_args(Estimator):
            raise AuditError(f"HSIC estimator {estimator!r} is unknown: use 'debiased' or 'biased'")
        stack = _stacked(grams)
        self.n = stack.shape[-1]
        self.estimator = estimator
        self._divisor = _divisor(self.n, estimator)
        self._centred = _centred(stack, estimator).flatten(1)

    def __len__(self) -> int:
        return len(self._centred)

    def hsic(self, other: "CentredGrams") -> Tensor:
        """HSIC of every layer with every layer of `other`, centred alike: [layers, its layers].

        Raises:
            AuditError: if `other` is of another number of samples or estimator.
        """
        self._require_alike(other)
        return self._centred @ other._centred.T / self._divisor

    def self_hsic(self) -> Tensor:
        """HSIC of every layer with itself, [layers]; never negative."""
        norms: Tensor = self._centred.norm(dim=1)
        return norms.square() / self._divisor

    def cosines(self, other: "CentredGrams") -> Tensor:
        """CKA of every layer with every layer of `other` on these samples: [layers, its layers].

        Raises:
            AuditError: if `other` is of another number of samples or estimator, or a self-HSIC is
                zero.
        """
        self._require_alike(other)
        # Divided by their norms first: products of extreme features would overflow or vanish.
        norms, others = self._centred.norm(dim=1), other._centred.norm(dim=1)
        require_signal(torch.cat([norms, others]))
        cosines: Tensor = (self._centred / norms[:, None]) @ (other._centred / others[:, None]).T
        # Rounding takes matrices that are alike past 1, and unlike biased ones below 0.
        return cosines.clamp(-1 if self.estimator == "debiased" else 0, 1)

    def _require_alike(self, other: "CentredGrams") -> None:
        _require_same_samples(self.n, other.n)
        if self.estimator != other.estimator:
            raise AuditError(
                f"Gram matrices centred for the {self.estimator} and for the {other.estimator} "
                "HSIC cannot be compared: give both the same estimator"
            )


def hsic(K: Tensor, L: Tensor, estimator: Estimator = "debiased") -> Tensor:
    """Hilbert-Schmidt independence criterion of two Gram matrices.

    HSIC₁ = [tr(K°L°) + 1ᵀK°1·1ᵀL°1/((n−1)(n−2)) − 2/(n−2)·1ᵀK°L°1] / (n(n−3)), the diagonals of
    K° and L° zero; "biased" is tr(KHLH)/(n−1)².

    Args:
        K: [n, n], n ≥ 4, as gram returns it.
        L: [n, n], of the same samples in the same order.
        estimator: "debiased" or "biased".

    Returns:
        Scalar, float64. The debiased one may be negative for two different matrices; for K = L it
        never is. Both are exactly zero where centring leaves K or L less than 1e-6 of its size off
        the diagonal ("biased": of its size), which float32's rounding may be, whatever the type of
        the matrix. A float64 matrix that varies less, such as a kernel much wider than the data or
        products of features far from the origin, is to be centred before: HKH has the same HSIC.

    Raises:
        AuditError: if a matrix is not square, is not finite or has n < 4, or if their n differ.

    Source: Song et al. 2012, equation 5; Nguyen et al. 2021, equation 3.
    """
    return CentredGrams([K], estimator).hsic(CentredGrams([L], estimator)).squeeze()


def cka(X: Tensor, Y: Tensor, estimator: Estimator = "debiased") -> float:
    """Linear centred kernel alignment of two sets of features, from all samples at once.

    CKA = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)), K = XXᵀ, L = YYᵀ.

    Args:
        X: [n, ...], n ≥ 4.
        Y: [n, ...], the same samples in the same order; it may have other features than X.
        estimator: "debiased" or "biased".

    Returns:
        In [−1, 1] debiased (0 expected for unrelated features), in [0, 1] biased; 1 for X = Y.

    Raises:
        AuditError: as gram and hsic do, and where a self-HSIC is zero; so where a few samples, some
            10⁴ times as large as the others, leave these no more than hsic takes for noise.

    Source: Kornblith et al. 2019; debiased as in Nguyen et al. 2021.
    """
    return CentredGrams([gram(X)], estimator).cosines(CentredGrams([gram(Y)], estimator)).item()


def cka_features(X: Tensor, Y: Tensor) -> float:
    """Debiased linear CKA from feature covariances: the same number, without a Gram matrix.

    HSIC₁ · n(n−3) = ‖XᵀY‖² − n/(n−2) · Σ xᵢyᵢ + Σxᵢ · Σyᵢ / ((n−1)(n−2)) for centred X and Y with
    squared row norms x and y. In float64, at a cost of n·p·q: for few features and many samples.

    Args:
        X: [n, ...], n ≥ 4.
        Y: [n, ...], the same samples in the same order.

    Returns:
        In [−1, 1], equal to `cka(X, Y)` in float64 up to rounding.

    Raises:
        AuditError: as cka does.

    Source: Kornblith et al. 2019 for the biased form; the debiased one follows from HSIC₁ since the
    rows of a centred Gram matrix sum to zero.
    """
    A, B = _centred_columns(_matrix(X).double()), _centred_columns(_matrix(Y).double())
    n = len(A)
    _require_same_samples(n, len(B))
    _require_enough_samples(n)

    def scaled_hsic(U: Tensor, V: Tensor) -> Tensor:
        u, v = U.square().sum(1), V.square().sum(1)
        removed = n / (n - 2) * (u @ v) - u.sum() * v.sum() / ((n - 1) * (n - 2))
        return (U.T @ V).square().sum() - removed

    _require_finite(A.square().sum(), X)
    _require_finite(B.square().sum(), Y)
    own = torch.stack([scaled_hsic(A, A), scaled_hsic(B, B)])
    size = torch.stack([A.square().sum(), B.square().sum()])
    require_signal(torch.where(own > (NOISE_FLOOR * size).square(), own, 0.0))
    return float((scaled_hsic(A, B) / own.sqrt().prod()).clamp(-1, 1))


def procrustes_similarity(X: Tensor, Y: Tensor) -> float:
    """How well the best rotation carries one set of features onto the other.

    ‖XᵀY‖_* / (‖X‖_F ‖Y‖_F), X and Y centred: the cosine of the angular Procrustes distance. The
    same number is the normalised Bures similarity tr (K^½ L K^½)^½ / √(tr K · tr L) of the Gram
    matrices. It weighs principal components by their variance where CKA weighs them by its square,
    which makes it CKA's companion. Like biased CKA it is a plug-in value that grows towards 1 for
    unrelated features when p is large against n: read it against a shuffled control.

    Args:
        X: [n, ...], n ≥ 2.
        Y: [n, ...], the same samples in the same order; it may have other features than X.

    Returns:
        In [0, 1]; 1 where Y is X rotated, scaled and shifted.

    Raises:
        AuditError: if n differs, features hold NaN or infinite values, or do not vary at all.

    Source: Williams et al. 2021 (distance); Harvey et al. 2024 (equality with Bures).
    """
    A, B = (_unit_norm(_centred_columns(_matrix(F).double())) for F in (X, Y))
    _require_same_samples(len(A), len(B))
    # With Aᵀ = QR, A may give way to Rᵀ: ‖AᵀB‖_* stays, and no matrix is larger than n × n.
    A, B = (torch.linalg.qr(F.T, mode="r").R.T for F in (A, B))
    return float(torch.linalg.svdvals(A.T @ B).sum().clamp(max=1))


def _matrix(features: Tensor) -> Tensor:
    if features.ndim < 2 or features.numel() == 0:
        raise AuditError(
            f"features must be [samples, ...] and not empty, got shape {list(features.shape)}"
        )
    X = features.detach()
    # No measure here depends on the order of a sample's features: they are taken as they lie in
    # memory, which saves a copy of images whose channels lie last.
    if X.ndim == 4 and X.is_contiguous(memory_format=torch.channels_last):
        X = X.permute(0, 2, 3, 1)
    return X.flatten(1)


def _centred_columns(X: Tensor) -> Tensor:
    # Taking the first sample away first makes a constant column exactly zero, not one rounding off.
    X = X - X[:1]
    return X.sub_(X.mean(0))


def _unit_norm(X: Tensor) -> Tensor:
    peak = X.abs().max()
    if not (peak.isfinite() and peak > 0):
        raise AuditError(
            f"features of {len(X)} samples are all alike or hold NaN or infinite values, so their "
            "similarity to others is undefined: measure a layer that responds to its input"
        )
    X = X / peak
    norm: Tensor = torch.linalg.matrix_norm(X)
    return X / norm


def _stacked(grams: Sequence[Tensor] | Tensor) -> Tensor:
    """Gram matrices of one batch as [layers, n, n], float64, after the checks that all share."""
    shapes = [list(K.shape) for K in grams]
    n = shapes[0][-1] if shapes and shapes[0] else 0
    if not shapes or any(shape != [n, n] for shape in shapes):
        raise AuditError(
            "CKA needs one square Gram matrix per layer, all of the same samples, got shapes "
            f"{shapes}: make them with gram"
        )
    _require_enough_samples(n)
    if isinstance(grams, Tensor):
        stack = grams.detach().double()
    else:
        stack = torch.stack([K.detach().double() for K in grams])
    if not stack.sum().isfinite():
        raise AuditError(
            "a Gram matrix holds NaN or infinite values: measure a run that did not diverge"
        )
    return stack


def _centred(K: Tensor, estimator: Estimator) -> Tensor:
    """K̃ of the module's docstring for a stack [layers, n, n], float64."""
    n = K.shape[-1]
    if estimator == "debiased":
        K = _hollow(K)
        rows = K.sum(-1, keepdim=True)
        total = rows.sum(-2, keepdim=True)
        shift = rows / (n - 2) - total / (2 * (n - 1) * (n - 2))
        centred = _hollow((K - shift).sub_(shift.mT))
    else:
        rows = K.mean(-1, keepdim=True)
        centred = K - rows - rows.mT + rows.mean(-2, keepdim=True)
    before, after = (torch.linalg.matrix_norm(M, keepdim=True) for M in (K, centred))
    return centred.mul_(after > NOISE_FLOOR * before)


def _hollow(K: Tensor) -> Tensor:
    K = K.clone()
    K.diagonal(dim1=-2, dim2=-1).zero_()
    return K


def _divisor(n: int, estimator: Estimator) -> int:
    return n * (n - 3) if estimator == "debiased" else (n - 1) ** 2


def _require_enough_samples(n: int) -> None:
    if n < FEWEST_SAMPLES:
        raise AuditError(f"CKA needs at least {FEWEST_SAMPLES} samples, got {n}: use more images")


def _require_same_samples(n: int, m: int) -> None:
    if n != m:
        raise AuditError(
            f"representations of {n} and {m} samples cannot be compared: use the same samples in "
            "the same order on both sides"
        )


def _require_finite(products: Tensor, features: Tensor) -> None:
    if not products.isfinite().all():
        raise AuditError(
            f"features of shape {list(features.shape)} hold NaN, infinite or overflowing values, "
            "so their similarity to others is undefined: measure a run that did not diverge"
        )


def require_signal(own: Tensor) -> None:
    """Refuse self-HSICs of which one is zero, negative or not finite."""
    if not bool(((own > 0) & own.isfinite()).all()):
        raise AuditError(
            f"self-HSIC is not a positive number ({own.tolist()}), so CKA is undefined: the "
            "features of a layer are the same for all samples, or for all but one"
        )
