"""METRICS: every measurement with its range, unit, invariances and source, declared as data.

The tests are generated from this table: each declared invariance is checked on drawn examples, and
each one that is *not* declared is shown to be violated by an example, so that a row can claim
neither too much nor too little.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from fa_audit.metrics.alignment import mean_angle, predicted_angle, sign_angle
from fa_audit.metrics.channels import Absolute, channel_importance
from fa_audit.metrics.cka import cka, procrustes_similarity
from fa_audit.metrics.rank import effective_rank
from fa_audit.metrics.signs import sign_concordance

# What can be done to the arguments of a metric, each an array of samples (rows) × columns; a weight
# counts as one, its output units being the rows. "Each" means each argument with its own draw.
TRANSFORMATIONS: dict[str, str] = {
    "orthogonal": "each argument's columns turned by an orthogonal map",
    "joint orthogonal": "all arguments' columns turned by the same orthogonal map",
    "invertible linear": "each argument's columns mixed by an invertible map",
    "isotropic scale": "each argument multiplied by a positive number",
    "sample scale": "each row of each argument multiplied by a positive number",
    "column scale": "each column of each argument multiplied by a positive number",
    "negation": "the first argument multiplied by −1",
    "translation": "a constant row added to all rows of each argument",
    "permutation": "each argument's rows put in another order",
    "joint permutation": "all arguments' rows put in the same other order",
    "exchange": "the two arguments exchanged",
}


@dataclass(frozen=True)
class Metric:
    """One row of METRICS.

    Attributes:
        title: name for people.
        function: takes the arguments in order; returns a number, a record of one, or a tensor.
        arguments: what each argument is, with its shape.
        range: smallest and largest possible value.
        unit: unit of the value; empty for a pure number.
        invariances: names in TRANSFORMATIONS that leave the value as it is; all others change it.
        estimator: what kind of estimate the value is, and of what.
        source: where it was defined.
    """

    title: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    range: tuple[float, float]
    unit: str
    invariances: frozenset[str]
    estimator: str
    source: str


_FEATURES = ("features X [n, ...]", "features Y [n, ...]")
_GRAM = frozenset(
    {
        "orthogonal",
        "joint orthogonal",
        "isotropic scale",
        "negation",
        "translation",
        "joint permutation",
        "exchange",
    }
)


def _rank(definition: str, formula: str, source: str) -> Metric:
    return Metric(
        title=f"Effective rank, {formula}",
        function=partial(effective_rank, definition=definition),
        arguments=("matrix [m, ...]",),
        range=(1, inf),
        unit="directions",
        invariances=frozenset(
            {
                "orthogonal",
                "joint orthogonal",
                "isotropic scale",
                "negation",
                "permutation",
                "joint permutation",
            }
        ),
        estimator="exact, of the given matrix, not centred",
        source=source,
    )


def _importance(
    absolute: Absolute, title: str, low: float, invariances: set[str], where: str
) -> Metric:
    return Metric(
        title=title,
        function=partial(channel_importance, absolute=absolute),
        arguments=("activation [n, C, h, w]", "gradient [n, C, h, w]"),
        range=(low, inf),
        unit="logits",
        invariances=frozenset({"joint permutation", "exchange"} | invariances),
        estimator="mean over images",
        source=f"Lance & Kieu 2026, {where}",
    )


METRICS: dict[str, Metric] = {
    "cka": Metric(
        title="Linear CKA, debiased",
        function=cka,
        arguments=_FEATURES,
        range=(-1, 1),
        unit="",
        invariances=_GRAM,
        estimator="ratio of unbiased HSIC₁; over batches, the ratio of sums",
        source="Kornblith et al. 2019; Song et al. 2012; Nguyen et al. 2021",
    ),
    "cka_biased": Metric(
        title="Linear CKA, biased",
        function=partial(cka, estimator="biased"),
        arguments=_FEATURES,
        range=(0, 1),
        unit="",
        invariances=_GRAM,
        estimator="plug-in; near 1 for unrelated features when p is large against n",
        source="Kornblith et al. 2019",
    ),
    "procrustes": Metric(
        title="Orthogonal Procrustes similarity (normalised Bures)",
        function=procrustes_similarity,
        arguments=_FEATURES,
        range=(0, 1),
        unit="",
        invariances=_GRAM,
        estimator="plug-in; grows for unrelated features when p is large against n",
        source="Williams et al. 2021; Harvey et al. 2024",
    ),
    "angle": Metric(
        title="Mean angle between errors",
        function=mean_angle,
        arguments=("error u [n, ...]", "error v [n, ...]"),
        range=(0, 180),
        unit="degrees",
        invariances=frozenset(
            {
                "joint orthogonal",
                "isotropic scale",
                "sample scale",
                "joint permutation",
                "exchange",
            }
        ),
        estimator="mean over samples; zero errors excluded or counted as 90°, by name",
        source="Lillicrap et al. 2016; formula of Kahan 2006",
    ),
    "predicted_angle": Metric(
        title="Angle predicted for errors independent of the weights",
        function=predicted_angle,
        arguments=("weight W", "feedback B"),
        range=(0, 180),
        unit="degrees",
        invariances=frozenset(
            {"joint orthogonal", "isotropic scale", "joint permutation", "exchange"}
        ),
        estimator="exact, of the given weights",
        source="derived here",
    ),
    "sign_angle": Metric(
        title="Angle predicted for feedback of equal magnitudes with the weight's signs",
        function=sign_angle,
        arguments=("weight W",),
        range=(0, 90),
        unit="degrees",
        invariances=frozenset({"isotropic scale", "negation", "permutation", "joint permutation"}),
        estimator="exact, of the given weights",
        source="derived here",
    ),
    "sign_concordance": Metric(
        title="Sign concordance",
        function=sign_concordance,
        arguments=("weight W", "feedback B"),
        range=(0, 1),
        unit="",
        invariances=frozenset(
            {"isotropic scale", "sample scale", "column scale", "joint permutation", "exchange"}
        ),
        estimator="exact, of the given weights; by chance .5 ± .5/√n",
        source="Liao et al. 2016",
    ),
    "rank_stable": _rank("stable", "Σσ² / max σ²", "Rudelson & Vershynin 2007"),
    "rank_gram_participation": _rank("gram_participation", "(Σσ²)² / Σσ⁴", "Gao et al. 2017"),
    "rank_entropy_squared": _rank(
        "entropy_squared", "exp H(σ²/Σσ²)", "Roy & Vetterli 2007, of the Gram matrix"
    ),
    "rank_participation": _rank(
        "participation", "(Σσ)² / Σσ²", "Roy & Vetterli 2007 with Rényi's entropy of order 2"
    ),
    "rank_entropy": _rank("entropy", "exp H(σ/Σσ)", "Roy & Vetterli 2007"),
    "importance_absolute": _importance(
        "before", "Channel importance, absolute per image", 0, {"negation"}, "code"
    ),
    "importance_signed": _importance("none", "Channel importance, signed", -inf, set(), "equation"),
}
