"""study.toml: what is to be run, validated before anything runs."""

import dataclasses
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from fa_audit.errors import AuditError, suggest
from fa_audit.networks import require_normalisation
from fa_audit.rules import get_rule
from fa_audit.study.grid import grid
from fa_audit.study.pairs import (
    OTHER_SEED,
    SHUFFLED,
    UNTRAINED,
    NetworkPair,
    Side,
    pair_at_seeds,
    pairs_that_fit,
)
from fa_audit.study.settings import ChannelSettings, ComparisonSettings, CostSettings
from fa_audit.study.toml_tables import read_settings, read_text, require_known
from fa_audit.training.configuration import (
    DataSettings,
    ProbeSettings,
    RankSettings,
    RunConfiguration,
    TrainingSettings,
)

# What the ids of cells of [channels] and [cost] end with: "fa_random.channels", "fa_random.cost".
CHANNELS, COST = ".channels", ".cost"

# What an id, or a study's name, may hold, so that it can be part of a file name on every system.
_ID = re.compile(r"[a-z0-9][a-z0-9_.=+-]*")

_TRAINING_KEYS = tuple(entry.name for entry in dataclasses.fields(TrainingSettings))


@dataclass(frozen=True)
class CostPair:
    """A run whose training step is looked at, and the one whose step it stands beside."""

    run: RunConfiguration
    reference: RunConfiguration


@dataclass(frozen=True)
class Study:
    """A validated study.

    Attributes:
        name: Its name, that of its folder.
        title: What is studied, for people.
        source: The publication whose experiment it reruns, or what it is.
        seeds: Declared before running, for all configurations that declare none of their own; all
            of them are reported.
        network: The network of all runs, a name in NETWORKS.
        normalisation: That of all runs whose configuration names no other; None for none.
        data: The images of all runs.
        configurations: id → seed → the run.
        comparisons: id → seed → the networks compared.
        comparison: How they are compared.
        inspections: id, such as "usf_sn.channels" → seed → the network whose channels are looked
            at.
        channels: How they are.
        costs: id, such as "usf_sn.cost" → seed → whose steps are counted and timed.
        cost: How they are.
    """

    name: str
    title: str
    source: str
    seeds: tuple[int, ...]
    network: str
    normalisation: str | None
    data: DataSettings
    configurations: Mapping[str, Mapping[int, RunConfiguration]]
    comparisons: Mapping[str, Mapping[int, NetworkPair]]
    comparison: ComparisonSettings
    inspections: Mapping[str, Mapping[int, Side]]
    channels: ChannelSettings
    costs: Mapping[str, Mapping[int, CostPair]]
    cost: CostSettings

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of the study, then those that single configurations declare beside them."""
        by_id = [*self.configurations.values(), *self.costs.values()]
        own = [seed for by_seed in by_id for seed in by_seed]
        return tuple(dict.fromkeys([*self.seeds, *own]))


def load_study(path: Path, seeds: int | None = None) -> Study:
    """Read and validate a study.

    Args:
        path: study.toml, or the folder that holds it.
        seeds: Use only the first so many of the declared seeds, of the study and of each
            configuration that declares its own.

    Raises:
        AuditError: The file is missing, is not TOML, has a key that is not known, lacks one or
            holds a value that makes no sense.
    """
    file = path / "study.toml" if path.is_dir() else path
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise AuditError(f"there is no study at {file}; name a folder with a study.toml") from error
    except (OSError, ValueError, RecursionError) as error:
        raise AuditError(f"{file} cannot be read as TOML: {error}") from error
    try:
        return _parse(content, seeds)
    except AuditError as error:
        raise AuditError(f"{file}: {error}") from error


def _parse(content: dict[str, Any], first: int | None) -> Study:
    require_known(
        "study.toml",
        content,
        ("name", "title", "source", "seeds", "network", "data", "training", "probe"),
        ("normalisation", "rank", "configurations", "comparison", "channels", "cost"),
    )
    seeds = _seeds(content.get("seeds"))
    network = content.get("network", RunConfiguration.network)
    normalisation = _normalisation(content, None)
    data = read_settings("[data]", DataSettings, content.get("data", {}))
    probe = read_settings("[probe]", ProbeSettings, content.get("probe", {}))
    rank = read_settings("[rank]", RankSettings, content["rank"]) if "rank" in content else None
    training = content.get("training", {})
    if not isinstance(training, dict):
        raise AuditError("[training] must be a table")
    require_known("[training]", training, _TRAINING_KEYS)
    entries = content.get("configurations", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise AuditError("configurations must be tables, each under the heading [[configurations]]")
    configurations: dict[str, RunConfiguration] = {}
    declared: dict[str, tuple[int, ...]] = {}
    for id, entry in chain.from_iterable(map(grid, entries)):
        where = f"configuration {id!r}"
        _check_id(id, where, configurations)
        try:
            declared[id] = _seeds(entry["seeds"]) if "seeds" in entry else seeds
            seed = declared[id][0]
            configurations[id] = _configuration(
                entry, where, seed, data, probe, rank, training, network, normalisation
            )
        except AuditError as error:
            named = str(error).startswith(where)
            raise AuditError(str(error) if named else f"{where}: {error}") from error
    if not configurations:
        raise AuditError("there is no [[configurations]]; add one per rule to be run")
    _no_duplicates(configurations)
    _check_first(first, [seeds, *declared.values()])
    comparison = read_settings("[comparison]", ComparisonSettings, content.get("comparison", {}))
    channels = read_settings("[channels]", ChannelSettings, content.get("channels", {}))
    cost = read_settings("[cost]", CostSettings, content.get("cost", {}))
    for id in channels.of:
        _check_known("channels.of", id, (*configurations, UNTRAINED))
    for where, id in (("cost.reference", cost.reference), *(("cost.of", id) for id in cost.of)):
        if cost.of:
            _check_known(where, id, tuple(configurations))
    runs = {
        id: {seed: replace(run, seed=seed) for seed in declared[id][:first]}
        for id, run in configurations.items()
    }
    return Study(
        name=_name(content),
        title=read_text(content, "title"),
        source=read_text(content, "source"),
        seeds=seeds[:first],
        network=network,
        normalisation=normalisation,
        data=data,
        configurations=runs,
        comparisons={
            pair: pair_at_seeds(pair, declared, seeds, first)
            for pair in _pairs(comparison, configurations)
        },
        comparison=comparison,
        inspections={
            id + CHANNELS: {seed: Side(id, seed) for seed in declared.get(id, seeds)[:first]}
            for id in channels.of
        },
        channels=channels,
        costs={id + COST: _cost_pairs(runs, declared, id, cost) for id in cost.of},
        cost=cost,
    )


def _cost_pairs(
    runs: Mapping[str, Mapping[int, RunConfiguration]],
    declared: Mapping[str, tuple[int, ...]],
    id: str,
    cost: CostSettings,
) -> dict[int, CostPair]:
    """The first seeds that both declare, of those that are to be run."""
    shared = [seed for seed in declared[id] if seed in declared[cost.reference]]
    if not shared:
        raise AuditError(
            f"cost.of has {id!r}, which shares no seed with the reference {cost.reference!r}; "
            "declare one for both, or leave it out"
        )
    own, reference = runs[id], runs[cost.reference]
    return {
        seed: CostPair(own[seed], reference[seed])
        for seed in shared[: cost.repeats]
        if seed in own and seed in reference
    }


def _check_known(where: str, id: str, known: tuple[str, ...]) -> None:
    if id not in known:
        raise AuditError(
            f"{where} has {id!r}, but there is no such configuration; {suggest(id, known)}"
        )


def _pairs(comparison: ComparisonSettings, configurations: Collection[str]) -> list[str]:
    """All that are to be compared, each once."""
    pairs = [pair for text in comparison.pairs for pair in pairs_that_fit(text, configurations)]
    for pair in pairs:
        if pairs.count(pair) > 1:
            raise AuditError(f"comparison.pairs has {pair!r} twice; remove one of them")
    return pairs


def _name(content: Mapping[str, Any]) -> str:
    name = read_text(content, "name")
    if not _ID.fullmatch(name):
        raise AuditError(
            f"name is {name!r}; give the study one of small letters, digits and _ . = + -"
        )
    return name


def _check_id(id: str, where: str, others: Mapping[str, object]) -> None:
    if not _ID.fullmatch(id):
        raise AuditError(
            f"{where}: give it a rule and an id of small letters, digits and _ . = + -"
        )
    if id == UNTRAINED or id.endswith((OTHER_SEED, SHUFFLED)):
        raise AuditError(
            f"{where}: this id means something else in comparison.pairs; choose another"
        )
    if id.endswith((CHANNELS, COST)):
        raise AuditError(
            f"{where}: ids that end with {CHANNELS} or {COST} are those of measurements; "
            "choose another"
        )
    if id in others:
        raise AuditError(f"{where} stands twice; give each its own id")


def _configuration(
    entry: dict[str, Any],
    where: str,
    seed: int,
    data: DataSettings,
    probe: ProbeSettings,
    rank: RankSettings | None,
    training: dict[str, Any],
    network: Any,
    normalisation: str | None,
) -> RunConfiguration:
    """One configuration: a rule, its options, and what differs from the study's; at one seed."""
    if "rule" not in entry:
        raise AuditError("rule is missing")
    rule = get_rule(read_text(entry, "rule"))
    require_known(
        where, entry, ("id", "rule", "seeds", "normalisation"), tuple(rule.options), _TRAINING_KEYS
    )
    own = {key: value for key, value in entry.items() if key in _TRAINING_KEYS}
    return RunConfiguration(
        rule=rule.name,
        seed=seed,
        data=data,
        training=read_settings(where, TrainingSettings, {**training, **own}),
        network=network,
        options={key: value for key, value in entry.items() if key in rule.options},
        probe=probe,
        rank=rank,
        normalisation=_normalisation(entry, normalisation),
    )


def _normalisation(table: Mapping[str, Any], otherwise: str | None) -> str | None:
    """What a table says of normalisation; "none" takes away what the study has."""
    if "normalisation" not in table:
        return otherwise
    name = read_text(table, "normalisation")
    if name == "none":
        return None
    require_normalisation(name)
    return name


def _seeds(seeds: Any) -> tuple[int, ...]:
    valid = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not valid or not seeds or len(set(seeds)) != len(seeds):
        raise AuditError("seeds must be a list of different whole numbers, such as [0, 1, 2]")
    return tuple(seeds)


def _check_first(first: int | None, declared: Sequence[tuple[int, ...]]) -> None:
    longest = max(declared, key=len)
    if first is not None and not 1 <= first <= len(longest):
        raise AuditError(
            f"{first} seeds were asked for, but {len(longest)} are declared: {list(longest)}"
        )


def _no_duplicates(configurations: Mapping[str, RunConfiguration]) -> None:
    seen: dict[str, str] = {}
    for id, run in configurations.items():
        hash = replace(run, seed=0).hash
        if hash in seen:
            raise AuditError(
                f"configurations {seen[hash]!r} and {id!r} are the same; remove one of them"
            )
        seen[hash] = id
