"""The slope of one number on another with other things held fixed, where observations cluster.

    y = β x + Z γ + e

β̂ comes from what Z leaves of x and y (Frisch & Waugh 1933, Lovell 1963). Observations of one
cluster may depend on each other in any way and scatter as they like; clusters are independent. With
few clusters the usual sandwich is far too small, so its residuals are adjusted such that it is
unbiased for independent errors of one variance (CR2), and t has the degrees of freedom that the
estimate of variance itself has in that case (Satterthwaite), which may be far fewer than clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fa_audit.audit.statistics import Interval

Array = NDArray[np.float64]

FEWEST_CLUSTERS = 4
"""With fewer that contribute, no interval is given."""

NOTHING = 1e-8
"""A vector shorter than this share of another is rounding: records hold nine digits."""

SATURATED = 1e-6
"""A share of cᵀc that is missing from the trace, above which residuals do not tell the variance."""

DETERMINED = 1e-8
"""An eigenvalue of M_gg below this is zero: along it a cluster's residuals are always zero."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, or why there is none."""

    value: float | None
    interval: Interval | None = None
    clusters: int = 0
    """How many clusters have a part in the value."""
    df: float | None = None
    """Degrees of freedom of the interval's t."""
    reason: str = ""
    """Why there is no interval; empty where there is one."""


class Slope(NamedTuple):
    """How y goes with x where Z is held fixed."""

    coefficient: Estimate
    """β̂, in units of y per unit of x."""
    correlation: Estimate
    """Partial correlation, in [−1, 1]: the coefficient in standard deviations of what is left."""


def indicators(labels: Sequence[object]) -> Array:
    """float64 [n, levels]: one column for each distinct label, 1 where it stands, else 0."""
    levels = list(dict.fromkeys(labels))
    return np.array([[float(label == level) for level in levels] for label in labels])


def clustered_slope(
    y: Array, x: Array, held: Array, clusters: Sequence[object], of: str, alpha: float = 0.05
) -> Slope:
    """The slope of y on x with Z held fixed, and the partial correlation.

        β̂ = cᵀy,  c = r / rᵀr,  r what Z leaves of x;  e = M y,  M the residual maker of [x, Z]
        V = Σ_g (p_gᵀ y)²,  p_g = M_·g (M_gg)^(−½) c_g;  β̂ ± t(ν, 1 − α/2) √V
        ν = (Σ_g p_gᵀp_g)² / Σ_gh (p_gᵀp_h)²
        partial correlation = β̂ ‖r‖ / ‖r_y‖, its interval scaled alike and cut at ±1

    Where each observation is a cluster of its own, V is the estimator HC2. The interval of the
    correlation leaves out zero exactly where that of the slope does; the farther from zero the
    correlation is, the more it covers beyond 1 − α.

    Args:
        y: [n].
        x: [n].
        held: Z, [n, k], with the constant, or indicators that sum to it. Columns may be collinear.
        clusters: The cluster of each observation.
        of: What a cluster is, for the reason where there is no interval.
        alpha: Error rate of the intervals, in (0, 1).

    Returns:
        Both without value where Z leaves nothing of x or y, or all of both is fitted; both without
        interval where fewer than `FEWEST_CLUSTERS` clusters contribute, or where the residuals of
        one that does are zero whatever y is.

    Source:
        Bell & McCaffrey (2002), Survey Methodology 28, 169–181; Pustejovsky & Tipton (2018),
        J. Bus. Econ. Stat. 36, 672–683, whose generalised inverse is taken where M_gg has none.
    """
    labels = list(dict.fromkeys(clusters))
    basis = _basis(held)
    left_x, left_y = (value - basis @ (basis.T @ value) for value in (x, y))
    impossible = ""
    if len(y) <= basis.shape[1] + 1:
        impossible = "as much is held fixed as there are runs"
    elif _vanishes(left_x, x):
        impossible = "the predictor does not vary where the rest is held fixed"
    elif _vanishes(left_y, y):
        impossible = "the outcome does not vary where the rest is held fixed"
    if impossible:
        none = Estimate(None, reason=_too_few(len(labels), of) or impossible)
        return Slope(none, none)

    c = left_x / (left_x @ left_x)
    maker = np.eye(len(y)) - basis @ basis.T - np.outer(left_x, c)
    members = [np.flatnonzero([one == label for one in clusters]) for label in labels]
    contributing = sum(not _vanishes(c[own], c) for own in members)
    adjusted = [_root(maker[np.ix_(own, own)]) @ c[own] for own in members]
    p = np.column_stack([maker[:, own] @ part for own, part in zip(members, adjusted, strict=True)])
    overlap = p.T @ p

    # What is held fixed has no part in β̂ or V; taken from y too, it adds no rounding either.
    slope = float(c @ left_y)
    scale = float(np.linalg.norm(left_x) / np.linalg.norm(left_y))
    correlation = _within_one(slope * scale)
    reason = _too_few(contributing, of)
    # For errors of one variance the trace is cᵀc, unless the fit leaves no residual to judge by.
    if not reason and np.trace(overlap) < (1 - SATURATED) * (c @ c):
        reason = f"one {of} decides, and the fit leaves it no residual"
    if reason:
        return Slope(
            Estimate(slope, None, contributing, None, reason),
            Estimate(correlation, None, contributing, None, reason),
        )
    df = float(np.trace(overlap) ** 2 / np.sum(overlap**2))
    reach = float(-special.stdtrit(df, alpha / 2) * np.linalg.norm(p.T @ left_y))
    low, high = slope - reach, slope + reach
    ends = Interval(_within_one(low * scale), _within_one(high * scale))
    return Slope(
        Estimate(slope, Interval(low, high), contributing, df),
        Estimate(correlation, ends, contributing, df),
    )


def _vanishes(part: Array, whole: Array) -> bool:
    return bool(np.linalg.norm(part) <= NOTHING * np.linalg.norm(whole))


def _too_few(clusters: int, of: str) -> str:
    """The reason for no interval where there are too few clusters; else empty."""
    plural = "" if clusters == 1 else "s"
    return f"{clusters} {of}{plural}" if clusters < FEWEST_CLUSTERS else ""


def _within_one(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _basis(columns: Array) -> Array:
    """An orthonormal basis of what the columns span, whatever their units."""
    lengths = np.linalg.norm(columns, axis=0)
    left, singular, _ = np.linalg.svd(columns[:, lengths > 0] / lengths[lengths > 0], False)
    basis: Array = left[:, singular > NOTHING * singular[0]]
    return basis


def _root(block: Array) -> Array:
    """(M_gg)^(−½), of the generalised inverse."""
    values, vectors = np.linalg.eigh(block)
    kept = values > DETERMINED
    root: Array = vectors[:, kept] / np.sqrt(values[kept]) @ vectors[:, kept].T
    return root
