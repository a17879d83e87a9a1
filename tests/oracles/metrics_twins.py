"""Slow, obvious float64 NumPy twins of the metrics, written from the definitions.

Nothing is imported from the package. Where a definition allows it the twin takes another road than
the code it checks: HSIC₁ as an average over quadruples, Procrustes as Bures on Gram matrices,
effective rank from eigenvalues.
"""

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def flat(features: ArrayLike) -> Array:
    features = np.asarray(features, dtype=np.float64)
    return features.reshape(len(features), -1)


# CKA


def gram(features: ArrayLike) -> Array:
    X = flat(features)
    X = X - X.mean(axis=0)
    return np.array([[sum(a * b for a, b in zip(x, y, strict=True)) for y in X] for x in X])


def hsic_biased(K: Array, L: Array) -> float:
    """tr(KHLH) / (n−1)²."""
    n = len(K)
    H = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(K @ H @ L @ H) / (n - 1) ** 2)


def hsic_debiased(K: Array, L: Array) -> float:
    """Song et al. 2012, equation 5, term by term."""
    n = len(K)
    K = K * (1 - np.eye(n))
    L = L * (1 - np.eye(n))
    one = np.ones(n)
    trace = np.trace(K @ L)
    product = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    chain = 2 / (n - 2) * (one @ K @ L @ one)
    return float((trace + product - chain) / (n * (n - 3)))


def hsic_quadruples(K: Array, L: Array) -> float:
    """The U-statistic itself: a mean over all ordered quadruples of distinct samples."""
    terms = [
        K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q])
        for i, j, q, r in itertools.permutations(range(len(K)), 4)
    ]
    return float(np.mean(terms))


def cka(X: ArrayLike, Y: ArrayLike, hsic=hsic_debiased) -> float:
    K, L = flat(X) @ flat(X).T, flat(Y) @ flat(Y).T  # HSIC does not need centred features
    return hsic(K, L) / math.sqrt(hsic(K, K) * hsic(L, L))


def minibatch_cka(
    layers_a: list[Array], layers_b: list[Array], size: int, members: ArrayLike | None = None
) -> Array:
    """Sums of HSIC₁ over consecutive whole batches of `size` samples, the ratio at the end.

    Of each batch only the samples that `members` says, and only where these are 4 or more; each
    batch counts as often as it has such samples.
    """
    result = np.zeros((len(layers_a), len(layers_b)))
    chosen = np.ones(len(layers_a[0]), dtype=bool) if members is None else np.asarray(members)
    for i, X in enumerate(layers_a):
        for j, Y in enumerate(layers_b):
            cross = own_x = own_y = 0.0
            for start in range(0, len(X) - size + 1, size):
                batch = np.arange(start, start + size)
                batch = batch[chosen[batch]]
                if len(batch) < 4:
                    continue
                K, L = (flat(F[batch]) for F in (X, Y))
                K, L = K @ K.T, L @ L.T
                cross += len(batch) * hsic_debiased(K, L)
                own_x += len(batch) * hsic_debiased(K, K)
                own_y += len(batch) * hsic_debiased(L, L)
            result[i, j] = cross / math.sqrt(own_x * own_y)
    return result


def bures_similarity(X: ArrayLike, Y: ArrayLike) -> float:
    """tr (K^½ L K^½)^½ / √(tr K · tr L) of the Gram matrices of centred features."""

    def root(M: Array) -> Array:
        values, vectors = np.linalg.eigh(M)
        values[values < 1e-12 * values.max()] = (
            0  # zero but for rounding, which a root would enlarge
        )
        return (vectors * np.sqrt(values)) @ vectors.T

    X, Y = flat(X), flat(Y)
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    K, L = X @ X.T, Y @ Y.T
    overlap = np.trace(root(root(K) @ L @ root(K)))
    return float(overlap / math.sqrt(np.trace(K) * np.trace(L)))


# Errors and weights


def angle(u: ArrayLike, v: ArrayLike) -> float:
    """arccos of the cosine, in degrees; good where the angle is neither near 0° nor near 180°."""
    u, v = np.ravel(u).astype(np.float64), np.ravel(v).astype(np.float64)
    return math.degrees(math.acos(u @ v / math.sqrt((u @ u) * (v @ v))))


def sign_angle(weight: ArrayLike, magnitude: ArrayLike | None = None) -> float:
    """arccos of E[|w||m|] / √(E[w²] E[m²]), or of E|w| / √E[w²]; no weight may be zero."""
    w = np.abs(np.ravel(weight)).astype(np.float64)
    m = np.ones_like(w) if magnitude is None else np.abs(np.ravel(magnitude)).astype(np.float64)
    cosine = (w * m).mean() / math.sqrt((w**2).mean() * (m**2).mean())
    return math.degrees(math.acos(min(cosine, 1.0)))  # rounding may lead beyond 1


def sign_concordance(weight: ArrayLike, feedback: ArrayLike) -> float:
    pairs = list(zip(np.ravel(weight), np.ravel(feedback), strict=True))
    agreeing = [
        (w > 0 and b > 0) or (w < 0 and b < 0) or (w == 0 and b == 0)  # the third case by choice
        for w, b in pairs
    ]
    return sum(agreeing) / len(pairs)


# Effective rank, from the eigenvalues of the Gram matrix


def effective_rank(matrix: ArrayLike, definition: str) -> float:
    M = flat(matrix)
    small = M @ M.T if M.shape[0] <= M.shape[1] else M.T @ M
    squares = [float(x) for x in np.linalg.eigvalsh(small).clip(min=0)]  # σ²
    sigma = [math.sqrt(x) for x in squares]

    def exp_entropy(weights: list[float]) -> float:
        total = sum(weights)
        return math.exp(-sum(w / total * math.log(w / total) for w in weights if w > 0))

    return {
        "entropy": lambda: exp_entropy(sigma),
        "entropy_squared": lambda: exp_entropy(squares),
        "participation": lambda: sum(sigma) ** 2 / sum(squares),
        "gram_participation": lambda: sum(squares) ** 2 / sum(x * x for x in squares),
        "stable": lambda: sum(squares) / max(squares),
    }[definition]()


# Channels


def channel_importance(activation: ArrayLike, gradient: ArrayLike, absolute: str) -> Array:
    activation, gradient = np.asarray(activation), np.asarray(gradient)
    n, C = activation.shape[:2]
    importance = np.zeros(C)
    for c in range(C):
        for i in range(n):
            product = gradient[i, c].mean() * activation[i, c].mean()
            importance[c] += (abs(product) if absolute == "before" else product) / n
    return importance


def top_images(activation: ArrayLike, channel: int, k: int) -> list[int]:
    means = [image[channel].mean() for image in np.asarray(activation)]
    return sorted(range(len(means)), key=lambda i: (-means[i], i))[:k]
