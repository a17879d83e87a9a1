"""Similarity of what networks compute, layer by layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure.modes import evaluation_mode
from fa_audit.metrics.cka import FEWEST_SAMPLES, CentredGrams, gram
from fa_audit.metrics.minibatch import MinibatchCKA
from fa_audit.streams import stream

ESTIMATOR = (
    "linear CKA, debiased HSIC summed over minibatches of all images, each weighted by its n"
)


@dataclass(frozen=True)
class Similarity:
    """CKA between every layer of one network and every layer of another.

    Attributes:
        matrix: [rows, columns] float64, in [−1, 1]; 0 is what unrelated representations give.
        rows: Layers of the first network.
        columns: Layers of the second network.
        features_rows: p, the number of features of each row's layer.
        features_columns: The same for the columns.
        images: n, the images used in one pass, a mean over the passes: those of a last partial
            batch are left out, and those of a subset where fewer than 4 fall into a batch.
        batch_size: Images per batch, inside and outside the subset.
        passes: How often all images were gone through, in another order each time.
    """

    matrix: Tensor
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    features_rows: tuple[int, ...]
    features_columns: tuple[int, ...]
    images: int
    batch_size: int
    passes: int

    def __str__(self) -> str:
        width = max(len(name) for name in ("0.000", *self.rows, *self.columns)) + 2
        lines = [
            f"{ESTIMATOR}; n = {self.images}",
            " " * width + "".join(name.rjust(width) for name in self.columns),
        ]
        for name, values in zip(self.rows, self.matrix.tolist(), strict=True):
            lines.append(name.ljust(width) + "".join(f"{value:{width}.3f}" for value in values))
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two networks to be compared on some images.

    Attributes:
        rows: Name of the network whose layers are the rows.
        columns: Name of the one whose layers are the columns; it may be the same.
        subset: bool [n], the images to compare them on; None for all. Pairs that share the very
            same tensor share some of the work.
        shuffled: Whether each batch's images are put in another random order for the columns: the
            null, of expectation 0, since then the two networks look at different images.
    """

    rows: str
    columns: str
    subset: Tensor | None = None
    shuffled: bool = False


def measured_layers(network: nn.Module) -> tuple[str, ...]:
    """Names of the Linear and Conv2d layers, with or without a rule: where CKA is taken."""
    return tuple(
        name for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)
    )


def compare(
    first: nn.Module,
    second: nn.Module,
    images: Tensor,
    *,
    subset: Tensor | None = None,
    shuffled: bool = False,
    batch_size: int = 256,
    passes: int = 1,
    seed: int = 0,
) -> Similarity:
    """CKA of every layer pair of two networks on the same images.

    For several pairs, or several subsets of the images, `compare_many` gives the same numbers in
    one pass, and says what is compared.

    Args:
        first: Its layers are the rows.
        second: Its layers are the columns.
        images: [n, ...], n ≥ 4, as both networks take them.
        subset: As for `Pair`.
        shuffled: As for `Pair`.
        batch_size: As for `compare_many`.
        passes: As for `compare_many`.
        seed: As for `compare_many`.

    Raises:
        AuditError: Fewer than 4 images; no pass; what `compare_many` returns as an error.
    """
    (found,) = compare_many(
        {"first": first, "second": second},
        [Pair("first", "second", subset, shuffled)],
        images,
        batch_size=batch_size,
        passes=passes,
        seed=seed,
    )
    if isinstance(found, AuditError):
        raise found
    return found


def compare_many(
    networks: Mapping[str, nn.Module],
    pairs: Sequence[Pair],
    images: Tensor,
    *,
    batch_size: int = 256,
    passes: int = 1,
    seed: int = 0,
) -> list[Similarity | AuditError]:
    """CKA of every layer pair of many pairs of networks, each network run once per pass.

    In each pass all images are put in one random order and cut into batches, and each layer's Gram
    matrix is made once per batch; a subset takes from it the rows and columns of its own images.
    The estimator is that of `MinibatchCKA`; numbers of a pair do not depend, to the last bit, on
    which other pairs are asked for.

    Representations are the outputs of the Linear and Conv2d modules themselves, before any
    activation or pooling, flattened; each has a row for every image. Of a layer that runs several
    times the last output counts.

    Args:
        networks: The networks by name. Those that no pair names are not run.
        pairs: What to compare.
        images: [n, ...], n ≥ 4, as all networks take them.
        batch_size: Images per minibatch, at least 4; all n where there are fewer. A last partial
            batch is left out of each pass, as in Lance & Kieu 2026.
        passes: Passes over the images, each in another order.
        seed: Seed of the orders.

    Returns:
        For each pair its similarity, or the error that says why it has none: a layer whose output
        is the same for every image or not finite, or has not one row for each image; no layer that
        runs, or one that runs in some batches only; or never 4 images of the subset in a batch.

    Raises:
        AuditError: Fewer than 4 images; no pass; a pair that names a network which is not there or
            has no layer to measure; a subset that does not fit the images.
    """
    n = len(images)
    size = min(batch_size, n)
    _require_valid(networks, pairs, n, size, passes)
    named = {name for pair in pairs for name in (pair.rows, pair.columns)}
    observed = {name: _Observed(networks[name]) for name in named}
    sums = [MinibatchCKA() for _ in pairs]
    by_subset = _by_subset(pairs, sums)
    with evaluation_mode(*networks.values()), torch.no_grad():
        for place, index in _batches(n, size, passes, seed):
            batch = images[index.to(images.device)]
            for network in observed.values():
                network.see(batch)
            for subset, chosen in by_subset:
                inside = torch.ones(size) if subset is None else subset[index]
                members = inside.nonzero().flatten()
                if len(members) >= FEWEST_SAMPLES:
                    _update(
                        chosen, observed, members, stream(seed, "measurement", "shuffle", *place)
                    )
    return [
        _result(pair, total, observed[pair.rows], observed[pair.columns], size, passes)
        for pair, total in zip(pairs, sums, strict=True)
    ]


def _require_valid(
    networks: Mapping[str, nn.Module], pairs: Sequence[Pair], n: int, size: int, passes: int
) -> None:
    if passes < 1:
        raise AuditError(f"CKA was asked for over {passes} passes; it needs at least 1")
    if size < FEWEST_SAMPLES:
        raise AuditError(f"CKA needs batches of at least 4 images, got {size}: give more images")
    for pair in pairs:
        for name in (pair.rows, pair.columns):
            if name not in networks:
                raise AuditError(
                    f"a pair names the network {name!r}; choose from: {', '.join(networks)}"
                )
            if not measured_layers(networks[name]):
                raise AuditError(
                    f"the {name} network has no Linear or Conv2d layer, so there is nothing of it "
                    "to compare"
                )
        if pair.subset is not None and (
            pair.subset.dtype != torch.bool or pair.subset.shape != (n,)
        ):
            raise AuditError(
                f"the subset of pair {pair.rows}~{pair.columns} must be a bool [{n}] that says of "
                f"each image whether it belongs; got {pair.subset.dtype} {list(pair.subset.shape)}"
            )


def _batches(n: int, size: int, passes: int, seed: int) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """(pass, batch) and the batch's images, int64 [size], for all whole batches of all passes."""
    for number in range(passes):
        order = torch.randperm(n, generator=stream(seed, "measurement", "cka", number))
        for k, index in enumerate(order[: n // size * size].split(size)):
            yield (number, k), index


def _by_subset(
    pairs: Sequence[Pair], sums: Sequence[MinibatchCKA]
) -> list[tuple[Tensor | None, list[tuple[Pair, MinibatchCKA]]]]:
    """Pairs and their sums, those that share a subset together."""
    groups: dict[int, tuple[Tensor | None, list[tuple[Pair, MinibatchCKA]]]] = {}
    for pair, total in zip(pairs, sums, strict=True):
        _, chosen = groups.setdefault(id(pair.subset), (pair.subset, []))
        chosen.append((pair, total))
    return list(groups.values())


class _Observed:
    """A network whose layers are looked at batch by batch.

    Attributes:
        features: p, the number of features of each measured layer, by name.
        error: Why it cannot be compared with anything; None while it can.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._names = {network.get_submodule(name): name for name in measured_layers(network)}
        self._grams: dict[str, Tensor] = {}
        self._stack = torch.empty(0)
        self._batch = 0
        self.features: dict[str, int] = {}
        self.error: AuditError | None = None

    def see(self, images: Tensor) -> None:
        """Run a batch through the network and keep the Gram matrices of its layers' outputs."""
        if self.error is not None:
            return
        self._batch = len(images)
        self._grams = {}
        known = tuple(self.features)
        hooks = [layer.register_forward_hook(self._record) for layer in self._names]
        try:
            self._network(images)
            if not self._grams:
                raise AuditError(
                    "none of the network's Linear and Conv2d layers ran, so there is nothing of it "
                    "to compare; compare a network that calls its layers as modules"
                )
            if known and self._grams.keys() != set(known):
                odd = ", ".join(sorted(self._grams.keys() ^ set(known)))
                raise AuditError(
                    f"the network runs {odd} in some batches and not in others, so its layers "
                    "cannot be compared over all images; compare a network that calls the same "
                    "layers for all of them"
                )
            # The first batch says in which order, whichever layer runs first in later ones.
            self._stack = torch.stack([self._grams[name] for name in self.features])
        except AuditError as error:
            self.error = error
        finally:
            for hook in hooks:
                hook.remove()

    # The Gram matrix is taken inside the hook: a later in-place ReLU cannot spoil it any more.
    def _record(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if len(output) != self._batch:
            raise AuditError(
                f"the output of {self._names[layer]} has {len(output)} rows for {self._batch} "
                "images, so its first axis does not say which image is which; compare networks "
                "that keep the batch first, and fold nothing else into it"
            )
        self._grams[self._names[layer]] = gram(output)
        self.features[self._names[layer]] = output[0].numel()

    def centred(self, members: Tensor) -> CentredGrams:
        """What there is of the batch's images at the places `members`, in that order."""
        members = members.to(self._stack.device)
        return CentredGrams(self._stack[:, members[:, None], members])


def _update(
    chosen: Sequence[tuple[Pair, MinibatchCKA]],
    observed: Mapping[str, _Observed],
    members: Tensor,
    generator: torch.Generator,
) -> None:
    """Add to each pair's sums what the images at `members` give."""
    shuffled = members[torch.randperm(len(members), generator=generator)]

    @cache
    def centred(name: str, in_order: bool) -> CentredGrams:
        return observed[name].centred(members if in_order else shuffled)

    for pair, total in chosen:
        if observed[pair.rows].error is None and observed[pair.columns].error is None:
            total.update(centred(pair.rows, True), centred(pair.columns, not pair.shuffled))


def _result(
    pair: Pair,
    total: MinibatchCKA,
    rows: _Observed,
    columns: _Observed,
    batch_size: int,
    passes: int,
) -> Similarity | AuditError:
    if error := rows.error or columns.error:
        return error
    if not total.batches:
        count = "images" if pair.subset is None else f"{int(pair.subset.sum())} images of a subset"
        return AuditError(
            f"CKA needs at least {FEWEST_SAMPLES} images in a batch, and of {count} no batch of "
            f"{batch_size} held as many: take more images or larger batches"
        )
    try:
        matrix = total.matrix().cpu()
    except AuditError as error:
        return error
    return Similarity(
        matrix=matrix,
        rows=tuple(rows.features),
        columns=tuple(columns.features),
        features_rows=tuple(rows.features.values()),
        features_columns=tuple(columns.features.values()),
        images=round(total.n / passes),
        batch_size=batch_size,
        passes=passes,
    )
