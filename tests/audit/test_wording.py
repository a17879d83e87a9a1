"""How numbers are put into words."""

import math

import pytest

from fa_audit.audit.statistics import Interval
from fa_audit.audit.wording import digits, show, span


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (75.0374, "75.04"),
        (-0.5, "−0.5"),
        (0.0, "0"),
        (1e-5, "1e-05"),
        (9999.4, "9999"),
        (10_009.6, "10,010"),
        (399_232, "399,232"),
        (-1_234_567, "−1,234,567"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_have_four_digits_and_large_ones_all(number: float, text: str) -> None:
    assert digits(number) == text


def test_units_follow_numbers_as_they_are_written() -> None:
    assert show(75.5, "%") == "75.5 %"
    assert show(30, "degrees") == "30°"
    assert show(0.5, "1") == "0.5"
    assert span(Interval(-1, 2), "points") == "−1 to 2 points"
