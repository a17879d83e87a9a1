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
        (9999.5, "10,000"),
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


def test_an_interval_has_the_digits_that_tell_its_ends_from_the_number_beside_it() -> None:
    near = Interval(0.474021, 0.5128)
    assert span(near, "fraction") == "0.474 to 0.5128"
    assert span(near, "fraction", beside=0.474) == "0.47402 to 0.5128"
    assert span(near, "fraction", beside=0.5) == "0.474 to 0.5128"
    assert span(Interval(0.474, 0.5), "fraction", beside=0.474) == "0.474 to 0.5"
    assert span(Interval(0.474 * (1 - 1e-12), 0.5), "fraction", beside=0.474) == "0.474 to 0.5"
    assert span(Interval(9_999.6, 12_000.4), "images", beside=12_000) == "10,000 to 12,000 images"
