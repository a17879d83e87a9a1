"""Cells: the units a study consists of, in the order in which they are best worked through."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from fa_audit.hashing import content_hash
from fa_audit.study.ledger import cell_stem
from fa_audit.study.pairs import UNTRAINED, Side
from fa_audit.study.settings import ChannelSettings, ComparisonSettings
from fa_audit.study.spec import CostPair, Study
from fa_audit.training.configuration import DataSettings, RunConfiguration


@dataclass(frozen=True)
class RunCell:
    """One network to be trained."""

    id: str
    run: RunConfiguration
    kind = "run"

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.run.seed

    @property
    def network(self) -> str:
        """Its network, a name in NETWORKS."""
        return self.run.network

    @property
    def normalisation(self) -> str | None:
        """That network's normalisation."""
        return self.run.normalisation

    @property
    def data(self) -> DataSettings:
        """Its images."""
        return self.run.data

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides the result, as plain data."""
        return self.run.to_json()

    @cached_property  # a process that waits asks for it again and again
    def hash(self) -> str:
        """SHA-256 of the configuration."""
        return self.run.hash

    @property
    def stem(self) -> str:
        """What the cell's files are called."""
        return cell_stem(self.id, self.seed, self.hash)


@dataclass(frozen=True)
class UntrainedNetwork:
    """A network that needs no run: the start that all rules share at a seed."""

    network: str
    seed: int
    data: DataSettings
    normalisation: str | None = None

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides what it computes, as plain data."""
        return {
            "kind": UNTRAINED,
            "network": self.network,
            **({"normalisation": self.normalisation} if self.normalisation else {}),
            "seed": self.seed,
            "initialisation": "shared",
            "data": {key: value for key, value in asdict(self.data).items() if value is not None},
        }

    @property
    def stem(self) -> str:
        """What it is called."""
        return f"{UNTRAINED}-s{self.seed}"


class _Measurement(ABC):
    """A cell that trains no network: what is measured of runs, or of their settings."""

    id: str
    seed: int

    @property
    @abstractmethod
    def runs(self) -> tuple[RunCell, ...]:
        """The runs whose weights it needs."""

    @property
    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """All that decides the result, as plain data."""

    @cached_property  # a process that waits asks for it again and again
    def hash(self) -> str:
        """SHA-256 of the configuration."""
        return content_hash(self.configuration)

    @property
    def stem(self) -> str:
        """What the cell's files are called."""
        return cell_stem(self.id, self.seed, self.hash)


@dataclass(frozen=True)
class ComparisonCell(_Measurement):
    """The representations of two networks compared.

    Attributes:
        id: As study.toml names the pair: "fa_random~bp", rows first.
        seed: The seed of its sides, but for one that is at the other seed.
        rows: The network whose layers are the rows.
        columns: The other one.
        settings: How they are compared.
        shuffled: Whether the images are shuffled for the columns.
    """

    id: str
    seed: int
    rows: RunCell | UntrainedNetwork
    columns: RunCell | UntrainedNetwork
    settings: ComparisonSettings
    shuffled: bool = False
    kind = "comparison"

    @property
    def runs(self) -> tuple[RunCell, ...]:
        """The runs whose weights it needs."""
        return tuple(side for side in (self.rows, self.columns) if isinstance(side, RunCell))

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides the result, as plain data: both networks and how they are compared."""
        return {
            "kind": self.kind,
            "seed": self.seed,
            "rows": self.rows.configuration,
            "columns": self.columns.configuration,
            "shuffled": self.shuffled,
            "comparison": {
                "checkpoint": self.settings.checkpoint,
                "batches": "of all images, shared by the subsets",
                "batch_size": self.settings.batch_size,
                "passes": self.settings.passes,
                "subsets": list(self.settings.subsets),
            },
        }


@dataclass(frozen=True)
class ChannelCell(_Measurement):
    """The channels of one network looked at.

    Attributes:
        id: "fa_random.channels".
        seed: The network's seed.
        network: The network.
        settings: Which channels, and how.
        checkpoint: Which weights.
    """

    id: str
    seed: int
    network: RunCell | UntrainedNetwork
    settings: ChannelSettings
    checkpoint: str
    kind = "channels"

    @property
    def runs(self) -> tuple[RunCell, ...]:
        """The run whose weights it needs; none for an untrained network."""
        return (self.network,) if isinstance(self.network, RunCell) else ()

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides the result, as plain data: the network and what is looked at."""
        return {
            "kind": self.kind,
            "seed": self.seed,
            "network": self.network.configuration,
            "channels": {
                "checkpoint": self.checkpoint,
                "class": self.settings.class_,
                "layers": list(self.settings.layers),
                "channels": self.settings.channels,
                "images": self.settings.images,
                "groups": {name: list(of) for name, of in self.settings.groups.items()},
            },
        }


@dataclass(frozen=True)
class CostCell(_Measurement):
    """The training step of one configuration counted, and timed beside another's.

    Attributes:
        id: "fa_random.cost".
        seed: The seed of both.
        pair: The two configurations.
        rounds: How often they take turns.
    """

    id: str
    seed: int
    pair: CostPair
    rounds: int
    kind = "cost"

    @property
    def runs(self) -> tuple[RunCell, ...]:
        """None: a step costs the same before and after training."""
        return ()

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides the result, as plain data: both runs and how often they take turns."""
        return {
            "kind": self.kind,
            "seed": self.seed,
            "run": self.pair.run.to_json(),
            "reference": self.pair.reference.to_json(),
            "cost": {"rounds": self.rounds},
        }


Cell = RunCell | ComparisonCell | ChannelCell | CostCell


def study_cells(study: Study) -> Iterator[Cell]:
    """All cells, seed by seed, so that a study that is stopped has whole seeds to show."""
    for seed in study.all_seeds:
        for id, by_seed in study.configurations.items():
            if seed in by_seed:
                yield RunCell(id, by_seed[seed])
        for id, pairs in study.comparisons.items():
            if seed in pairs:
                pair = pairs[seed]
                yield ComparisonCell(
                    id,
                    seed,
                    _network(study, pair.rows),
                    _network(study, pair.columns),
                    study.comparison,
                    pair.shuffled,
                )
        for id, sides in study.inspections.items():
            if seed in sides:
                network = _network(study, sides[seed])
                checkpoint = study.comparison.checkpoint
                yield ChannelCell(id, seed, network, study.channels, checkpoint)
        for id, costs in study.costs.items():
            if seed in costs:
                yield CostCell(id, seed, costs[seed], study.cost.rounds)


def _network(study: Study, side: Side) -> RunCell | UntrainedNetwork:
    if side.id == UNTRAINED:
        return UntrainedNetwork(study.network, side.seed, study.data, study.normalisation)
    return RunCell(side.id, study.configurations[side.id][side.seed])
