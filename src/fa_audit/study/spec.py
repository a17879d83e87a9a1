"""study.toml: what is to be run, validated before anything runs."""

import dataclasses
import re
import tomllib
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from fa_audit.training.configuration import (
    DataSettings,
    ProbeSettings,
    RankSettings,
    RunConfiguration,
    TrainingSettings,
)

SUBSETS = ("all", "both-right", "reference-right-only")
CHECKPOINTS = ("best-validation", "last")

# What the ids of cells of [channels] and [cost] end with: "fa_random.channels", "fa_random.cost".
CHANNELS, COST = ".channels", ".cost"

# What an id, or a study's name, may hold, so that it can be part of a file name on every system.
_ID = re.compile(r"[a-z0-9][a-z0-9_.=+-]*")

_TRAINING_KEYS = tuple(entry.name for entry in dataclasses.fields(TrainingSettings))


@dataclass(frozen=True)
class ComparisonSettings:
    """Which networks are compared, and how.

    Attributes:
        pairs: Which, written as study.pairs says: "usf_sn~bp", "bp~bp.other-seed", "grid-*~bp".
        checkpoint: Which weights: "best-validation" or "last".
        batch_size: Images per minibatch of CKA.
        passes: Passes over the images, each in another order.
        subsets: Of the validation and test images: "all"; "both-right", those that both networks
            classify correctly; "reference-right-only", those that only the reference does, which is
            the network of the columns.
    """

    pairs: tuple[str, ...] = ()
    checkpoint: str = "best-validation"
    batch_size: int = 256
    passes: int = 1
    subsets: tuple[str, ...] = SUBSETS

    def __post_init__(self) -> None:
        if self.checkpoint not in CHECKPOINTS:
            raise AuditError(
                f"comparison.checkpoint is {self.checkpoint!r}; "
                f"choose one of: {', '.join(CHECKPOINTS)}"
            )
        if self.batch_size < 4:
            raise AuditError(
                f"comparison.batch_size is {self.batch_size}; CKA needs at least 4 images"
            )
        if self.passes < 1:
            raise AuditError(f"comparison.passes is {self.passes}; it must be at least 1")
        different = set(self.subsets)
        if not different or different - set(SUBSETS) or len(different) < len(self.subsets):
            raise AuditError(
                f"comparison.subsets is {list(self.subsets)}; "
                f"choose different ones from: {', '.join(SUBSETS)}"
            )


@dataclass(frozen=True)
class ChannelSettings:
    """Whose channels are looked at, and which images are to show what they answer to.

    Attributes:
        of: Configurations, and "untrained" for the start that all rules share. The weights are
            those of the checkpoint that comparisons use.
        class_: `class` in study.toml: the class over whose test images importance is averaged.
        layers: Names of convolutions.
        channels: How many of the most important channels of each layer.
        images: How many test images of highest mean activation for each of these channels.
        groups: Name → classes: exemplars are counted by class and, all together, by group.
    """

    of: tuple[str, ...] = ()
    class_: str = ""
    layers: tuple[str, ...] = ("conv1", "conv2")
    channels: int = 3
    images: int = 9
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_of("channels", self.of)
        if self.of and not self.class_:
            raise AuditError("[channels] lacks class; name the class whose images are looked at")
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise AuditError(f"channels.layers is {list(self.layers)}; name different convolutions")
        for name in ("channels", "images"):
            if getattr(self, name) < 1:
                raise AuditError(f"channels.{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class CostSettings:
    """Whose training steps are counted and timed beside which.

    Attributes:
        of: Configurations.
        reference: The configuration beside whose steps theirs are timed.
        repeats: At how many seeds, from the first that both declare on; all where there are fewer.
        rounds: How often the two take turns; the ratio of their times is a median over rounds.
    """

    of: tuple[str, ...] = ()
    reference: str = "bp"
    repeats: int = 1
    rounds: int = 20

    def __post_init__(self) -> None:
        _check_of("cost", self.of)
        for name in ("repeats", "rounds"):
            if getattr(self, name) < 1:
                raise AuditError(f"cost.{name} is {getattr(self, name)}; it must be at least 1")


def _check_of(table: str, of: tuple[str, ...]) -> None:
    for id in of:
        if of.count(id) > 1:
            raise AuditError(f"{table}.of has {id!r} twice; remove one of them")


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


Settings = typing.TypeVar(
    "Settings",
    DataSettings,
    ProbeSettings,
    RankSettings,
    TrainingSettings,
    ComparisonSettings,
    ChannelSettings,
    CostSettings,
)


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
    _known(
        "study.toml",
        content,
        ("name", "title", "source", "seeds", "network", "data", "training", "probe"),
        ("normalisation", "rank", "configurations", "comparison", "channels", "cost"),
    )
    seeds = _seeds(content.get("seeds"))
    network = content.get("network", RunConfiguration.network)
    normalisation = _normalisation(content, None)
    data = _settings("[data]", DataSettings, content.get("data", {}))
    probe = _settings("[probe]", ProbeSettings, content.get("probe", {}))
    rank = _settings("[rank]", RankSettings, content["rank"]) if "rank" in content else None
    training = content.get("training", {})
    if not isinstance(training, dict):
        raise AuditError("[training] must be a table")
    _known("[training]", training, _TRAINING_KEYS)
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
    comparison = _settings("[comparison]", ComparisonSettings, content.get("comparison", {}))
    channels = _settings("[channels]", ChannelSettings, content.get("channels", {}))
    cost = _settings("[cost]", CostSettings, content.get("cost", {}))
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
        title=_text(content, "title"),
        source=_text(content, "source"),
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
    name = _text(content, "name")
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
    rule = get_rule(_text(entry, "rule"))
    _known(
        where, entry, ("id", "rule", "seeds", "normalisation"), tuple(rule.options), _TRAINING_KEYS
    )
    own = {key: value for key, value in entry.items() if key in _TRAINING_KEYS}
    return RunConfiguration(
        rule=rule.name,
        seed=seed,
        data=data,
        training=_settings(where, TrainingSettings, {**training, **own}),
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
    name = _text(table, "normalisation")
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


def _settings(where: str, cls: type[Settings], values: Any) -> Settings:
    """Fill a dataclass of settings from a table, each value of the type its field declares."""
    if not isinstance(values, dict):
        raise AuditError(f"{where} must be a table")
    # A field called class_ is the key class, a word that Python keeps to itself.
    fields = {entry.name.rstrip("_"): entry for entry in dataclasses.fields(cls)}
    _known(where, values, tuple(fields))
    for name, entry in fields.items():
        required = (
            entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise AuditError(f"{where} lacks {name}")
    typed = {
        fields[name].name: _typed(f"{where} {name}", fields[name].type, value)
        for name, value in values.items()
    }
    return cls(**typed)


def _typed(name: str, declared: Any, value: Any) -> Any:
    """`value` if it has the declared type; whole numbers pass for floats."""
    if declared in (tuple[str, ...], tuple[str, ...] | None):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise AuditError(f"{name} is {value!r}; it must be a list of texts")
    if declared == Mapping[str, tuple[str, ...]]:
        if not isinstance(value, dict):
            raise AuditError(f"{name} is {value!r}; it must be a table")
        return {key: _typed(f"{name}.{key}", tuple[str, ...], of) for key, of in value.items()}
    permitted = typing.get_args(declared) or (declared,)
    if isinstance(value, dict) and Mapping[str, int] in permitted:
        return {key: _typed(f"{name}.{key}", int, of) for key, of in value.items()}
    if float in permitted and type(value) is int:
        return float(value)
    if type(value) in permitted:
        return value
    wanted = " or ".join(
        "table" if t == Mapping[str, int] else t.__name__ for t in permitted if t is not type(None)
    )
    raise AuditError(f"{name} is {value!r}; it must be of type {wanted}")


def _known(where: str, table: Mapping[str, Any], *keys: tuple[str, ...]) -> None:
    known = [key for group in keys for key in group]
    for key in table:
        if key not in known:
            raise AuditError(f"{where} has an unknown key {key!r}; it may have: {', '.join(known)}")


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise AuditError(f"{key} is missing or not a text")
    return value


def _no_duplicates(configurations: Mapping[str, RunConfiguration]) -> None:
    seen: dict[str, str] = {}
    for id, run in configurations.items():
        hash = replace(run, seed=0).hash
        if hash in seen:
            raise AuditError(
                f"configurations {seen[hash]!r} and {id!r} are the same; remove one of them"
            )
        seen[hash] = id
