"""Many questions at once: p-values adjusted for the number of chances to be wrong."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the chance of *any* false alarm in the family stays below α.

        p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) · p₍ⱼ₎), p sorted upwards

    Args:
        p_values: m p-values of one family declared beforehand; they may depend on each other.

    Returns:
        Adjusted p-values in the order given, each at least its raw one.

    Source:
        Holm (1979), Scand. J. Statist. 6, 65–70.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values: the *share* of false alarms stays below α.

        p̃₍ᵢ₎ = min over j ≥ i of min(1, m/j · p₍ⱼ₎), p sorted upwards

    For maps that are explored (layer × layer), where one false alarm among many is bearable.

    Args:
        p_values: m p-values, independent or positively dependent.

    Returns:
        Adjusted p-values in the order given, each at least its raw one.

    Source:
        Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57, 289–300.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty_like(p)
    factors = p.size / np.arange(p.size, 0, -1)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(p[order] * factors))
    return [float(value) for value in adjusted]
