"""What a reader should know before believing a number: gaps, divergence, runs cut short."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from fa_audit.audit import Change
from fa_audit.audit.wording import listed
from fa_audit.report.html import Html, tag
from fa_audit.report.material import Material
from fa_audit.report.names import configuration_title, subject_title
from fa_audit.report.provenance import loss_above_chance


def flags(material: Material, changes: Sequence[Change] = ()) -> Html | None:
    """The warnings of a study as a list; None where there are none.

    Args:
        material: What the report is made of.
        changes: How the verdicts differ from those recorded.
    """
    sentences = list(flag_sentences(material, changes))
    if not sentences:
        return None
    return tag("ul", (tag("li", one) for one in sentences), class_="flags")


def flag_sentences(material: Material, changes: Sequence[Change] = ()) -> Iterator[str]:
    """The warnings of a study, most serious first."""
    if material.evidence.stand_in:
        yield (
            "These are stand-in images drawn by a program. They show that the chain works and say "
            "nothing about any paper's data."
        )
    missing = [
        f"{subject_title(id)} seed {seed}"
        for id in material.evidence.records
        for seed in material.evidence.seeds_of(id)
        if seed not in material.runs(id)
    ]
    if missing:
        declared = len(missing) + len(material.records)
        yield (
            f"{len(missing)} of {declared} declared runs and measurements are missing: "
            f"{listed(missing)}."
        )
    few = len(material.study.seeds)
    if few < 3:
        seeds = "one seed" if few == 1 else f"{few} seeds"
        yield f"With {seeds} the spread between runs is hardly known; intervals are very wide."
    for ours, theirs, ids in _other_lengths(material):
        yield (
            f"Claims about {listed([configuration_title(id) for id in ids])} are about networks "
            f"trained for {_and(theirs)} epochs, ours have {_and(ours)}: such claims stay "
            "inconclusive, and published values beside ours are no comparison."
        )
    diverged = _by_configuration(material, "diverged")
    if diverged:
        yield f"Runs that diverged, counted like the others: {_named(diverged)}."
    above = {
        id: found
        for id in material.study.configurations
        if (found := [s for s, r in material.runs(id).items() if loss_above_chance(r)])
    }
    if above:
        yield (
            "The training loss ended above that of guessing, so the logits explode and accuracies "
            f"may come from that: {_named(above)}."
        )
    last = {
        id: found
        for id in material.configurations
        if (found := [s for s, r in material.runs(id).items() if _best_was_last(r.measurements)])
    }
    if last:
        yield f"The best epoch was the last one, so training had not ended: {_named(last)}."
    if changes:
        claims = listed([change.claim for change in changes])
        yield f"{len(changes)} verdicts differ from those recorded in verdicts.json: {claims}."


Epochs = tuple[int, ...]


def _other_lengths(material: Material) -> Iterator[tuple[Epochs, Epochs, list[str]]]:
    """Epochs of our runs, epochs of claims, and the configurations in which these differ so."""
    alike: dict[tuple[Epochs, Epochs], list[str]] = defaultdict(list)
    for id in material.study.configurations:
        ours, theirs = material.epochs_of([id]), material.published_epochs([id])
        if ours and any(epochs not in ours for epochs in theirs):
            alike[ours, theirs].append(id)
    for (ours, theirs), ids in alike.items():
        yield ours, theirs, ids


def _and(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers))


def _by_configuration(material: Material, status: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for record in material.records:
        if record.status == status:
            found[record.id].append(record.seed)
    return found


def _named(seeds: Mapping[str, Sequence[int]]) -> str:
    """Configurations with their seeds: "BP (seeds 0, 1)"."""
    return ", ".join(
        f"{configuration_title(id)} (seed{'s' if len(found) > 1 else ''} "
        f"{', '.join(map(str, found))})"
        for id, found in seeds.items()
    )


def _best_was_last(measurements: Mapping[str, Mapping[str, object]]) -> bool:
    values = measurements.get("epoch", {}).get("values", {})
    assert isinstance(values, Mapping)
    return bool(values) and values.get("best-validation") == values.get("last")
