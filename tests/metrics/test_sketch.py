"""The sketch of a long matrix against the exact effective rank, to the error it states."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fa_audit.errors import AuditError
from fa_audit.metrics import RowSketch, sampled_rows, spectrum_ranks
from fa_audit.metrics.rank import DEFINITIONS
from fa_audit.metrics.sketch import COLUMNS, ROWS
from oracles import metrics_twins as twins

SIZE = 50_000  # entries of a row, more than the columns, so that rows are folded
BOUND = {  # stated in fa_audit.metrics.sketch
    "stable": 0.30,
    "gram_participation": 0.05,
    "entropy_squared": 0.05,
    "participation": 0.04,
    "entropy": 0.02,
}
k = torch.arange(1, ROWS + 1, dtype=torch.float64)
SPECTRA = {
    "flat": torch.ones(ROWS, dtype=torch.float64),
    "rank deficient": (k <= 64).double(),
    "low rank": (k <= 12).double(),
    "geometric": 0.97**k,
    "steep": 0.9**k,
    "power law": k**-0.5,
    "steep power law": 1 / k,
    "rank one": (k == 1).double(),
}


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def directions():
    """Orthonormal rows [ROWS, SIZE], their energy spread unevenly over the entries."""
    uneven = torch.randn(SIZE, ROWS, generator=generator(0)) * torch.logspace(0, -2, SIZE)[:, None]
    return torch.linalg.qr(uneven).Q.T


@pytest.mark.parametrize("name", SPECTRA)
def test_a_sketch_of_a_known_spectrum_has_its_rank_to_the_stated_error(directions, name):
    sigma = SPECTRA[name]
    turned = torch.linalg.qr(torch.randn(ROWS, ROWS, generator=generator(1))).Q
    matrix = (turned * sigma.float()) @ directions
    sketch = RowSketch(SIZE, generator(2))
    for row, vector in enumerate(matrix):
        sketch.put(row, vector)
    assert tuple(sketch.kept.shape) == (ROWS, COLUMNS)
    exact, found = spectrum_ranks(sigma), sketch.ranks()
    for definition in DEFINITIONS:
        assert found[definition] == pytest.approx(exact[definition], rel=BOUND[definition])
    if name == "rank one":
        assert found == pytest.approx(exact, rel=1e-4)  # the rounding of float32 rows
    if name == "flat":  # the edge of Marchenko and Pastur, of which a finite SIZE takes some
        edge = (1 + math.sqrt(ROWS / COLUMNS)) ** 2
        assert 0.97 * ROWS / edge < found["stable"] < 0.9 * ROWS


def test_folding_keeps_inner_products_on_average_and_scatters_as_stated():
    x, y = torch.randn(2, 700, generator=generator(3))
    found = []
    for seed in range(400):
        sketch = RowSketch(700, generator(seed), rows=2, columns=64)
        sketch.put(0, x)
        sketch.put(1, y)
        found.append((sketch.kept[0] @ sketch.kept[1]).item())
    exact = (x @ y).item()
    variance = (x.square().sum() * y.square().sum() + (x @ y) ** 2).item() / 64
    values = torch.tensor(found)
    assert values.mean().item() == pytest.approx(exact, abs=4 * math.sqrt(variance / 400))
    assert values.var().item() == pytest.approx(variance, rel=0.3)


@given(st.integers(1, 40), st.integers(1, 40))
def test_every_entry_is_added_to_one_of_equally_full_columns(size, columns):
    sketch = RowSketch(size, generator(0), rows=1, columns=columns)
    counts = Counter()
    for entry in range(size):
        sketch.put(0, torch.eye(size)[entry])
        (column,) = sketch.kept[0].nonzero().flatten().tolist()
        assert abs(sketch.kept[0, column].item()) == 1
        counts[column] += 1
    assert len(counts) == min(size, columns)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("shape", [(6, 9), (9, 30), (1, 30)])
def test_rows_that_fit_are_kept_as_they_are(normal, shape):
    matrix = normal(0, *shape, dtype=torch.float32)
    sketch = RowSketch(shape[1], generator(0), rows=10, columns=30)
    for row, vector in enumerate(matrix):
        sketch.put(row, vector)
    for definition, value in sketch.ranks(shape[0]).items():
        assert value == pytest.approx(twins.effective_rank(matrix, definition), rel=1e-6)
    assert sketch.ranks() == pytest.approx(sketch.ranks(shape[0]), rel=1e-9)  # the rest is zero


@given(st.integers(1, 30), st.integers(1, 30))
def test_sampled_rows_are_always_as_many_different_steps_as_there_is_room_for(steps, rows):
    held = {}
    for step, row in enumerate(sampled_rows(steps, rows, generator(steps)).tolist(), 1):
        if row >= 0:
            held[row] = step
        assert len(held) == len(set(held.values())) == min(step, rows)
        assert max(held) == len(held) - 1


def test_every_step_is_equally_likely_to_be_held():
    steps, rows, draws = 12, 4, 6000
    counts, pairs = torch.zeros(steps), torch.zeros(steps, steps)
    for seed in range(draws):
        held = {}
        for step, row in enumerate(sampled_rows(steps, rows, generator(seed)).tolist()):
            if row >= 0:
                held[row] = step
        chosen = torch.zeros(steps)
        chosen[list(held.values())] = 1
        counts += chosen
        pairs += torch.outer(chosen, chosen)
    p = rows / steps
    assert (counts / draws - p).abs().max() < 4.5 * math.sqrt(p * (1 - p) / draws)
    q = rows * (rows - 1) / (steps * (steps - 1))
    gap = (pairs / draws - q)[~torch.eye(steps, dtype=torch.bool)].abs().max()
    assert gap < 4.5 * math.sqrt(q * (1 - q) / draws)


def test_few_of_many_steps_are_kept():
    kept = sampled_rows(17_600, ROWS, generator(0)) >= 0
    assert kept[:ROWS].all()
    assert kept.sum().item() == pytest.approx(ROWS * (1 + math.log(17_600 / ROWS)), rel=0.1)


def test_the_same_generator_gives_the_same_sketch_and_another_another():
    x = torch.randn(300, generator=generator(0))
    folded = []
    for seed in (1, 1, 2):
        sketch = RowSketch(300, generator(seed), rows=1, columns=20)
        sketch.put(0, x)
        folded.append(sketch.kept)
    assert torch.equal(folded[0], folded[1])
    assert not torch.equal(folded[0], folded[2])


@pytest.mark.parametrize("fill", [0.0, math.nan, math.inf])
def test_rows_without_a_rank_are_refused(fill):
    sketch = RowSketch(4, generator(0), rows=2, columns=4)
    sketch.put(0, torch.full((4,), fill))
    with pytest.raises(AuditError, match="effective rank needs"):
        sketch.ranks()


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (-1, 4), (5, 4)])
def test_a_sketch_that_could_not_show_the_rank_is_refused(rows, columns):
    with pytest.raises(AuditError, match=f"a sketch of {rows} rows .* be at least"):
        RowSketch(9, generator(0), rows=rows, columns=columns)
