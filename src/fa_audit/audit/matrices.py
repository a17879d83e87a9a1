"""Matrices: what became of the cells of one published matrix, counted together."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fa_audit.audit.verdict import Verdict, Word
from fa_audit.audit.wording import show


@dataclass(frozen=True)
class MatrixSummary:
    """The verdicts on the cells of one matrix, and how far our means are from its numbers."""

    matrix: str
    words: Mapping[Word, int]
    """How many cells have which verdict."""
    unit: str
    mean_distance: float | None
    """Mean of |ours − published| over the cells that have an estimate; None where none has."""
    largest_distance: float | None
    farthest: str
    """The claim of the cell where the distance is largest."""

    @property
    def cells(self) -> int:
        """The number of cells."""
        return sum(self.words.values())

    def __str__(self) -> str:
        counts = ", ".join(f"{self.words[word]} {word}" for word in Word if self.words.get(word))
        sentence = f"{self.matrix}, {self.cells} cells: {counts}"
        if self.mean_distance is None or self.largest_distance is None:
            return f"{sentence}."
        mean, most = show(self.mean_distance, self.unit), show(self.largest_distance, self.unit)
        return f"{sentence}; ours are {mean} off in the mean, {most} at most ({self.farthest})."


def summarise_matrices(verdicts: Sequence[Verdict]) -> tuple[MatrixSummary, ...]:
    """One summary for each matrix that has a cell among the verdicts, in their order.

    Args:
        verdicts: From one call of `judge`; those on no cell of a matrix are left out.
    """
    by_matrix: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.matrix:
            by_matrix[verdict.matrix].append(verdict)
    return tuple(_summary(matrix, cells) for matrix, cells in by_matrix.items())


def _summary(matrix: str, cells: Sequence[Verdict]) -> MatrixSummary:
    distances = {
        cell.claim: abs(cell.estimate - cell.published)
        for cell in cells
        if cell.estimate is not None and isinstance(cell.published, int | float)
    }
    farthest = max(distances, key=lambda claim: distances[claim], default="")
    return MatrixSummary(
        matrix=matrix,
        words=Counter(cell.word for cell in cells),
        unit=cells[0].unit,
        mean_distance=sum(distances.values()) / len(distances) if distances else None,
        largest_distance=distances.get(farthest),
        farthest=farthest,
    )
