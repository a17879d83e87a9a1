"""Cells: the units a study consists of, in the order in which they are best worked through."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fa_audit.hashing import content_hash
from fa_audit.study.ledger import cell_stem
from fa_audit.study.pairs import UNTRAINED, Side
from fa_audit.study.spec import ComparisonSettings, Study
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
    def data(self) -> DataSettings:
        """Its images."""
        return self.run.data

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides the result, as plain data."""
        return self.run.to_json()

    @property
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

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides what it computes, as plain data."""
        return {
            "kind": UNTRAINED,
            "network": self.network,
            "seed": self.seed,
            "initialisation": "shared",
            "data": {key: value for key, value in asdict(self.data).items() if value is not None},
        }

    @property
    def stem(self) -> str:
        """What it is called."""
        return f"{UNTRAINED}-s{self.seed}"


@dataclass(frozen=True)
class ComparisonCell:
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

    @property
    def hash(self) -> str:
        """SHA-256 of the configuration."""
        return content_hash(self.configuration)

    @property
    def stem(self) -> str:
        """What the cell's files are called."""
        return cell_stem(self.id, self.seed, self.hash)


Cell = RunCell | ComparisonCell


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


def _network(study: Study, side: Side) -> RunCell | UntrainedNetwork:
    if side.id == UNTRAINED:
        return UntrainedNetwork(study.network, side.seed, study.data)
    return RunCell(side.id, study.configurations[side.id][side.seed])
