"""How a study compares networks, looks at channels and counts costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fa_audit.errors import AuditError
from fa_audit.training.trainer import CHECKPOINTS

SUBSETS = ("all", "both-right", "reference-right-only")


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
