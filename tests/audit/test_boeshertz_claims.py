"""The claims about rank collapse: graded, complete, and each answerable by its study's records."""

from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest

from fa_audit.audit import Claims, load_claims
from fa_audit.audit.claims import MeasuredClaim, OrderClaim, SingleClaim, SourceClaim, ValueClaim
from fa_audit.measure import measured_layers
from fa_audit.metrics.rank import DEFINITIONS
from fa_audit.networks import build_network
from fa_audit.rules import feedback_layers
from fa_audit.streams import stream
from fa_audit.study.ledger import Ledger, Record
from fa_audit.study.spec import Study, load_study
from fa_audit.training.trainer import untrained_network
from training.tiny import dataset

FOLDER = Path(__file__).parents[2] / "reproductions" / "boeshertz_2026"
FOLDERS = {"cifar10": FOLDER, "cifar100": FOLDER / "cifar100"}
CELLS = {rule + more for rule in ("bp", "fa") for more in ("", "+bn", "+muon", "+bn+muon")}
INTERVENTIONS = {"bp+cut", "bp+random", "bp+flat", "fa+flat"}
ALL = {"cifar10": CELLS | INTERVENTIONS, "cifar100": CELLS}
both = pytest.mark.parametrize("data", FOLDERS)


def study(data: str) -> Study:
    return load_study(FOLDERS[data])


def claims(data: str) -> Claims:
    return load_claims(FOLDERS[data] / "claims.toml")


@both
def test_eight_cells_at_three_seeds_that_differ_in_rule_normalisation_and_optimizer_alone(
    data: str,
) -> None:
    found = study(data)
    assert found.seeds == (0, 1, 2)
    assert found.configurations.keys() == ALL[data]
    for id, runs in found.configurations.items():
        run = runs[0]
        assert run.rule == ("bp" if id.startswith("bp") else "fa_toeplitz")
        assert (run.normalisation == "batch") == ("+bn" in id)
        assert (run.training.optimizer == "muon") == ("+muon" in id)
        assert run.training.muon_learning_rate == (0.02 if "+muon" in id else None)
    shared = {
        (run.training.epochs, run.training.learning_rate, run.training.weight_decay, run.data)
        for runs in found.configurations.values()
        for run in runs.values()
    }
    assert len(shared) == 1


@both
def test_every_claim_is_about_its_study_and_says_how_well_it_is_known(data: str) -> None:
    found = claims(data)
    assert found.data == study(data).data.name == data
    found.check_subjects(ALL[data])
    papers = [claim for claim in found.claims if claim.origin == "paper"]
    for claim in papers:
        assert claim.grade in ("abstract", "second-hand", "unknown"), claim.id
        if claim.grade == "unknown":
            assert isinstance(claim, SourceClaim), f"{claim.id}: nothing published to judge"
    assert {claim.grade for claim in papers} == {"abstract", "second-hand", "unknown"}


def test_interventions_change_the_rank_of_updates_and_nothing_else() -> None:
    found = study("cifar10").configurations
    for id in INTERVENTIONS:
        run, plain = found[id][0], found[id.partition("+")[0]][0]
        assert run.training.intervention is not None
        without = replace(run.training, intervention=None, intervention_rank=None)
        assert replace(run, training=without) == plain


def late_rank(record: Record, measured: str, layer: str) -> float:
    """The mean of exp H(σ) over the probed steps from 1,000 on."""
    series = record.series["rank"][measured]
    by_step = zip(series["step"], series[layer]["entropy"], strict=True)
    return mean(rank for step, rank in by_step if step >= 1000)


def test_the_table_of_the_notes_is_that_of_the_ledger() -> None:
    names = {
        "BP, updates cut to 20, 26 directions": "bp+cut",
        "BP, updates in 20, 26 random directions": "bp+random",
        "BP, updates flattened": "bp+flat",
        "FA, updates flattened": "fa+flat",
        **{
            f"{rule} + {more}": rule.lower() + added
            for rule in ("BP", "FA")
            for more, added in (("BN", "+bn"), ("Muon", "+muon"), ("both", "+bn+muon"))
        },
        "BP": "bp",
        "FA": "fa",
    }
    ledger, found = Ledger(FOLDER / "ledger"), {}
    for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if name in names:
            found[names[name]] = cells
    assert found.keys() == ALL["cifar10"]
    for id, cells in found.items():
        runs = study("cifar10").configurations[id]
        records = [ledger.find(id, seed, run.hash) for seed, run in runs.items()]
        known = [record for record in records if record is not None]
        assert len(known) == 3
        accuracies = [one.measurements["test_accuracy"]["values"]["last"] for one in known]
        low, high = min(accuracies), max(accuracies)
        assert cells[0] == f"{mean(accuracies):.1f} % ({low:.1f}–{high:.1f})"
        for measured, cell in zip(
            ("error", "gradient", "update", "trajectory"), cells[1:], strict=True
        ):
            ranks = [
                f"{mean(late_rank(one, measured, layer) for one in known):.0f}"
                for layer in ("conv2", "conv3")
            ]
            assert cell == ("–" if measured == "update" and "muon" in id else ", ".join(ranks))


def test_bps_updates_are_cut_to_the_rank_that_the_ledger_has_of_fas() -> None:
    ledger, runs = Ledger(FOLDER / "ledger"), study("cifar10").configurations
    records = [ledger.find("fa", seed, run.hash) for seed, run in runs["fa"].items()]
    known = [record for record in records if record is not None]
    assert len(known) == 3
    expected = {
        layer: round(mean(late_rank(record, "update", layer) for record in known))
        for layer in ("conv2", "conv3")
    }
    for id in ("bp+cut", "bp+random"):
        assert runs[id][0].training.intervention_rank == expected


def test_ranks_are_asked_for_where_they_will_be_recorded() -> None:
    layers = measured_layers(build_network("cnn4", 10, stream(0, "initialisation")))
    asked = [
        claim.measure.split("/")
        for claim in claims("cifar10").claims
        if isinstance(claim, MeasuredClaim) and claim.measure.startswith("effective_rank")
    ]
    assert asked
    for _, measured_object, layer, definition in asked:
        assert measured_object in ("error", "gradient", "trajectory")
        assert layer in layers
        assert definition in DEFINITIONS


def test_feedback_comes_from_the_distribution_of_the_weights() -> None:
    """FA's B0 is Gaussian with the standard deviation of the weights, which are Gaussian too."""
    run = study("cifar10").configurations["fa"][0]
    for layer in feedback_layers(untrained_network(run, dataset())).values():
        W, B = layer.weight.detach(), layer.feedback()
        assert W.shape == B.shape
        n = W.numel()
        assert float(B.std()) == pytest.approx(float(W.std()), rel=5 / n**0.5)
        for values in (W, B):  # a Gaussian's fourth moment is 3, a uniform's 1.8
            kurtosis = float((values / values.std()).pow(4).mean())
            assert kurtosis == pytest.approx(3, abs=5 * (24 / n) ** 0.5)


def test_the_cells_of_the_second_study_are_the_four_told() -> None:
    found = {
        claim.of: (claim.published, claim.grade)
        for claim in claims("cifar100").claims
        if isinstance(claim, ValueClaim) and claim.family == "cells"
    }
    assert found == {
        "fa": (1.4, "abstract"),
        "fa+bn": (37.1, "second-hand"),
        "fa+muon": (25.3, "second-hand"),
        "fa+bn+muon": (46.1, "abstract"),
    }


def test_nine_points_are_two_claims_of_which_one_contradicts_its_source() -> None:
    by_id = {claim.id: claim for claim in claims("cifar100").claims}
    over_bn, over_plain = by_id["nine-points-over-fa-with-bn"], by_id["nine-points-over-fa"]
    assert isinstance(over_bn, ValueClaim)
    assert (over_bn.of, over_bn.minus, over_bn.published) == ("fa+bn+muon", "fa+bn", 9)
    assert pytest.approx(over_bn.published, abs=over_bn.reading_error) == 46.1 - 37.1
    assert isinstance(over_plain, SourceClaim)
    assert over_plain.verdict == "contradicted by its own source"
    assert "44.7" in over_plain.evidence
    assert pytest.approx(44.7) == 46.1 - 1.4


@both
def test_gains_and_orders_of_the_abstract_are_judged(data: str) -> None:
    by_id = {claim.id: claim for claim in claims(data).claims}
    gain, best = by_id["muon-gains-more-under-fa"], by_id["both-are-best"]
    assert isinstance(gain, SingleClaim)
    assert gain.quantity == "(fa+muon − fa) − (bp+muon − bp)"
    assert isinstance(best, OrderClaim)
    assert best.groups[:2] == (("fa+bn+muon",), ("fa+bn", "fa+muon"))
