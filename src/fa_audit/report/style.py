"""One style for the page and its figures: every colour once, for light and for dark.

Figures are drawn in the light colours. In a page each of these becomes a CSS variable, so that a
figure follows the reader's scheme; in a file they stay as they are.
"""

from collections.abc import Mapping
from typing import Any

from fa_audit.audit import Word

# Rule → colour on light and on dark ground. Pairs stay apart under the three kinds of colour
# blindness, and every colour has 3 : 1 against its ground: tests hold both.
RULE_COLOURS: Mapping[str, tuple[str, str]] = {
    "bp": ("#1d2126", "#eceff3"),
    "fa_random": ("#f55400", "#c2601c"),
    "fa_toeplitz": ("#552e04", "#e3c64e"),
    "usf_init": ("#4a90ea", "#9dc6ff"),
    "usf_sn": ("#0f29d5", "#5277e6"),
    "brsf": ("#1d625e", "#33e79f"),
    "kolen_pollack": ("#cc4ca7", "#d478aa"),
    "dfa": ("#886742", "#a68251"),
}
OTHER_RULE = ("#6b7280", "#9aa3b2")
"""The colour of a rule that has no row above."""

# What a page is made of. "-soft" colours are grounds for text of the same name.
COLOURS: Mapping[str, tuple[str, str]] = {
    "page": ("#f5f6f8", "#12151a"),
    "surface": ("#ffffff", "#1b1f26"),
    "ink": ("#20242a", "#e8ebf0"),
    "muted": ("#586070", "#a9b2c0"),
    "line": ("#d4d8df", "#3a414d"),
    "faint": ("#dfe2e8", "#353b46"),
    "link": ("#0b57b8", "#8ab8ff"),
    "good": ("#0b6b3a", "#6fd69b"),
    "good-soft": ("#e0f3e8", "#16352a"),
    "part": ("#0d6073", "#6fcbe0"),
    "part-soft": ("#dcf1f5", "#12343d"),
    "bad": ("#a32020", "#ff9a8f"),
    "bad-soft": ("#fbe5e3", "#43211f"),
    "open": ("#7a5200", "#f0c45a"),
    "open-soft": ("#fcf0d4", "#3b2f12"),
    "none": ("#4b5362", "#b4bcc9"),
    "none-soft": ("#e9ebef", "#2c323c"),
    "self": ("#6d3290", "#d3a5f2"),
    "self-soft": ("#f1e5f8", "#36224a"),
}

VERDICTS: Mapping[Word, tuple[str, str]] = {
    Word.REPRODUCED: ("good", "✓"),
    Word.DIRECTION_ONLY: ("part", "↗"),
    Word.NOT_REPRODUCED: ("bad", "✗"),
    Word.INCONCLUSIVE: ("open", "?"),
    Word.NOT_TESTABLE: ("none", "–"),
    Word.CONTRADICTED: ("self", "≠"),
    Word.HOLDS: ("good", "●"),
    Word.DOES_NOT_HOLD: ("bad", "○"),
}
"""Verdict → its colour, and the sign that says the same without colour."""

# What figures are drawn in.
INK, MUTED, LINE, FAINT = (COLOURS[name][0] for name in ("ink", "muted", "line", "faint"))

MATPLOTLIB: dict[Any, Any] = {
    "svg.hashsalt": "fa-audit",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look alike everywhere
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "figure.dpi": 100,
    "savefig.dpi": 160,
}


def rule_colour(rule: str) -> str:
    """The colour that figures draw a rule in."""
    return RULE_COLOURS.get(rule, OTHER_RULE)[0]


def rule_variable(rule: str) -> str:
    """The same in a page, as a CSS value."""
    return f"var(--rule-{rule.replace('_', '-') if rule in RULE_COLOURS else 'other'})"


def _variables() -> dict[str, tuple[str, str]]:
    rules = {f"rule-{rule.replace('_', '-')}": pair for rule, pair in RULE_COLOURS.items()}
    return {**COLOURS, **rules, "rule-other": OTHER_RULE}


def css_variables() -> str:
    """All colours as CSS variables; dark where the reader prefers it, light on paper."""

    def block(side: int) -> str:
        return "".join(f"--{name}:{pair[side]};" for name, pair in _variables().items())

    return (
        f":root{{color-scheme:light;{block(0)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{color-scheme:dark;{block(1)}}}}}\n"
    )


def drawn_variables() -> dict[str, str]:
    """Colour as drawn in a figure → the CSS value that stands for it in a page."""
    drawn = {"ink", "muted", "line", "faint"}
    return {
        pair[0]: f"var(--{name})"
        for name, pair in _variables().items()
        if name in drawn or name.startswith("rule-")
    }
