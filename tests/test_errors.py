"""What is said of a name that nothing has."""

import pytest

from fa_audit.errors import suggest


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        (["usf_sn", "fa_random"], "did you mean 'fa_random'?"),
        (["usf_sn", "bp"], "choose from: usf_sn, bp."),
        ({"usf_sn", "bp"}, "choose from: bp, usf_sn."),
        (
            [f"n{i}" for i in range(20)],
            "choose from: " + ", ".join(f"n{i}" for i in range(20)) + ".",
        ),
        ([f"n{i}" for i in range(30)], "choose from: n0, n1, n2, n3, n4, n5, n6, n7, and 22 more."),
    ],
    ids=["near", "few", "set", "twenty", "many"],
)
def test_the_nearest_name_or_which_there_are(known: list[str], sentence: str) -> None:
    assert suggest("fa_randm", known) == sentence
