import pytest

from fa_audit.hashing import content_hash


def test_the_order_of_keys_does_not_matter_at_any_depth() -> None:
    a = {"x": 1, "y": {"p": [1, 2], "q": None}}
    b = {"y": {"q": None, "p": [1, 2]}, "x": 1}
    assert content_hash(a) == content_hash(b)


@pytest.mark.parametrize(
    "other",
    [{"x": [2, 1]}, {"x": [1, 2, 3]}, {"x": [1.0, 2]}, {"x": ["1", 2]}, {"y": [1, 2]}, [1, 2]],
)
def test_what_differs_has_another_hash(other: object) -> None:
    assert content_hash({"x": [1, 2]}) != content_hash(other)


def test_the_hash_is_that_of_the_canonical_json() -> None:
    # printf '{"a":[0.1,true],"b":"\\u00e9"}' | sha256sum    (GNU coreutils)
    expected = "dfe8b1599d7ad6b5e168be3365edd66a2e0223dc2660445239e2715df72d7441"
    assert content_hash({"b": "é", "a": [0.1, True]}) == expected


def test_what_is_not_a_number_has_no_hash() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_hash({"x": float("nan")})
