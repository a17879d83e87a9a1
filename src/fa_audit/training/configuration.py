"""Everything that decides what a run computes, and nothing else."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fa_audit.errors import AuditError
from fa_audit.hashing import content_hash
from fa_audit.networks import NETWORKS, require_normalisation
from fa_audit.rules import get_rule

OPTIMIZERS = ("adam", "muon")
# What Muon was published with.
MUON_LEARNING_RATE = 0.02

INITIALISATIONS = ("shared", "independent")
PRECISIONS = ("float32", "tf32", "bf16")
ZERO_ERRORS = ("exclude", "ninety")
DATASETS = ("cifar10", "cifar100", "shapes")
INTERVENTIONS = ("truncate", "flatten", "random-subspace")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise AuditError(sentence)


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, f"{name} is {value!r}; choose one of: {', '.join(choices)}")


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }


@dataclass(frozen=True)
class DataSettings:
    """Which images, and how they are cut.

    Attributes:
        name: "cifar10", "cifar100" or "shapes", the embedded stand-in.
        validation: Training images set aside for validation.
        split_seed: Seed of that split, the same for all runs of a study, so that no image is a
            training image of one run and a validation image of another.
        crop: Side of the square that is cut out: at random in training, the centre otherwise.
        flip: Whether training images are mirrored with probability one half.
        train: Training images of the stand-in, validation included; None for its own number, and
            for a data set whose size is fixed.
        test: Test images of the stand-in, likewise.
    """

    name: str
    validation: int
    split_seed: int = 42
    crop: int = 24
    flip: bool = True
    train: int | None = None
    test: int | None = None

    def __post_init__(self) -> None:
        _require_choice("data.name", self.name, DATASETS)
        _require(
            self.validation > 0, f"data.validation is {self.validation}; it must be at least 1"
        )
        _require(0 < self.crop <= 32, f"data.crop is {self.crop}; it must lie between 1 and 32")

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes asked for, as `load_dataset` takes them."""
        sizes = {"train": self.train, "test": self.test}
        return {split: size for split, size in sizes.items() if size is not None}


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training images.
        learning_rate: Adam's step size, > 0; under "muon" that of AdamW.
        weight_decay: Adam's L2 coefficient, ≥ 0, added to the gradient; under "muon" the decay of
            both optimizers beside the gradient, W ← (1 − step size · decay) W.
        feedback_scale: σ of B0 ~ N(0, σ²), > 0; None where the rule draws nothing, or for each
            layer's own standard deviation of weights.
        batch_size: Images per step; the last step of an epoch takes what is left.
        optimizer: "adam" (β 0.9, 0.999, ε 1e-8); "muon", Muon for the matrices of hidden layers and
            AdamW for everything else.
        initialisation: "shared": the same initial weights under every rule, for one seed;
            "independent": every rule has its own.
        trained_layers: Names of the layers that are trained, all others staying as they were drawn:
            a control. None for all layers.
        muon_learning_rate: Muon's step size, > 0; .02 unless given. None under another optimizer.
        intervention: What is done to every update of the hidden layers at kept norm, a control:
            "truncate" to its leading directions, "flatten" these to one size, or confine it to a
            "random-subspace"; see training.interventions. None for nothing.
        intervention_rank: How many directions are left, ≥ 1: one number, or layer → number, other
            layers being left alone. None for all, which only "flatten" allows.
        precision: Arithmetic of the forward and backward pass in training: "float32"; "tf32",
            float32 with products in TF32, on CUDA alone; "bf16". Weights, the optimizer, the loss
            and every measurement are float32 or better.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 0.0
    feedback_scale: float | None = None
    batch_size: int = 128
    optimizer: str = "adam"
    initialisation: str = "shared"
    precision: str = "float32"
    trained_layers: tuple[str, ...] | None = None
    muon_learning_rate: float | None = None
    intervention: str | None = None
    intervention_rank: int | Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if self.optimizer == "muon" and self.muon_learning_rate is None:
            object.__setattr__(self, "muon_learning_rate", MUON_LEARNING_RATE)
        _require(self.epochs >= 1, f"epochs is {self.epochs}; it must be at least 1")
        _require(
            0 < self.learning_rate < math.inf,
            f"learning_rate is {self.learning_rate}; it must be > 0 and finite",
        )
        _require(
            0 <= self.weight_decay < math.inf,
            f"weight_decay is {self.weight_decay}; it must be ≥ 0 and finite",
        )
        _require(
            self.feedback_scale is None or 0 < self.feedback_scale < math.inf,
            f"feedback_scale is {self.feedback_scale}; it must be > 0 and finite",
        )
        _require(self.batch_size >= 1, f"batch_size is {self.batch_size}; it must be at least 1")
        _require_choice("optimizer", self.optimizer, OPTIMIZERS)
        _require_choice("initialisation", self.initialisation, INITIALISATIONS)
        _require_choice("precision", self.precision, PRECISIONS)
        _require(
            self.trained_layers is None or len(self.trained_layers) > 0,
            "trained_layers is empty; name at least one layer, or leave it out to train all",
        )
        layers = self.trained_layers or ()
        _require(
            len(set(layers)) == len(layers),
            f"trained_layers names a layer twice ({', '.join(layers)}); name each once",
        )
        for inner in layers:
            outer = next((name for name in layers if inner.startswith(f"{name}.")), None)
            _require(
                outer is None,
                f"trained_layers names {outer} and {inner}, which lies inside it; name the outer "
                "one to train all of it, or the inner one alone",
            )
        if self.muon_learning_rate is not None:
            _require(
                self.optimizer == "muon",
                f"optimizer {self.optimizer!r} has no use for muon_learning_rate; leave it out",
            )
            _require(
                0 < self.muon_learning_rate < math.inf,
                f"muon_learning_rate is {self.muon_learning_rate}; it must be > 0 and finite",
            )
        self._check_intervention()

    def _check_intervention(self) -> None:
        rank = self.intervention_rank
        if self.intervention is None:
            _require(rank is None, "intervention_rank is given without intervention; name one")
            return
        _require_choice("intervention", self.intervention, INTERVENTIONS)
        _require(
            rank is not None or self.intervention == "flatten",
            f"intervention is {self.intervention!r}, which needs intervention_rank; give it",
        )
        numbers = rank.values() if isinstance(rank, Mapping) else [] if rank is None else [rank]
        _require(
            all(number >= 1 for number in numbers) and rank != {},
            f"intervention_rank is {rank}; give each layer named at least 1",
        )


@dataclass(frozen=True)
class ProbeSettings:
    """What is measured while a network trains, on a fixed batch of validation images.

    Attributes:
        images: Validation images in the probe batch, centre crops.
        per_decade: Probes per tenfold number of steps; the first comes before the first step and
            the last after the last.
        zero_errors: What counts for an image whose error is zero: "exclude" or "ninety" degrees.
    """

    images: int = 256
    per_decade: int = 8
    zero_errors: str = "exclude"

    def __post_init__(self) -> None:
        _require(self.images >= 1, f"probe.images is {self.images}; it must be at least 1")
        _require(
            self.per_decade >= 1, f"probe.per_decade is {self.per_decade}; it must be at least 1"
        )
        _require_choice("probe.zero_errors", self.zero_errors, ZERO_ERRORS)


@dataclass(frozen=True)
class RankSettings:
    """How the effective rank of errors, gradients, updates and trajectories is measured.

    Measured at the steps that are probed, of every Linear and Conv2d, in every definition.

    Attributes:
        rows: Steps held of each layer's trajectory of gradients: all up to this number, then a
            random sample of so many.
        columns: Numbers held of each, at least `rows`.
    """

    rows: int = 256
    columns: int = 8192

    def __post_init__(self) -> None:
        _require(self.rows >= 1, f"rank.rows is {self.rows}; it must be at least 1")
        _require(
            self.columns >= self.rows,
            f"rank.columns is {self.columns}, fewer than rank.rows, {self.rows}, so it would limit "
            "the rank; give at least as many",
        )


@dataclass(frozen=True)
class RunConfiguration:
    """One network to be trained: a rule, a seed and all settings.

    Attributes:
        rule: A name in RULES.
        seed: Seed of initialisation, feedback, order and augmentation.
        data: Which images.
        training: How to train.
        network: A name in NETWORKS.
        options: The rule's named variants; defaults are filled in.
        probe: What to measure meanwhile.
        rank: How to measure effective ranks meanwhile; None for not at all.
        normalisation: "batch" for batch normalisation of every layer's outputs but the last's; None
            for none.
    """

    rule: str
    seed: int
    data: DataSettings
    training: TrainingSettings
    network: str = "architecture1"
    options: Mapping[str, str] = field(default_factory=dict)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    rank: RankSettings | None = None
    normalisation: str | None = None

    def __post_init__(self) -> None:
        rule = get_rule(self.rule)
        object.__setattr__(self, "options", rule.resolve_options(self.options))
        _require_choice("network", self.network, tuple(NETWORKS))
        require_normalisation(self.normalisation)
        _require(
            rule.draws_feedback or self.training.feedback_scale is None,
            f"rule {self.rule!r} stores no B0, so feedback_scale means nothing to it; leave it out",
        )
        _require(
            not (rule.trains_feedback and self.training.intervention),
            f"rule {self.rule!r} trains its feedback as it trains the weights, and an intervention "
            "would change what becomes of the weights alone; leave intervention out",
        )

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain data; what is None is left out."""
        return {"kind": "run", **_without_none(asdict(self))}

    @property
    def hash(self) -> str:
        """SHA-256 of the configuration: what a run's files are named and found by."""
        return content_hash(self.to_json())
