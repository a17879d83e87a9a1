"""What the ledger says of the cost of a training step, against counts by hand."""

from pathlib import Path

import pytest
import torch

from fa_audit.errors import AuditError
from fa_audit.study import costs
from fa_audit.study.cells import CostCell, study_cells
from fa_audit.study.costs import cost_measurements
from fa_audit.study.output import OutputFolder
from fa_audit.study.run import epochs_of, open_cells
from fa_audit.study.selection import select
from fa_audit.study.spec import CostPair, Study
from study.reading import assert_complete, record
from study.tiny import dataset, do, results, write_study
from training.tiny import configuration

CPU = torch.device("cpu")
HEAD = '[[configurations]]\nrule = "bp"'
TABLE = '[cost]\nof = ["bp", "fa_toeplitz"]\nrounds = 2\n\n'
ADDED = (HEAD, TABLE + HEAD)
WEIGHTS = {"conv1": 4800, "conv2": 102_400, "fc1": 221_184, "fc2": 73_728, "fc3": 1920}
UNITS = 64 + 64 + 384 + 192 + 10
FEEDBACK = sum(WEIGHTS.values()) - WEIGHTS["conv1"]
DENSE = 2304 * 6400
# conv1 makes 20 × 20 outputs a channel, conv2 6 × 6; conv1 sends nothing down.
FORWARD = {**WEIGHTS, "conv1": 4800 * 400, "conv2": 102_400 * 36}
SENT = {**FORWARD, "conv1": 0}


def cost_cells(study: Study) -> list[CostCell]:
    return [cell for cell in study_cells(study) if isinstance(cell, CostCell)]


def cell(rule: str) -> CostCell:
    """A rule beside BP, with one round of timing."""
    scale = {"feedback_scale": 0.01} if rule.startswith("fa") else {}
    own = configuration(rule, **scale)
    return CostCell(f"{rule}.cost", 0, CostPair(own, configuration()), rounds=1)


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, dict[str, float]]]:
    """Rule → measure → values."""
    rules = ("fa_random", "fa_toeplitz", "usf_init", "usf_sn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "alternating_seconds", lambda *_, **__: ([1.0], [1.0]))
        measured = {rule: cost_measurements(cell(rule), dataset(), CPU) for rule in rules}
    for one in measured.values():
        assert_complete(one)
    return {
        rule: {name: one["values"] for name, one in measurements.items()}
        for rule, measurements in measured.items()
    }


def with_total(by_layer: dict[str, int]) -> dict[str, int]:
    return {**by_layer, "total": sum(by_layer.values())}


def test_counts_are_those_made_by_hand(found: dict[str, dict[str, dict[str, float]]]) -> None:
    for rule, measures in found.items():
        assert measures["cost/parameters"]["total"] == sum(WEIGHTS.values()) + UNITS
        assert measures["cost/forward"] == with_total(FORWARD)
        assert measures["cost/weight_gradient"] == with_total(FORWARD)
        sent = {**SENT, "conv2": DENSE} if rule == "fa_random" else SENT
        assert measures["cost/sent"] == with_total(sent)
    stored = {rule: measures["cost/stored"]["total"] for rule, measures in found.items()}
    same_shape = DENSE - WEIGHTS["conv2"] + FEEDBACK
    assert stored == {
        "fa_random": same_shape,
        "fa_toeplitz": FEEDBACK,
        "usf_init": FEEDBACK,
        "usf_sn": 0,
    }
    made = {rule: measures["cost/made"]["total"] for rule, measures in found.items()}
    assert made == {"fa_random": 0, "fa_toeplitz": 0, "usf_init": FEEDBACK, "usf_sn": FEEDBACK}
    for rule in ("usf_init", "usf_sn"):  # O(|W|): a few operations for each weight
        assert FEEDBACK <= found[rule]["cost/operations"]["total"] <= 10 * FEEDBACK


def test_ratios_are_those_of_the_counts(found: dict[str, dict[str, dict[str, float]]]) -> None:
    adds = 2 * sum(FORWARD.values()) + sum(SENT.values())
    dense = (adds - SENT["conv2"] + DENSE) / adds
    ratios = {rule: m["cost_ratio/multiply_adds"]["total"] for rule, m in found.items()}
    expected = {"fa_random": dense, "fa_toeplitz": 1, "usf_init": 1, "usf_sn": 1}
    assert ratios == pytest.approx(expected)
    parameters = sum(WEIGHTS.values()) + UNITS
    kept = found["usf_init"]["cost_ratio/kept"]["total"]
    assert kept == pytest.approx(1 + FEEDBACK / parameters)


def test_memory_is_more_by_the_feedback_that_is_stored(
    found: dict[str, dict[str, dict[str, float]]],
) -> None:
    for measures in found.values():
        memory, stored = measures["peak_memory"], 4 * measures["cost/stored"]["total"]
        ratio = measures["cost_ratio/peak_memory"]["total"]
        assert ratio == pytest.approx(memory["own"] / memory["reference"])
        # What the uSF rules make in a step is gone before the step needs most.
        assert memory["own"] - memory["reference"] == stored
    # Weights, gradients and two moments are there at least.
    assert found["usf_sn"]["peak_memory"]["reference"] > 4 * 4 * (sum(WEIGHTS.values()) + UNITS)


def test_memory_and_counts_are_the_same_each_time(
    found: dict[str, dict[str, dict[str, float]]],
) -> None:
    again = cost_measurements(cell("usf_init"), dataset(), CPU)
    for name, values in found["usf_init"].items():
        if "seconds" not in name:
            assert again[name]["values"] == values


def test_a_rule_beside_itself_takes_as_long() -> None:
    itself = CostCell("bp.cost", 0, CostPair(configuration(), configuration()), rounds=12)
    measures = cost_measurements(itself, dataset(), CPU)
    times = measures["cost_ratio/seconds"]["values"]
    assert times["lower-quartile"] <= times["median"] <= times["upper-quartile"]
    assert 0.7 < times["median"] < 1.4
    assert measures["cost_ratio/peak_memory"]["values"] == {"total": 1.0}
    assert measures["cost_ratio/multiply_adds"]["values"] == {"total": 1.0}


def test_the_ratio_of_times_is_the_median_of_the_rounds_and_not_of_their_sums(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, reference = [2.0, 3.0, 40.0, 2.0], [1.0, 1.0, 10.0, 2.0]
    monkeypatch.setattr(costs, "alternating_seconds", lambda *_, **__: (own, reference))
    measures = cost_measurements(cell("usf_sn"), dataset(), CPU)
    times = measures["cost_ratio/seconds"]["values"]
    assert times == {"lower-quartile": 1.75, "median": 2.5, "upper-quartile": 3.25}
    assert measures["step_seconds"]["values"] == {"own": 2.5, "reference": 1.5}


def test_a_study_records_costs_at_the_first_seed_and_trains_nothing_for_them(
    tmp_path: Path,
) -> None:
    study = select(write_study(tmp_path, ADDED), ["bp.cost", "fa_toeplitz.cost"])
    assert [(cell.id, cell.seed) for cell in study_cells(study)] == [
        ("bp.cost", 0),
        ("fa_toeplitz.cost", 0),
    ]
    assert do(study, tmp_path) == (sum(map(epochs_of, study_cells(study))), [])
    output = OutputFolder(tmp_path)
    assert open_cells(study, output) == []
    assert set(results(tmp_path)) == {f"{one.stem}.json" for one in cost_cells(study)}
    for one in cost_cells(study):
        found = record(output, one)
        assert (found.kind, found.status, found.series) == ("cost", "finished", {})
        assert found.provenance["threads"] == 1
        assert found.provenance["device"].startswith("cpu (")
        assert found.measurements["cost_ratio/seconds"]["n"] == 2


def test_repeats_are_the_first_seeds_that_both_declare(tmp_path: Path) -> None:
    more = ADDED[1].replace("rounds = 2", "repeats = 2")
    own_seeds = ("feedback_scale = 0.01", "feedback_scale = 0.01\nseeds = [7, 1, 3, 0]")
    bp_seeds = ('rule = "bp"\n\n', 'rule = "bp"\nseeds = [0, 1, 3]\n\n')
    study = write_study(tmp_path, (ADDED[0], more), own_seeds)
    found = [(cell.id, cell.seed) for cell in cost_cells(study)]
    assert found == [
        ("bp.cost", 0),
        ("fa_toeplitz.cost", 0),
        ("bp.cost", 1),
        ("fa_toeplitz.cost", 1),
    ]
    study = write_study(tmp_path, (ADDED[0], more), own_seeds, bp_seeds)
    assert sorted(study.costs["fa_toeplitz.cost"]) == [1, 3]
    alone = select(study, ["fa_toeplitz.cost:3"])
    assert [(cell.id, cell.seed) for cell in study_cells(alone)] == [("fa_toeplitz.cost", 3)]


def test_costs_leave_the_hashes_of_all_other_cells_as_they_are(tmp_path: Path) -> None:
    without = [cell.hash for cell in study_cells(write_study(tmp_path))]
    study = write_study(tmp_path, ADDED)
    assert [c.hash for c in study_cells(study) if not isinstance(c, CostCell)] == without


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"bp", ', '"sgd", ', "cost.of has 'sgd', but there is no such configuration; choose from"),
        ('"bp", ', '"untrained", ', "cost.of has 'untrained', but there is no such configuration"),
        ('"bp", ', '"fa_toeplitz", ', "cost.of has 'fa_toeplitz' twice; remove one of them"),
        ("rounds = 2", "rounds = 0", "cost.rounds is 0; it must be at least 1"),
        ("rounds = 2", "repeats = 0", "cost.repeats is 0; it must be at least 1"),
        ("rounds = 2", 'reference = "sgd"', "cost.reference has 'sgd', but there is no such"),
        (
            'rule = "bp"',
            'rule = "bp"\nseeds = [8]',
            "cost.of has 'fa_toeplitz', which shares no seed with the reference 'bp'; declare",
        ),
        (
            'rule = "bp"',
            'rule = "bp"\nid = "bp.cost"',
            "configuration 'bp.cost': ids that end with .channels or .cost are those of",
        ),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in ADDED[1]
    with pytest.raises(AuditError) as refusal:
        write_study(
            tmp_path, (ADDED[0], ADDED[1].replace(old, new)), ('pairs = ["fa_toeplitz~bp"]\n', "")
        )
    assert str(refusal.value).startswith(f"{tmp_path / 'study.toml'}: {sentence}")
