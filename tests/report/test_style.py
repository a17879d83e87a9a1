"""Colours: legible, told apart without full colour vision, and never the only sign."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from fa_audit.audit import Word
from fa_audit.report.style import (
    COLOURS,
    OTHER_RULE,
    RULE_COLOURS,
    VERDICTS,
    css_variables,
    drawn_variables,
)
from fa_audit.rules import RULES

Rgb = NDArray[np.float64]

# Simulation of full colour blindness on linear RGB: Machado, Oliveira & Fernandes 2009, table 1.
EYES = {
    "full colour": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: str) -> Rgb:
    """A colour "#rrggbb" as linear RGB, by the sRGB standard."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    low, high = sorted(float(linear(one) @ [0.2126, 0.7152, 0.0722]) for one in (first, second))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: Rgb) -> Rgb:
    """CIELAB of linear RGB under D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ rgb / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_contrast_formula_knows_its_ends() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme: int) -> None:
    colour = {name: pair[scheme] for name, pair in COLOURS.items()}
    pairs = [(text, ground) for text in ("ink", "muted", "link") for ground in ("page", "surface")]
    pairs += [(name, f"{name}-soft") for name, _ in VERDICTS.values()]
    pairs += [("open", "open-soft")]
    weak = {pair: contrast(colour[pair[0]], colour[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_lines_of_rules_have_the_contrast_of_graphics(scheme: int) -> None:
    surface = COLOURS["surface"][scheme]
    for rule, pair in {**RULE_COLOURS, "other": OTHER_RULE}.items():
        assert contrast(pair[scheme], surface) >= 3, rule


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", EYES)
def test_rules_are_told_apart(eyes: str, scheme: int) -> None:
    seen = {
        rule: lab(np.clip(EYES[eyes] @ linear(pair[scheme]), 0, 1))
        for rule, pair in RULE_COLOURS.items()
    }
    nearest = min(
        (float(np.linalg.norm(seen[a] - seen[b])), a, b) for a, b in itertools.combinations(seen, 2)
    )
    assert nearest[0] >= 20, nearest


def test_every_rule_has_a_colour_of_its_own() -> None:
    assert set(RULE_COLOURS) == set(RULES)
    assert len({*RULE_COLOURS.values(), OTHER_RULE}) == len(RULE_COLOURS) + 1


def test_every_verdict_has_a_sign_of_its_own_and_a_colour_by_what_it_means() -> None:
    assert set(VERDICTS) == set(Word)
    assert len({sign for _, sign in VERDICTS.values()}) == len(Word)
    colours: dict[str, set[Word]] = {}
    for word, (colour, _) in VERDICTS.items():
        colours.setdefault(colour, set()).add(word)
    shared = [words for words in colours.values() if len(words) > 1]
    assert shared == [{one for one in Word if one.affirms}, {one for one in Word if one.denies}]


def test_what_figures_are_drawn_in_follows_the_scheme() -> None:
    drawn = drawn_variables()
    light = [pair[0] for pair in RULE_COLOURS.values()]
    assert set(light) <= set(drawn)
    for variable in drawn.values():
        assert css_variables().count(f"{variable[4:-1]}:") == 2
