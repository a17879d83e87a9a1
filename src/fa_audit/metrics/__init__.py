"""Measurements of networks and of how they learn: pure functions on tensors.

Representations: `gram`, `hsic`, `cka`, `CentredGrams`, `MinibatchCKA`, `procrustes_similarity`.
Errors: `angles`, `mean_angle`, `predicted_angle`, `sign_angle`. Weights: `sign_concordance`.
Gradients and errors as matrices: `effective_rank`, and `RowSketch` for those too long to keep.
Channels: `channel_importance`, `top_images`. `METRICS` lists them with what each one promises.
"""

from fa_audit.metrics.alignment import (
    AngleSummary,
    angles,
    mean_angle,
    predicted_angle,
    sign_angle,
)
from fa_audit.metrics.channels import channel_importance, top_images
from fa_audit.metrics.cka import (
    CentredGrams,
    cka,
    cka_features,
    gram,
    hsic,
    procrustes_similarity,
)
from fa_audit.metrics.minibatch import MinibatchCKA
from fa_audit.metrics.rank import (
    effective_rank,
    effective_ranks,
    gram_singular_values,
    spectrum_rank,
    spectrum_ranks,
)
from fa_audit.metrics.signs import Concordance, sign_concordance
from fa_audit.metrics.sketch import RowSketch, sampled_rows
from fa_audit.metrics.table import METRICS, TRANSFORMATIONS, Metric

__all__ = [
    "METRICS",
    "TRANSFORMATIONS",
    "AngleSummary",
    "CentredGrams",
    "Concordance",
    "Metric",
    "MinibatchCKA",
    "RowSketch",
    "angles",
    "channel_importance",
    "cka",
    "cka_features",
    "effective_rank",
    "effective_ranks",
    "gram",
    "gram_singular_values",
    "hsic",
    "mean_angle",
    "predicted_angle",
    "procrustes_similarity",
    "sampled_rows",
    "sign_angle",
    "sign_concordance",
    "spectrum_rank",
    "spectrum_ranks",
    "top_images",
]
