"""The checks pass on fa_audit as it is, and every wrong variant of it fails at least one."""

import pytest

from fa_audit.metrics import cka
from mutations.broken.layers import slide_back
from mutations.registry import BROKEN, CHECKS, Broken, Check, replace_function
from mutations.table import TABLE, catching, render


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_passes_on_the_code_as_it_is(check: Check) -> None:
    assert check.passes(), check.statement


@pytest.mark.parametrize("variant", BROKEN, ids=lambda variant: variant.name)
def test_a_wrong_variant_is_caught(variant: Broken) -> None:
    assert catching(variant), variant.sentence


def test_every_check_catches_something() -> None:
    caught = {check for variant in BROKEN for check in catching(variant)}
    assert caught == {check.id for check in CHECKS}


def test_the_table_is_the_one_written_down() -> None:
    assert render() == TABLE.read_text(encoding="utf-8"), "write it anew: python -m mutations"


def test_nothing_stays_broken() -> None:
    for variant in BROKEN:
        variant.failing(CHECKS[:1])
    assert all(check.passes() for check in CHECKS)


def test_a_variant_that_changes_nothing_is_caught_by_nothing() -> None:
    def same_error_another_way(patch: pytest.MonkeyPatch) -> None:
        """Convolutions send their errors by the right geometry, and HSIC is centred as ever."""
        slide_back(patch)
        replace_function(patch, cka, lambda *of: cka(*of))

    assert catching(Broken(same_error_another_way)) == ()


def test_names_are_unique_and_sentences_are_sentences() -> None:
    for names in ([check.id for check in CHECKS], [variant.name for variant in BROKEN]):
        assert len(names) == len(set(names))
    sentences = [check.statement for check in CHECKS] + [variant.sentence for variant in BROKEN]
    assert all(sentence.endswith(".") and len(sentence) > 10 for sentence in sentences)


def test_a_crash_is_no_catch() -> None:
    def crashing() -> None:
        """It crashes."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Check(crashing).passes()
