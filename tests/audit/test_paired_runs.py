"""Which runs are put beside the reference, and with which numbers."""

import csv
import io
from dataclasses import replace

import pytest

from audit.invented_pairs import comparison_record, evidence_of, pair, run_record
from fa_audit.audit import Record
from fa_audit.audit.paired_runs import paired_runs, to_csv


def test_a_run_has_its_settings_its_accuracy_and_its_similarity_layer_by_layer() -> None:
    records = pair("fa_random", 1, 36.5, (0.2, 0.4), feedback_scale=0.01, learning_rate=3e-3)
    (run,) = paired_runs(evidence_of(records)).runs
    assert (run.run, run.seed, run.rule, run.epochs) == ("fa_random", 1, "fa_random", 50)
    assert (run.learning_rate, run.feedback_scale, run.weight_decay) == (3e-3, 0.01, 0.0)
    assert (run.accuracy, run.checkpoint) == (36.5, "best-validation")
    assert dict(run.layers) == {"conv2": 0.2, "fc1": 0.4}
    assert run.mean == pytest.approx(0.3)


def test_accuracy_is_that_of_the_weights_compared() -> None:
    run = run_record("usf_sn", 0, 75.0)
    (last,) = paired_runs(evidence_of([run, comparison_record(run, (0.8, 0.8), "last")])).runs
    assert (last.checkpoint, last.accuracy) == ("last", 10.0)


def test_accuracy_is_the_comparisons_own_where_the_run_was_trained_again() -> None:
    run, comparison = pair("usf_sn", 0, 75.0, (0.8, 0.8))
    own = {"test_accuracy": {"values": {"rows": 74.5, "columns": 76.0}, "undefined": {}}}
    again = replace(comparison, measurements={**own, **comparison.measurements})
    (found,) = paired_runs(evidence_of([run, again])).runs
    assert found.accuracy == 74.5


def test_only_comparisons_with_the_reference_of_the_same_seed_count() -> None:
    run = run_record("usf_sn", 0, 75.0)
    other = comparison_record(run, (0.1, 0.1))
    strangers = [
        replace(other, id=id)
        for id in ("usf_sn~bp.other-seed", "usf_sn~bp.shuffled", "untrained~bp", "usf_sn~fa_random")
    ]
    assert paired_runs(evidence_of([run, *strangers])).runs == ()
    found = paired_runs(evidence_of([run, *strangers]), reference="fa_random")
    assert [one.run for one in found.runs] == ["usf_sn"]


def test_what_is_missing_or_undefined_is_left_out_by_name() -> None:
    missing = run_record("usf_sn", 0, 75.0)
    undefined = run_record("usf_sn", 1, 75.0)
    diverged = run_record("usf_sn", 2, None, status="diverged")
    records = [
        missing,
        undefined,
        comparison_record(undefined, (0.8, None)),
        diverged,
        comparison_record(diverged, (0.1, 0.1)),
        comparison_record(run_record("usf_sn", 3, 0), (0.1, 0.1)),
        *pair("usf_sn", 4, 76.0, (0.8, 0.8)),
    ]
    found = paired_runs(evidence_of(records))
    assert [run.seed for run in found.runs] == [4]
    assert found.left_out == {
        "usf_sn:0": "the record of the comparison is missing",
        "usf_sn:1": "CKA at fc1 is undefined; test accuracy 75 %",
        "usf_sn:2": "the record gives neither value nor reason",
        "usf_sn:3": "the record of the run is missing",
    }


def test_a_diverged_run_counts_as_any_other() -> None:
    found = paired_runs(evidence_of(pair("fa_random", 0, 10.0, (0.0, 0.1), status="diverged")))
    assert [(run.status, run.accuracy) for run in found.runs] == [("diverged", 10.0)]
    assert found.left_out == {}


def test_a_seed_that_is_not_declared_is_not_looked_at() -> None:
    records = [*pair("usf_sn", 0, 75.0, (0.8, 0.8)), *pair("usf_sn", 9, 99.0, (0.9, 0.9))]
    found = paired_runs(evidence_of(records, seeds=(0,)))
    assert [run.seed for run in found.runs] == [0]


def test_the_reference_itself_is_no_pair_and_one_run_counts_once() -> None:
    itself = run_record("bp.again", 0, 75.0)
    compared = comparison_record(itself, (1.0, 1.0))
    same = {**compared.configuration, "rows": compared.configuration["columns"]}
    run, comparison = pair("usf_sn", 0, 76.0, (0.8, 0.8))
    twice = [replace(one, id=f"again-{one.id}") for one in (run, comparison)]
    records = [itself, replace(compared, configuration=same)]
    found = paired_runs(evidence_of([*records, run, comparison, *twice]))
    assert [one.run for one in found.runs] == ["usf_sn"]
    assert found.left_out == {}


def test_the_reference_cut_short_is_no_pair_for_it_is_its_own_past() -> None:
    """A network is like its own first epochs for another reason than what it learnt."""
    early = {"epochs": 3, "weight_decay": 1e-4}
    short, slower = (
        run_record("bp.short", 0, 60.0, **early),
        run_record("bp.slow", 0, 55.0, **early),
    )
    reference = {
        **short.configuration,
        "training": {**short.configuration["training"], "epochs": 50},
    }

    def beside_it(run: Record) -> Record:
        compared = comparison_record(run, (0.9, 0.9))
        return replace(compared, configuration={**compared.configuration, "columns": reference})

    slower.configuration["training"]["learning_rate"] = 5e-4
    found = paired_runs(evidence_of([short, slower, beside_it(short), beside_it(slower)]))
    assert [one.run for one in found.runs] == ["bp.slow"]
    assert found.left_out == {"bp.short:0": "it is the reference itself, cut short"}


def test_variants_of_a_rule_are_rules_of_their_own_where_there_are_several() -> None:
    def rules(*records: object) -> list[str]:
        return [run.rule for run in paired_runs(evidence_of(records)).runs]

    plain = pair("usf_sn.a", 0, 75.0, (0.8, 0.8), options={"norm": "frobenius"})
    spectral = pair("usf_sn.b", 0, 75.0, (0.8, 0.8), options={"norm": "spectral"})
    assert rules(*plain) == ["usf_sn"]
    assert rules(*plain, *spectral) == ["usf_sn.norm=frobenius", "usf_sn.norm=spectral"]
    frozen = pair("bp.frozen", 0, 50.0, (0.8, 0.8), trained_layers=["fc2", "fc3"])
    faster = pair("bp.faster", 0, 70.0, (0.8, 0.8), learning_rate=1e-2, weight_decay=1e-4)
    assert rules(*frozen, *faster) == ["bp.trained_layers=fc2+fc3", "bp"]


def test_csv_gives_every_run_with_every_number() -> None:
    records = [
        *pair("fa_random", 0, 36.5, (0.2, 0.4), feedback_scale=0.01),
        *pair("usf_sn", 0, 75.0, (0.8, 0.9)),
    ]
    runs = paired_runs(evidence_of(records)).runs
    lines = list(csv.DictReader(io.StringIO(to_csv(runs))))
    assert [line["run"] for line in lines] == ["fa_random", "usf_sn"]
    assert [line["feedback_scale"] for line in lines] == ["0.01", ""]
    assert [float(line["mean"]) for line in lines] == pytest.approx([0.3, 0.85])
    assert [float(line["fc1"]) for line in lines] == [0.4, 0.9]
    assert set(lines[0]) == {
        *("run", "seed", "rule", "epochs", "learning_rate", "feedback_scale", "weight_decay"),
        *("status", "checkpoint", "accuracy", "mean", "conv2", "fc1"),
    }
    assert to_csv([]).count("\n") == 1
