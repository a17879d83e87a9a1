"""A part of a study, chosen by name: what `fa-audit run --only` does."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from fa_audit.errors import AuditError, suggest
from fa_audit.study.pairs import UNTRAINED, those_that_fit
from fa_audit.study.spec import Study

Value = TypeVar("Value")


def select(study: Study, names: Sequence[str]) -> Study:
    """The cells of a study that are named, and the runs whose weights these need.

    Args:
        study: The whole of it.
        names: "ID:SEED" for one cell, "ID" for a configuration, comparison or measurement at all
            its seeds, ":SEED" for everything at one seed. A * in an ID stands for any characters.

    Raises:
        AuditError: A name is not written so, or nothing is called so.
    """
    seeds: dict[str, Collection[int]] = {
        **study.configurations,
        **study.comparisons,
        **study.inspections,
        **study.costs,
    }
    chosen = {cell for name in names for cell in _named(name, seeds)}
    comparisons = _only(study.comparisons, chosen)
    inspections = _only(study.inspections, chosen)
    pairs = [pair for by_seed in comparisons.values() for pair in by_seed.values()]
    sides = [side for pair in pairs for side in (pair.rows, pair.columns)]
    sides += [side for by_seed in inspections.values() for side in by_seed.values()]
    needed = {(side.id, side.seed) for side in sides if side.id != UNTRAINED}
    return replace(
        study,
        configurations=_only(study.configurations, chosen | needed),
        comparisons=comparisons,
        inspections=inspections,
        costs=_only(study.costs, chosen),
    )


def _named(name: str, seeds: Mapping[str, Collection[int]]) -> set[tuple[str, int]]:
    """(id, seed) of all that is called so, given the seeds of every id."""
    id, _, seed = name.partition(":")
    ids = those_that_fit(id, seeds) if id else list(seeds)
    if not ids or ids[0] not in seeds:
        raise AuditError(
            f"--only {name}: there is no configuration or comparison {id!r}; {suggest(id, seeds)}"
        )
    among = {one: seeds[one] for one in ids}
    found = {(id, one) for id, own in among.items() for one in own if seed in ("", str(one))}
    if not found or not (id or seed):
        known = dict.fromkeys(one for own in among.values() for one in own)
        if not known:
            raise AuditError(
                f"--only {name}: no seed is left at which {id} can be made, such as a pair with "
                ".other-seed at a single seed; ask for more with --seeds"
            )
        raise AuditError(
            f"--only {name}: there is no such seed; write {id or 'ID'}:SEED with one of the seeds "
            f"{', '.join(map(str, known))}"
        )
    return found


def _only(
    by_id: Mapping[str, Mapping[int, Value]], chosen: Collection[tuple[str, int]]
) -> dict[str, dict[int, Value]]:
    kept = {
        id: {seed: value for seed, value in by_seed.items() if (id, seed) in chosen}
        for id, by_seed in by_id.items()
    }
    return {id: by_seed for id, by_seed in kept.items() if by_seed}
