"""Checks of the metrics: NumPy twins written from the definitions, and theorems."""

import math

import torch
from torch import Tensor

from fa_audit.metrics import (
    CentredGrams,
    MinibatchCKA,
    angles,
    channel_importance,
    cka,
    cka_features,
    effective_rank,
    effective_ranks,
    gram,
    hsic,
    mean_angle,
    predicted_angle,
    procrustes_similarity,
    sign_angle,
    sign_concordance,
    top_images,
)
from mutations.registry import check
from oracles import metrics_twins as twins
from rules.variants import array, normal


def assert_near(actual: float, expected: float, tolerance: float = 1e-10) -> None:
    assert abs(actual - expected) <= tolerance, f"{actual} instead of {expected}"


def related(n: int = 12) -> tuple[Tensor, Tensor]:
    """Two sets of features of n samples, neither centred, that have something in common."""
    X = normal(0, n, 5) + 2
    return X, normal(1, n, 3) + X[:, :3] - 1


def orthogonal(seed: int, p: int) -> Tensor:
    return torch.linalg.qr(normal(seed, p, p)).Q


# CKA


@check
def debiased_hsic() -> None:
    """HSIC₁ is the mean over all quadruples of distinct samples."""
    K, L = (gram(F) for F in related(6))
    assert_near(hsic(K, L).item(), twins.hsic_quadruples(array(K), array(L)))


@check
def biased_hsic() -> None:
    """HSIC₀ is tr(KHLH) / (n − 1)², also of features that are not centred."""
    K, L = (F @ F.T for F in related())
    assert_near(hsic(K, L, "biased").item(), twins.hsic_biased(array(K), array(L)))


@check
def cka_twin() -> None:
    """CKA, debiased and biased, is that of the NumPy twin."""
    X, Y = related()
    assert_near(cka(X, Y), twins.cka(array(X), array(Y)))
    assert_near(cka(X, Y, "biased"), twins.cka(array(X), array(Y), twins.hsic_biased))


@check
def cka_of_features() -> None:
    """The feature form of debiased CKA is the Gram form of the NumPy twin."""
    X, Y = related()
    assert_near(cka_features(X, Y), twins.cka(array(X), array(Y)))


@check
def cka_of_unrelated_features() -> None:
    """Of independent (64, 256) features CKA is near 0 debiased, and near .80 biased."""
    X, Y = normal(0, 64, 256), normal(1, 64, 256)
    assert abs(cka(X, Y)) < 0.05
    assert_near(cka(X, Y, "biased"), 0.80, 0.02)


@check
def cka_invariances() -> None:
    """CKA stays under turning, scaling, shifting and reordering; an invertible map changes it."""
    X, Y = related()
    for estimator in ("debiased", "biased"):
        value, order = cka(X, Y, estimator), torch.arange(len(X)).flip(0)
        assert_near(cka(3 * X @ orthogonal(2, 5) + 1, Y @ orthogonal(3, 3), estimator), value)
        assert_near(cka(X[order], Y[order], estimator), value)
        assert_near(cka(X, X, estimator), 1)
        stretched = X * torch.tensor([10.0, 1, 1, 1, 1])
        assert abs(cka(stretched, Y, estimator) - value) > 0.1


@check
def minibatch_cka() -> None:
    """Minibatch CKA is the ratio of sums of HSIC₁ over batches, weighted by their samples."""
    first, second = [normal(0, 18, 5), normal(1, 18, 4)], [normal(2, 18, 3)]
    second.append(first[0][:, :3] + normal(3, 18, 3))
    members = torch.arange(18) != 8
    total = MinibatchCKA()
    for batch in torch.arange(18).split(6):
        batch = batch[members[batch]]
        total.update(*(CentredGrams([gram(F[batch]) for F in one]) for one in (first, second)))
    layers = [[array(F) for F in one] for one in (first, second)]
    expected = twins.minibatch_cka(*layers, 6, members.numpy())
    assert abs(array(total.matrix()) - expected).max() < 1e-10


@check
def procrustes() -> None:
    """Procrustes similarity is the normalised Bures similarity of the centred Gram matrices."""
    X, Y = related()
    assert_near(procrustes_similarity(X, Y), twins.bures_similarity(array(X), array(Y)), 1e-6)


@check
def procrustes_of_turned_features() -> None:
    """Procrustes similarity of X with X turned, scaled and shifted is 1."""
    X, _ = related()
    assert_near(procrustes_similarity(X, 3 * X @ orthogonal(2, 5) + 1), 1)


# Angles


@check
def angle_twin() -> None:
    """The angle of two vectors is the arccos of their cosine, sample by sample."""
    u, v = normal(0, 5, 2, 3), normal(1, 5, 2, 3)
    for found, a, b in zip(angles(u, v).tolist(), array(u), array(v), strict=True):
        assert_near(found, twins.angle(a, b), 1e-9)


@check
def small_angles() -> None:
    """Angles near 0° are exact: 0 for equal vectors, 10⁻⁷ rad where that is the angle."""
    u = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    v = torch.tensor([[3.0, 4.0], [1.0, 1e-7]], dtype=torch.float64)
    equal, near = angles(u, v).tolist()
    assert equal == 0
    assert_near(near, math.degrees(1e-7), 1e-15)


@check
def vanishing_errors() -> None:
    """An angle does not depend on size, however small the vectors are."""
    u, v = normal(0, 5, 6), normal(1, 5, 6)
    assert (angles(1e-30 * u, 1e30 * v) - angles(u, v)).abs().max() < 1e-9


@check
def zero_errors() -> None:
    """A zero error has no angle: it is counted, and left out unless 90° is asked for by name."""
    u, v = normal(0, 4, 6), normal(1, 4, 6)
    u[1] = 0
    kept = [twins.angle(array(u)[i], array(v)[i]) for i in (0, 2, 3)]
    excluded, ninety = mean_angle(u, v), mean_angle(u, v, "ninety")
    assert (excluded.n, excluded.zeros, ninety.zeros) == (4, 1, 1)
    assert_near(excluded.angle, sum(kept) / 3, 1e-9)
    assert_near(ninety.angle, (sum(kept) + 90) / 4, 1e-9)


@check
def mean_of_angles() -> None:
    """The mean angle is the mean of the samples' angles, with the mean norms of both sides."""
    u, v = normal(0, 4, 6), normal(1, 4, 6)
    found = mean_angle(u, v)
    pairs = zip(array(u), array(v), strict=True)
    assert_near(found.angle, sum(twins.angle(a, b) for a, b in pairs) / 4, 1e-9)
    assert_near(found.norm_u, sum(math.sqrt(a @ a) for a in array(u)) / 4)
    assert_near(found.norm_v, sum(math.sqrt(b @ b) for b in array(v)) / 4)


@check
def predicted_angles() -> None:
    """The angle of independent errors is that of W and B read as vectors."""
    W, B = normal(0, 4, 5), normal(1, 4, 5)
    assert_near(predicted_angle(W, B), twins.angle(array(W), array(B)), 1e-9)
    assert_near(sign_angle(W), twins.sign_angle(array(W)), 1e-9)
    assert_near(sign_angle(W, B), twins.sign_angle(array(W), array(B)), 1e-9)


# Weights, gradients, channels


@check
def concordance() -> None:
    """Sign concordance is the fraction of equal signs; a zero agrees with a zero alone."""
    W = torch.tensor([1.0, -2, 0, 0, 3, -1, 2])
    B = torch.tensor([2.0, -1, 0, 5, 0, 1, -3])
    found = sign_concordance(W, B)
    assert_near(found.value, twins.sign_concordance(array(W), array(B)))
    assert (found.value, found.n) == (3 / 7, 7)


@check
def effective_rank_twin() -> None:
    """Each definition of effective rank is that of the NumPy twin, from eigenvalues."""
    matrix = normal(0, 5, 8) * torch.tensor([4.0, 2, 1, 1, 1, 1, 0.5, 0.1])
    for definition, found in effective_ranks(matrix).items():
        assert_near(found, twins.effective_rank(array(matrix), definition), 1e-9)
        assert_near(effective_rank(matrix, definition), found)


@check
def effective_rank_chain() -> None:
    """1 < stable < gram_participation < entropy_squared < participation < entropy < rank."""
    found = effective_ranks(torch.diag(torch.tensor([4.0, 3, 2, 1])))
    names = ("stable", "gram_participation", "entropy_squared", "participation", "entropy")
    values = [1.0, *(found[name] for name in names), 4.0]
    assert values == sorted(set(values))


@check
def importance() -> None:
    """Channel importance takes the absolute value image by image, or not at all."""
    activation, gradient = normal(0, 4, 3, 2, 2), normal(1, 4, 3, 2, 2)
    for absolute in ("before", "none"):
        expected = twins.channel_importance(array(activation), array(gradient), absolute)
        found = channel_importance(activation, gradient, absolute)
        assert abs(array(found) - expected).max() < 1e-12


@check
def images_of_a_channel() -> None:
    """The top images of a channel have its highest mean activations, of equals the earlier."""
    activation = normal(0, 6, 3, 2, 2)
    activation[4] = activation[1]
    found = top_images(activation, torch.tensor([2, 0]), 6)
    for channel, images in zip((2, 0), found.tolist(), strict=True):
        assert images == twins.top_images(array(activation), channel, 6)
