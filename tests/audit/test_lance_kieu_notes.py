"""The numbers that the notes on the five-rule study tell are those of its ledger."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from scipy import stats

from fa_audit.audit import load_claims
from fa_audit.audit.claims import ValueClaim
from fa_audit.audit.differences import paired_t
from fa_audit.audit.multiplicity import holm
from fa_audit.audit.statistics import prediction_interval
from fa_audit.study.cells import (
    ChannelCell,
    ComparisonCell,
    RunCell,
    UntrainedNetwork,
    study_cells,
)
from fa_audit.study.ledger import Ledger
from fa_audit.study.spec import load_study

FOLDER = Path(__file__).parents[2] / "reproductions" / "lance_kieu_2026"
STUDY = load_study(FOLDER)
LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
SIMILARITIES = {
    "BP of another seed (ceiling)": "bp~bp.other-seed",
    "uSF SN, same seed": "usf_sn~bp",
    "uSF SN, BP of another seed": "usf_sn~bp.other-seed",
    "uSF Init, same seed": "usf_init~bp",
    "uSF Init, BP of another seed": "usf_init~bp.other-seed",
    "BP's own untrained start (floor)": "untrained~bp",
    "untrained, another seed": "untrained.other-seed~bp",
    "two untrained networks": "untrained~untrained.other-seed",
    "FA (Toeplitz), same seed": "fa_toeplitz~bp",
    "FA (Random), same seed": "fa_random~bp",
    "FA (Toeplitz) at 1e-4, 20 epochs": "tuned-fa_toeplitz~bp",
    "FA (Random) at 1e-4, 20 epochs": "tuned-fa_random~bp",
    "BP, images shuffled (null)": "bp~bp.shuffled",
}


def rows() -> list[tuple[str, list[str]]]:
    """Name and cells of every line of a table in the notes, in their order."""
    found = []
    for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found.append((name, cells))
    return found


def as_printed(value: float) -> str:
    """.07, and 1.00; no value that rounds to zero has a sign."""
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00").removeprefix("0")


@pytest.mark.parametrize("name", SIMILARITIES)
def test_similarities_are_the_means_over_the_recorded_seeds(name: str) -> None:
    ledger, measured = Ledger(FOLDER / "ledger"), []
    for cell in study_cells(STUDY):
        if isinstance(cell, ComparisonCell) and cell.id == SIMILARITIES[name]:
            record = ledger.find(cell.id, cell.seed, cell.hash)
            if record is not None:
                measured.append(record.measurements["cka/all"]["values"])
    expected = [as_printed(mean(one[f"{layer}/{layer}"] for one in measured)) for layer in LAYERS]
    assert dict(rows())[name] == expected


def mean_of(cell_id: str, measure: str, at: str) -> float:
    """The mean of one measurement over the recorded seeds of a run."""
    ledger = Ledger(FOLDER / "ledger")
    found = [ledger.find(c.id, c.seed, c.hash) for c in study_cells(STUDY) if c.id == cell_id]
    return mean(one.measurements[measure]["values"][at] for one in found if one is not None)


@pytest.mark.parametrize("rate", ["1e-3", "3e-4", "1e-4", "3e-5", "1e-5"])
@pytest.mark.parametrize("scale", [".01", ".1"])
def test_learning_rates_below_the_grid_are_the_means_over_the_recorded_seeds(
    rate: str, scale: str
) -> None:
    settings = f"learning_rate={float(rate):g}.feedback_scale={float(scale):g}"
    expected = []
    for rule in ("fa_random", "fa_toeplitz"):
        cell = f"low-{rule}.{settings}"
        expected += [
            f"{mean_of(cell, 'validation_accuracy', 'best-validation'):.1f}",
            f"{mean_of(cell, 'train_loss', 'last'):.2f}",
        ]
    assert dict(rows())[f"{rate}, scale {scale}"] == expected


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("random convolutions, fc1 to fc3 trained", "random-convolutions"),
        ("random network, fc3 trained", "random-features"),
        ("uSF SN, Frobenius norm", "short-usf_sn.norm=frobenius"),
        ("uSF SN, spectral norm", "short-usf_sn.norm=spectral"),
        ("uSF Init, magnitude of B0, as in the code", "short-usf_init.magnitude=absolute"),
        ("uSF Init, B0 with its signs, as printed", "short-usf_init.magnitude=signed"),
    ],
)
def test_controls_of_ten_epochs_are_the_means_over_the_recorded_seeds(name: str, cell: str) -> None:
    assert dict(rows())[name] == [
        f"{mean_of(cell, 'test_accuracy', 'best-validation'):.1f}",
        f"{mean_of(cell, 'train_loss', 'last'):.2f}",
    ]


def test_fa_at_the_published_settings_has_the_accuracy_told() -> None:
    at = ("test_accuracy", "best-validation")
    random, toeplitz = (mean_of(rule, *at) for rule in ("fa_random", "fa_toeplitz"))
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"have {random:.1f} and {toeplitz:.1f} % at the best of 50 epochs" in text
    random, toeplitz = (mean_of(rule, at[0], "last") for rule in ("fa_random", "fa_toeplitz"))
    assert f"{random:.1f} and {toeplitz:.1f} % after the last" in text


def test_fa_at_a_tenth_of_the_rate_has_the_accuracy_told() -> None:
    at = ("test_accuracy", "best-validation")
    random, toeplitz = (mean_of(f"tuned-{rule}", *at) for rule in ("fa_random", "fa_toeplitz"))
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    told = f"have {random:.1f} and {toeplitz:.1f} % of the test images right at the best of 20"
    assert told in text


def told() -> str:
    """The notes on one line."""
    return " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())


def accuracies() -> dict[str, dict[int, float]]:
    """Test accuracies of the runs at the best validation epoch as recorded, by rule and seed."""
    ledger, recorded = Ledger(FOLDER / "ledger"), defaultdict[str, dict[int, float]](dict)
    for cell in study_cells(STUDY):
        if isinstance(cell, RunCell) and (record := ledger.find(cell.id, cell.seed, cell.hash)):
            accuracy = record.measurements["test_accuracy"]["values"]
            recorded[cell.id][cell.seed] = accuracy["best-validation"]
    return recorded


def measured_of() -> Iterator[tuple[str, str, int, float]]:
    """Of what is measured of weights: its kind, and rule, seed and accuracy of the weights."""
    ledger = Ledger(FOLDER / "ledger")
    for cell in study_cells(STUDY):
        sides: dict[str, RunCell | UntrainedNetwork] = {}
        if isinstance(cell, ComparisonCell):
            sides = {"rows": cell.rows, "columns": cell.columns}
        elif isinstance(cell, ChannelCell):
            sides = {"network": cell.network}
        record = ledger.find(cell.id, cell.seed, cell.hash) if sides else None
        if record is not None and "test_accuracy" in record.measurements:
            for side, network in sides.items():
                if isinstance(network, RunCell):
                    accuracy = record.measurements["test_accuracy"]["values"][side]
                    yield cell.kind, network.id, network.seed, accuracy


def test_runs_trained_again_elsewhere_are_as_many_and_as_near_as_told() -> None:
    recorded = accuracies()
    again = {
        (rule, seed, accuracy)
        for _, rule, seed, accuracy in measured_of()
        if accuracy != recorded[rule][seed]
    }
    outside = {}
    for rule, seed, accuracy in again:
        low, high = prediction_interval(list(recorded[rule].values()))
        if not low <= accuracy <= high:
            outside[rule, seed] = f"{accuracy:.2f} %, and the interval begins at {low:.2f}."
    assert outside.keys() == {("bp", 2)}
    text = told()
    assert f"knows {len(again)} whole runs trained again" in text
    assert f"{len(again) - 1} of them lie in that interval" in text
    assert f"the other, BP of seed 2, has {outside['bp', 2]}" in text


def test_runs_trained_again_on_a_like_processor_are_those_told() -> None:
    recorded = accuracies()
    rules = ("bp", "fa_random", "fa_toeplitz", "usf_init", "usf_sn")
    same = {
        (rule, seed)
        for _, rule, seed, accuracy in measured_of()
        if rule in rules and accuracy == recorded[rule][seed]
    }
    assert same == {*((rule, seed) for rule in rules for seed in (0, 2)), ("bp", 3)}
    assert f"All five rules at seeds 0 and 2 and BP at seed 3, {len(same)} runs" in told()


def test_dogs_among_the_images_that_excite_channels_are_counted_as_told() -> None:
    bp, usf_init, untrained = (
        mean_of(f"{network}.channels", "exemplar_classes/conv2/absolute", "dog")
        for network in ("bp", "usf_init", "untrained")
    )
    sentence = (
        f"{bp:.1f} are dogs under BP and {usf_init:.1f} under uSF Init, {untrained:.1f} in an"
    )
    assert sentence in told()


def test_distances_from_bp_in_both_draws_are_as_told() -> None:
    recorded = accuracies()
    again: dict[str, dict[int, float]] = defaultdict(dict)
    for kind, rule, seed, accuracy in measured_of():
        if kind == "channels" and accuracy != recorded[rule][seed]:
            again[rule][seed] = accuracy
    seeds = sorted(again["bp"])
    assert sorted(again["usf_sn"]) == sorted(again["usf_init"]) == seeds
    assert f"At seeds {seeds[0]} to {seeds[-1]} uSF SN" in told()

    def behind(rule: str, draw: dict[str, dict[int, float]]) -> tuple[str, str, str]:
        both = (np.array([draw[one][seed] for seed in seeds]) for one in ("bp", rule))
        found = paired_t(*both, 0.05)
        mean, low, high = (
            f"{x:.2f}".replace("-", "−").replace("0.", ".") for x in (found.mean, *found.interval)
        )
        return mean, low, high

    for rule, sentences in (
        (
            "usf_sn",
            (
                "uSF SN is {} points behind BP as recorded (95 % interval {} to {})",
                "and {} trained again ({} to {})",
            ),
        ),
        ("usf_init", ("uSF Init is {} ({} to {})", "and {} points ({} to {}) behind")),
    ):
        for sentence, draw in zip(sentences, (recorded, again), strict=True):
            assert sentence.format(*behind(rule, draw)) in told()


def test_published_similarities_of_fa_are_those_of_untrained_networks() -> None:
    ledger = Ledger(FOLDER / "ledger")
    cells = [cell for cell in study_cells(STUDY) if cell.id == "untrained~bp"]
    records = [ledger.find(cell.id, cell.seed, cell.hash) for cell in cells]
    floor = [one.measurements["cka/all"]["values"] for one in records if one is not None]
    assert len(floor) == 5
    published = {
        one.id: one.published
        for one in load_claims(FOLDER / "claims.toml").claims
        if isinstance(one, ValueClaim)
    }
    inside = 0
    for rule in ("fa_random", "fa_toeplitz"):
        for at in (f"{layer}/{layer}" for layer in LAYERS):
            low, high = prediction_interval([one[at] for one in floor])
            inside += low <= published[f"cka-all-{rule}/{at}"] <= high
    assert f"all {inside} lie in the 95 % prediction intervals of an untrained start" in told()
    assert inside == 2 * len(LAYERS)


def test_reproduced_cells_that_tell_no_groups_apart_are_counted_as_told() -> None:
    found = json.loads((FOLDER / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]
    verdicts = {one["claim"]: one for one in found if one["matrix"]}
    groups = (("fa_random", "fa_toeplitz"), ("usf_init", "usf_sn"))
    blind = 0
    for claim, verdict in verdicts.items():
        matrix, at = claim.split("/", 1)
        [own] = [rule for group in groups for rule in group if matrix.endswith(rule)]
        [others] = [group for group in groups if own not in group]
        theirs = [
            verdicts[f"{matrix.removesuffix(own)}{rule}/{at}"]["published"] for rule in others
        ]
        low, high = verdict["interval"] or (0.0, 0.0)
        if verdict["word"] == "reproduced":
            blind += any(low <= value <= high for value in theirs)
    assert f"Of those reproduced, {blind} do not tell the two groups of rules apart" in told()


def test_cells_of_the_matrices_are_counted_as_told() -> None:
    verdicts = json.loads((FOLDER / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]
    cells = [one for one in verdicts if one["matrix"]]
    words = Counter(one["word"] for one in cells)
    outside = sum("lies outside" in one["reason"] for one in cells)
    wide = sum("wider than" in one["reason"] for one in cells)
    assert words["not reproduced"] == 0
    assert words["reproduced"] + outside + wide == len(cells)
    text = told()
    assert f"Of the {len(cells)} cells of the paper's twelve matrices {words['reproduced']}" in text
    assert f"{outside} published values lie outside the 95 % prediction intervals" in text
    assert f"where {0.05 * len(cells):.0f} would by chance; the other {wide} lie inside" in text


def test_what_pairs_that_share_runs_could_do_to_verdicts_is_as_told() -> None:
    recorded = json.loads((FOLDER / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]
    # Values uₛ + uₛ₊₁ around a ring of n: their mean has variance 4σ²/n, but the expectation of
    # their sample variance is (2n − 4)/(n − 1) σ², of which a t interval takes the nth part.
    n = len(STUDY.seeds)
    wider = (4 * (n - 1) / (2 * n - 4)) ** 0.5
    decided = lost = 0
    for family in ("as-like-bp-as-bp", "shared-start-matters-not"):
        claims = [one for one in recorded if family in one["claim"]]
        assert {one["n"] for one in claims} == {n}
        p_values = []
        for one in claims:
            tail = 0.05 if one["interval_kind"].startswith("90") else 0.025
            error = wider * one["half_width"] / stats.t.isf(tail, n - 1)
            p_values.append(float(stats.t.sf((0.05 - abs(one["estimate"])) / error, n - 1)))
        for one, p, adjusted in zip(claims, p_values, holm(p_values), strict=True):
            if one["word"] in ("reproduced", "holds"):
                assert p < 0.05
                decided += 1
                lost += adjusted > 0.05
    assert f"intervals would be {wider:.2f} times as wide" in told()
    assert f"each of the {decided} claims decided would still be so by itself" in told()
    assert f"but {lost} no longer within its family" in told()


def test_the_grid_is_as_far_as_told() -> None:
    ledger = Ledger(FOLDER / "ledger")
    grid = [c for c in study_cells(STUDY) if isinstance(c, RunCell) and c.id.startswith("grid-")]
    there = sum(ledger.find(cell.id, cell.seed, cell.hash) is not None for cell in grid)
    text = told()
    assert f"of the grid {there} of {len(grid)} cells are there" in text


def test_published_similarities_stand_below_ours() -> None:
    claims = load_claims(FOLDER / "claims.toml").claims
    published = {one.id: one.published for one in claims if isinstance(one, ValueClaim)}
    told = {
        before: cells
        for (before, _), (name, cells) in zip(rows(), rows()[1:], strict=False)
        if name == "… published"
    }
    assert told == {
        name: [as_printed(published[f"cka-all-{rule}/{layer}/{layer}"]) for layer in LAYERS]
        for rule in ("usf_sn", "usf_init", "fa_toeplitz", "fa_random")
        for name, id in SIMILARITIES.items()
        if id == f"{rule}~bp"
    }
