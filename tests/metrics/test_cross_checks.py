"""CKA and effective rank against other packages of the optional group `cross`.

Each package was read before it was believed: what it computes stands beside its row, and where that
is not what its name or its documentation says, a test asserts what it does instead. A package that
is not installed skips its own tests.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fa_audit.measure import compare
from fa_audit.metrics import cka, effective_ranks, hsic
from fa_audit.metrics.rank import DEFINITIONS


def package(name: str) -> Any:
    """A module of another package; skips the test where it is not installed."""
    return pytest.importorskip(name, reason=f"{name} of the optional group `cross` is missing")


# CKA of two sets of features, float64


def ckatorch_debiased(X: Tensor, Y: Tensor) -> float:
    """Gram matrices centred by Székely & Rizzo's formula, diagonals removed."""
    return package("ckatorch").cka_base(X, Y, unbiased=True).item()


def ckatorch_batch(X: Tensor, Y: Tensor) -> float:
    """HSIC₁ term by term."""
    return package("ckatorch").cka_batch(X[None], Y[None]).item()


def ckatorch_biased(X: Tensor, Y: Tensor) -> float:
    """Centred Gram matrices."""
    return package("ckatorch").cka_base(X, Y).item()


def ckatorch_biased_by_trace(X: Tensor, Y: Tensor) -> float:
    """tr(KHLH) / (n−1)²."""
    return package("ckatorch").cka_base(X, Y, method="hsic").item()


def pytorch_cka_debiased(X: Tensor, Y: Tensor) -> float:
    """HSIC₁ from column sums; nothing below 0 comes out."""
    return package("cka").cka_from_features(X, Y).item()


def rsatoolbox_biased(X: Tensor, Y: Tensor) -> float:
    """The whitened cosine of squared distances between all pairs of samples: no Gram matrix."""
    data, rdm = package("rsatoolbox.data"), package("rsatoolbox.rdm")
    distances = [
        rdm.calc_rdm_euclidean(
            data.Dataset(F.numpy(), obs_descriptors={"image": np.arange(len(F))}),
            descriptor="image",
        )
        for F in (X, Y)
    ]
    return rdm.compare(*distances, method="cosine_cov").item()


DEBIASED = [ckatorch_debiased, ckatorch_batch, pytorch_cka_debiased]
BIASED = [ckatorch_biased, ckatorch_biased_by_trace, rsatoolbox_biased]


@pytest.mark.parametrize(("n", "p", "q"), [(6, 3, 3), (12, 7, 5), (20, 90, 40), (120, 4, 200)])
@pytest.mark.parametrize(
    ("estimator", "other"),
    [("debiased", other) for other in DEBIASED] + [("biased", other) for other in BIASED],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_cka_of_features_is_theirs(
    normal: Callable[..., Tensor],
    estimator: Any,
    other: Callable[[Tensor, Tensor], float],
    n: int,
    p: int,
    q: int,
) -> None:
    X = normal(0, n, p) + 3  # not centred
    Y = X @ normal(1, p, q) / math.sqrt(p) + normal(2, n, q)
    assert cka(X, Y, estimator) == pytest.approx(other(X, Y), abs=1e-10)


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
def test_hsic_is_that_of_ckatorch(normal: Callable[..., Tensor], estimator: Any) -> None:
    K, L = (F @ F.T for F in (normal(0, 9, 5), normal(1, 9, 4)))
    ckatorch = package("ckatorch")
    expected = (
        ckatorch.hsic1(K[None], L[None]).squeeze()
        if estimator == "debiased"
        else ckatorch.hsic0(K, L)
    )
    assert hsic(K, L, estimator).item() == pytest.approx(expected.item(), rel=1e-10)


def test_pytorch_cka_puts_zero_in_the_place_of_negative_values(
    normal: Callable[..., Tensor],
) -> None:
    """Of independent features debiased CKA is below 0 as often as above, so that its mean is 0."""
    pairs = [(normal(2 * seed, 8, 5), normal(2 * seed + 1, 8, 5)) for seed in range(40)]
    ours = torch.tensor([cka(X, Y) for X, Y in pairs])
    theirs = torch.tensor([pytorch_cka_debiased(X, Y) for X, Y in pairs])
    assert 10 < (ours < 0).sum() < 30
    torch.testing.assert_close(theirs, ours.clamp(min=0))


def test_ckatorch_takes_hsic_to_be_biased_even_where_it_is_asked_for_unbiased(
    normal: Callable[..., Tensor],
) -> None:
    """Its documentation says that the method does not matter; `unbiased` is read by one alone."""
    X, Y = normal(0, 12, 7), normal(1, 12, 5)
    found = package("ckatorch").cka_base(X, Y, unbiased=True, method="hsic").item()
    assert found == pytest.approx(cka(X, Y, "biased"), abs=1e-10)
    assert abs(found - cka(X, Y)) > 0.1


# CKA of two networks, over batches


@pytest.fixture
def float64() -> Iterator[None]:
    """PyTorch makes float64 numbers, in their sums too, so that rounding hides no disagreement."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def two_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """Networks so much alike that no CKA between their layers is negative."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = (
            nn.Sequential(
                nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 9), nn.Linear(9, 5)
            )
            for _ in range(2)
        )
    with torch.no_grad():
        for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
            theirs.add_(ours)
    return first, second


LAYERS = ["0", "3", "4"]


def compared(
    networks: tuple[nn.Module, nn.Module], images: Tensor, batch_size: int
) -> tuple[Tensor, list[Tensor]]:
    """Our matrix of CKA, and the batches that it was taken over."""
    batches: list[Tensor] = []
    hook = networks[0].register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0]))
    matrix = compare(*networks, images, batch_size=batch_size).matrix
    hook.remove()
    assert len(batches) == len(images) // batch_size
    return matrix, batches


def loader(batches: list[Tensor], **settings: Any) -> DataLoader[Any]:
    """The same batches in the same order."""
    return DataLoader(
        TensorDataset(torch.cat(batches)),
        batch_size=len(batches[0]),
        generator=torch.Generator(),
        **settings,
    )


def torch_cka_matrix(networks: tuple[nn.Module, nn.Module], batches: list[Tensor]) -> Tensor:
    comparison = package("torch_cka").CKA(
        *networks,
        model1_name="first",
        model2_name="second",
        model1_layers=LAYERS,
        model2_layers=LAYERS,
        device="cpu",
    )
    with torch.no_grad():
        comparison.compare(loader(batches), loader(batches))
    return comparison.export()["CKA"]


def pytorch_cka_matrix(networks: tuple[nn.Module, nn.Module], batches: list[Tensor]) -> Tensor:
    (matrix,) = package("cka").compute_cka(
        *networks, loader(batches), layers=LAYERS, device="cpu", progress=False
    )
    return matrix


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("theirs", [torch_cka_matrix, pytorch_cka_matrix])
def test_cka_of_networks_over_batches_is_theirs(
    normal: Callable[..., Tensor],
    theirs: Callable[[tuple[nn.Module, nn.Module], list[Tensor]], Tensor],
) -> None:
    """Sums of HSIC₁ over batches and the ratio at the end."""
    networks = two_networks()
    ours, batches = compared(networks, normal(5, 48, 2, 6, 6), 12)
    torch.testing.assert_close(theirs(networks, batches), ours, rtol=0, atol=1e-10)


def test_ckatorch_compares_the_tokens_of_the_last_batch(normal: Callable[..., Tensor]) -> None:
    """Of features [n, tokens, p] each of the n is a batch; results of all batches but one go."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = (nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 4)) for _ in range(2))
    ckatorch = package("ckatorch")
    layers = ["0", "1"]
    comparison = ckatorch.CKA(first, second, layers, first_name="first", second_name="second")
    batches = list(normal(6, 3, 8, 7, 5, dtype=torch.float32))
    with pytest.warns(UserWarning, match="shuffle=True"):
        found = comparison(loader(batches), epochs=1)

    def of(batch: Tensor) -> Tensor:
        with torch.no_grad():
            rows = [first[0](batch), first(batch)]
            columns = [second[0](batch), second(batch)]
        return torch.stack([torch.stack([ckatorch.cka_batch(x, y) for y in columns]) for x in rows])

    torch.testing.assert_close(found, of(batches[-1]).float())
    assert (found - of(torch.cat(batches))).abs().max() > 0.01


def test_ckatorch_compares_no_layers_of_images(normal: Callable[..., Tensor]) -> None:
    """Features [n, p] and [n, C, h, w] are not what its batches of batches are made of."""
    for layer in LAYERS:
        comparison = package("ckatorch").CKA(
            *two_networks(), [layer], first_name="first", second_name="second"
        )
        images = normal(5, 8, 2, 6, 6, dtype=torch.float32)
        with (
            pytest.warns(UserWarning, match="shuffle=True"),
            pytest.raises((IndexError, RuntimeError), match=r"Dimension out of range|batch1"),
        ):
            comparison(loader([images]), epochs=1)


# Effective rank of a matrix


def as_given(M: Tensor) -> Tensor:
    return M


def centred(M: Tensor) -> Tensor:
    return M - M.mean(0)


def unit_rows(M: Tensor) -> Tensor:
    return M / M.norm(dim=1, keepdim=True)


def sigma(M: Tensor) -> np.ndarray:
    return np.linalg.svd(M.numpy(), compute_uv=False)


def shares(M: Tensor) -> np.ndarray:
    """σ / Σσ."""
    return sigma(M) / sigma(M).sum()


def antropy_svd(M: Tensor) -> float:
    """SVD entropy in bits of a delay embedding; that of all columns in one line is M itself."""
    rows, columns = M.shape
    line = M.T.flatten().numpy()
    return 2 ** package("antropy").svd_entropy(line, order=columns, delay=rows)


def effdim_dimension(name: str) -> Callable[[Tensor], float]:
    """Of the eigenvalues of the covariance matrix."""
    return lambda M: package("effdim").compute_dim(M.numpy())[name]


def effdim_spectrum(name: str, spectrum: Callable[[Tensor], np.ndarray], *arguments: float) -> Any:
    """Of numbers given to it."""
    return lambda M: getattr(package("effdim.metrics"), name)(spectrum(M), *arguments)


def dimensionality_naive(M: Tensor) -> float:
    """Sums over pairs of samples and features, centred by algebra; no eigenvalues."""
    return package("dimensionality").participation_ratio(M.numpy(), return_all=True)["naive"]


def reptrix_rankme(M: Tensor) -> float:
    """Entropy of the principal components' shares of the variance, 1e-7 added to each."""
    return package("reptrix.rankme").get_rankme(M)


def vendi_score(order: float | str) -> Callable[[Tensor], float]:
    """exp of Rényi's entropy of the eigenvalues of the samples' cosines."""
    return lambda M: package("vendi_score.vendi").score_dual(M.numpy(), q=order)


def vendi_spectrum(order: float) -> Callable[[Tensor], float]:
    """exp of Rényi's entropy of numbers given to it."""
    return lambda M: np.exp(package("vendi_score.vendi").entropy_q(shares(M), q=order))


def weightwatcher(name: str) -> Any:
    """A function of weightwatcher on spectra."""
    return getattr(package("weightwatcher.RMT_Util"), name)


def weightwatcher_stable(M: Tensor) -> float:
    return weightwatcher("stable_rank")(sigma(M) ** 2)


def weightwatcher_soft(M: Tensor) -> float:
    """Its singular values are those of the matrix over its trace."""
    return weightwatcher("matrix_soft_rank")(M.numpy())


def weightwatcher_entropy(M: Tensor) -> float:
    """Matrix entropy is over ln(rank); 1e-10 is added to each share and to the rank."""
    return np.exp(weightwatcher("matrix_entropy")(sigma(M), max(M.shape)) * np.log(min(M.shape)))


def weightwatcher_participation(M: Tensor) -> float:
    """Participation ratio is ‖σ‖₂ / ‖σ‖₄."""
    return weightwatcher("participation_ratio")(sigma(M)) ** 4


# Definition, what is done to the matrix beforehand, their function, relative tolerance
RANKS: dict[str, tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], float], float]] = {
    "antropy svd_entropy": ("entropy", as_given, antropy_svd, 1e-10),
    "effdim shannon_entropy(σ/Σσ)": (
        "entropy",
        as_given,
        effdim_spectrum("shannon_entropy", shares),
        1e-10,
    ),
    "vendi-score entropy_q(σ/Σσ, 1)": ("entropy", as_given, vendi_spectrum(1), 1e-10),
    "effdim participation_ratio(σ)": (
        "participation",
        as_given,
        effdim_spectrum("participation_ratio", sigma),
        1e-10,
    ),
    "effdim renyi(σ/Σσ, 2)": (
        "participation",
        as_given,
        effdim_spectrum("renyi_eff_dimensionality", shares, 2),
        1e-10,
    ),
    "vendi-score entropy_q(σ/Σσ, 2)": ("participation", as_given, vendi_spectrum(2), 1e-10),
    "effdim shannon_entropy": (
        "entropy_squared",
        centred,
        effdim_dimension("shannon_entropy"),
        1e-10,
    ),
    "reptrix get_rankme": ("entropy_squared", centred, reptrix_rankme, 1e-4),
    "vendi-score score_dual": ("entropy_squared", unit_rows, vendi_score(1), 1e-10),
    "weightwatcher matrix_entropy": ("entropy_squared", as_given, weightwatcher_entropy, 1e-7),
    "effdim participation_ratio": (
        "gram_participation",
        centred,
        effdim_dimension("participation_ratio"),
        1e-10,
    ),
    "effdim renyi 2": (
        "gram_participation",
        centred,
        effdim_dimension("renyi_eff_dimensionality_alpha_2"),
        1e-10,
    ),
    "dimensionality naive": ("gram_participation", centred, dimensionality_naive, 1e-10),
    "vendi-score score_dual q=2": ("gram_participation", unit_rows, vendi_score(2), 1e-10),
    "weightwatcher participation_ratio⁴": (
        "gram_participation",
        as_given,
        weightwatcher_participation,
        1e-10,
    ),
    "vendi-score score_dual q=∞": ("stable", unit_rows, vendi_score("inf"), 1e-10),
    "weightwatcher stable_rank": ("stable", as_given, weightwatcher_stable, 1e-10),
    "weightwatcher matrix_soft_rank": ("stable", as_given, weightwatcher_soft, 1e-10),
}


@pytest.fixture(params=[(12, 7, 1.0), (40, 16, 0.7), (30, 30, 0.9)], ids=str)
def matrix(request: pytest.FixtureRequest, normal: Callable[..., Tensor]) -> Tensor:
    """A full-rank matrix, not centred, whose columns shrink geometrically."""
    rows, columns, decay = request.param
    return (normal(3, rows, columns) + 0.5) * decay ** torch.arange(columns, dtype=torch.float64)


@pytest.mark.parametrize("row", RANKS)
def test_effective_rank_is_theirs(row: str, matrix: Tensor) -> None:
    definition, prepare, theirs, tolerance = RANKS[row]
    ours = effective_ranks(prepare(matrix))
    assert ours[definition] == pytest.approx(theirs(matrix), rel=tolerance)
    # The definitions lie too far apart to be mistaken for each other.
    for other, value in ours.items():
        assert other == definition or abs(value - ours[definition]) > 10 * tolerance * value


def test_every_definition_is_held_against_two_packages() -> None:
    for definition in DEFINITIONS:
        packages = {name.split()[0] for name, row in RANKS.items() if row[0] == definition}
        assert len(packages) >= 2, definition


def test_rankme_of_reptrix_is_of_variances_where_rankme_is_of_singular_values(
    matrix: Tensor,
) -> None:
    """Garrido et al. 2023 take exp H(σ/Σσ) of features as they are: our "entropy"."""
    assert abs(reptrix_rankme(matrix) - effective_ranks(matrix)["entropy"]) > 0.1


def test_participation_ratio_of_weightwatcher_is_a_fourth_root(matrix: Tensor) -> None:
    found = weightwatcher("participation_ratio")(sigma(matrix))
    assert found == pytest.approx(effective_ranks(matrix)["gram_participation"] ** 0.25)


def test_participation_ratio_of_dimensionality_is_an_estimate_beyond_the_matrix(
    normal: Callable[..., Tensor],
) -> None:
    """By default it estimates the ratio of a population: it may exceed min(m, p) or be negative."""
    estimate = package("dimensionality").participation_ratio
    found = [estimate(normal(seed, 12, 7).numpy()) for seed in range(20)]
    assert max(found) > 7
    assert min(found) < 0


def test_score_x_of_vendi_score_takes_an_order_and_uses_none(matrix: Tensor) -> None:
    vendi = package("vendi_score.vendi")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        orders = [vendi.score_X(matrix.numpy(), q=order) for order in (1, 2)]
    assert orders[0] == orders[1]
    assert vendi.score_dual(matrix.numpy(), q=2) < orders[0] - 0.1
