"""Ids as people read them."""

import pytest

from fa_audit.report.names import (
    base,
    is_control,
    measure_title,
    place_title,
    quantity_title,
    subject_title,
    with_titles,
)


@pytest.mark.parametrize(
    ("id", "title"),
    [
        ("bp", "BP"),
        ("usf_sn-spectral", "usf_sn-spectral"),
        ("fa_random~bp", "FA (Random) ~ BP"),
        ("bp~bp.other-seed", "BP ~ BP, other seed"),
        ("untrained.other-seed~bp", "untrained, other seed ~ BP"),
        ("bp~bp.shuffled", "BP ~ BP, shuffled images"),
        (
            "grid-fa_random.learning_rate=0.001.feedback_scale=0.01",
            "FA (Random) grid, lr 0.001, σ 0.01",
        ),
        ("usf_sn.learning_rate=1e-05.norm=spectral", "uSF SN, lr 1e-05, norm spectral"),
        ("fa_random.channels", "FA (Random), channels"),
        ("untrained.channels", "untrained, channels"),
        ("usf_sn.cost", "uSF SN, cost of a step"),
        ("bp+muon", "BP + Muon"),
        ("fa+bn+muon", "FA + BN + Muon"),
        ("fa+muon.learning_rate=0.01", "FA + Muon, lr 0.01"),
    ],
)
def test_subjects(id: str, title: str) -> None:
    assert subject_title(id) == title


def test_a_side_without_what_is_done_to_it() -> None:
    assert [base(one) for one in ("bp.other-seed", "bp.shuffled", "a.lr=0.1")] == [
        "bp",
        "bp",
        "a.lr=0.1",
    ]
    assert [base(one) for one in ("fa+muon.channels", "bp.cost")] == ["fa+muon", "bp"]


@pytest.mark.parametrize(
    ("id", "control"),
    [("fa_random~bp", False), ("bp~bp.other-seed", True), ("untrained~bp", True)],
)
def test_controls(id: str, control: bool) -> None:
    assert is_control(id) is control


def test_measures_and_places() -> None:
    assert measure_title("cka/all") == "CKA, all images"
    assert measure_title("local_angle/end") == "local angle, after training"
    assert measure_title("channel_count") == "channel count"
    assert measure_title("exemplar_brightness/conv2/signed") == (
        "brightness of exemplars, conv2, importance with sign"
    )
    assert measure_title("cost/stored") == "stored feedback"
    assert measure_title("effective_rank/error/start") == "effective rank, error, before training"
    assert place_title("test-set") == "of all test images"
    assert place_title("fc3/fc3") == "fc3"
    assert place_title("fc3/conv1") == "fc3 with conv1"


def test_ids_in_sentences_become_titles_and_nothing_else_does() -> None:
    parts = with_titles("fa and fa+muon, not fa-x", ["fa", "fa+muon"])
    assert parts == "FA and FA + Muon, not fa-x"
    sentence = "Least surely fa_toeplitz − bp = 3.2; bp. Not bpx, nor fa_toeplitz~bp."
    assert with_titles(sentence, ["bp", "fa_toeplitz"]) == (
        "Least surely FA (Toeplitz) − BP = 3.2; BP. Not bpx, nor fa_toeplitz~bp."
    )


def test_quantities_are_written_with_titles() -> None:
    assert quantity_title("fa_random~bp") == "FA (Random) ~ BP"
    assert quantity_title("bp − fa_random") == "BP − FA (Random)"
    assert quantity_title("(usf_sn − a+b) − (bp − x)") == "(uSF SN − (a + b)) − (BP − x)"
    assert quantity_title("bp+muon") == "BP + Muon"
    reason = with_titles("bp+muon − bp = 3; bp+muon wins.", ["bp", "bp+muon"])
    assert reason == "(BP + Muon) − BP = 3; BP + Muon wins."
