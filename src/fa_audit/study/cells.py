"""Cells: the units a study consists of, in the order in which they are best worked through."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fa_audit.hashing import content_hash
from fa_audit.study.ledger import cell_stem
from fa_audit.study.spec import ComparisonSettings, Study
from fa_audit.training.configuration import RunConfiguration


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
class ComparisonCell:
    """The representations of one run compared with those of a reference."""

    rows: RunCell
    columns: RunCell
    settings: ComparisonSettings
    kind = "comparison"

    @property
    def id(self) -> str:
        """For example "fa_random~bp": rows first, the reference second."""
        return f"{self.rows.id}~{self.columns.id}"

    @property
    def seed(self) -> int:
        """The seed of the run that is compared with the reference."""
        return self.rows.seed

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides the result, as plain data: both runs and how they are compared."""
        return {
            "kind": self.kind,
            "rows": self.rows.configuration,
            "columns": self.columns.configuration,
            "comparison": {**asdict(self.settings), "subsets": list(self.settings.subsets)},
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
    for seed in study.seeds:
        runs = {id: RunCell(id, by_seed[seed]) for id, by_seed in study.configurations.items()}
        yield from runs.values()
        if study.reference is not None:
            reference = runs[study.reference]
            for run in runs.values():
                if run is not reference:
                    yield ComparisonCell(run, reference, study.comparison)
