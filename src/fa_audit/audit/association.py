"""Does similarity to BP predict accuracy? As association, nothing more.

Runs differ in accuracy and in similarity because they differ in rule, in settings, and in seed. One
correlation over all of them mixes these, and may have another sign than any of them (Simpson 1951).
So the similarity s of a run is split into the mean of its rule and the deviation from it, as in the
hybrid regression of Mundlak (1978):

    accuracy = α + β_between · s̄_rule + β_within · (s − s̄_rule) + γᵀ z + seed + e

- *between rules*: rules with a higher mean similarity are more accurate. One point for each rule.
- *within rules*: of two runs of one rule, the one more similar is more accurate. With indicators of
  the rules in place of s̄_rule, β_within is the same number: a regression with rules as covariates
  knows nothing of what is between them.
- *adjusted*: within rules, with the settings z held fixed too: log learning rate, log feedback
  scale, whether there is one, weight decay.

What intervals respect, and what they assume:

- Runs of one seed share their start, the order of images and the network they are compared with.
  Within rules each seed has an indicator, which takes out what it adds to all its runs alike.
- Runs of one configuration share settings: they are one cluster. Configurations are taken to be
  independent given rule and seed, and to scatter each in its own way. Where whole rules are
  compared the clusters are the rules, which are few: 4 or 5 points, however many runs.
- Runs of different length are never put together: longer training raises accuracy and similarity.
- Runs without a CKA are not missing at random: they are those whose layers answer every image
  alike, at chance. What is found holds for runs that can be compared; the others are told with
  their accuracies.

Accuracy is in %, and a coefficient says how many points of accuracy go with .1 more of CKA.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fa_audit.audit.evidence import Evidence
from fa_audit.audit.paired_runs import PairedRun, PairedRuns, paired_runs
from fa_audit.audit.regression import Array, Estimate, clustered_slope, indicators

MEAN = "mean"
"""The similarity that is the mean over layers."""

STEP = 0.1
"""The difference in CKA that coefficients are for."""


@dataclass(frozen=True)
class RuleAssociation:
    """What is left of the correlation among the runs of one rule."""

    rule: str
    runs: int
    configurations: int
    seeds: int
    over_settings: Estimate
    """Partial correlation with seeds and settings held fixed; clusters are configurations."""
    over_seeds: Estimate
    """Partial correlation with the configuration held fixed; clusters are seeds."""


@dataclass(frozen=True)
class Association:
    """How accuracy goes with one similarity over all runs of one length."""

    epochs: int
    similarity: str
    """"mean" over the layers, or one layer."""
    runs: int
    configurations: int
    rules: tuple[str, ...]
    seeds: tuple[int, ...]
    correlation: Estimate
    """Over all runs, nothing held fixed; clusters are rules."""
    between: Estimate
    """Points per .1 of CKA between the means of rules, each with the same weight."""
    within: Estimate
    """Points per .1 of CKA with rule and seed held fixed; clusters are configurations."""
    settings_vary: bool
    """Whether any setting varies within a rule; else there is nothing to adjust for."""
    adjusted: Estimate
    """The same as within, with the settings held fixed too."""
    partial: Estimate
    """The correlation left within rules: that of `adjusted`."""
    by_rule: tuple[RuleAssociation, ...]


@dataclass(frozen=True)
class Associations:
    """The answer, for every length of training and every similarity."""

    paired: PairedRuns
    found: tuple[Association, ...]
    """The longest training first; of each length the mean over layers first."""


def associate(evidence: Evidence, reference: str = "bp") -> Associations:
    """How accuracy goes with similarity to the reference, over all runs compared with it.

    Args:
        evidence: The study's records.
        reference: A configuration's id.
    """
    paired = paired_runs(evidence, reference)
    lengths = sorted({run.epochs for run in paired.runs}, reverse=True)
    by_length = [[run for run in paired.runs if run.epochs == epochs] for epochs in lengths]
    found = (
        association(runs, similarity)
        for runs in by_length
        for similarity in (MEAN, *runs[0].layers)
    )
    return Associations(paired, tuple(found))


def association(runs: Sequence[PairedRun], similarity: str = MEAN) -> Association:
    """How accuracy goes with one similarity over runs of one length.

    Args:
        runs: At least one, all of as many epochs.
        similarity: "mean", or one of the layers.
    """
    accuracy, x = _numbers(runs, similarity)
    constant = np.ones((len(runs), 1))
    configurations, rules = [run.run for run in runs], [run.rule for run in runs]
    rule_and_seed = np.hstack([indicators(rules), indicators([run.seed for run in runs])])
    all_fixed = np.hstack([rule_and_seed, _settings(runs)])
    members = indicators(rules)
    means_y, means_x = ((members.T @ value) / members.sum(axis=0) for value in (accuracy, x))
    names = tuple(dict.fromkeys(rules))
    within = clustered_slope(accuracy, x, rule_and_seed, configurations, "configuration")
    adjusted = clustered_slope(accuracy, x, all_fixed, configurations, "configuration")
    return Association(
        epochs=runs[0].epochs,
        similarity=similarity,
        runs=len(runs),
        configurations=len(set(configurations)),
        rules=names,
        seeds=tuple(sorted({run.seed for run in runs})),
        correlation=clustered_slope(accuracy, x, constant, rules, "rule").correlation,
        between=clustered_slope(
            means_y, means_x, np.ones((len(names), 1)), names, "rule"
        ).coefficient,
        within=within.coefficient,
        settings_vary=any(
            len(np.unique(_settings([run for run in runs if run.rule == name]), axis=0)) > 1
            for name in names
        ),
        adjusted=adjusted.coefficient,
        partial=adjusted.correlation,
        by_rule=tuple(
            _of_rule([run for run in runs if run.rule == name], similarity) for name in names
        ),
    )


def _of_rule(runs: Sequence[PairedRun], similarity: str) -> RuleAssociation:
    accuracy, x = _numbers(runs, similarity)
    configurations, seeds = [run.run for run in runs], [run.seed for run in runs]
    seed_and_settings = np.hstack([indicators(seeds), _settings(runs)])
    return RuleAssociation(
        rule=runs[0].rule,
        runs=len(runs),
        configurations=len(set(configurations)),
        seeds=len(set(seeds)),
        over_settings=clustered_slope(
            accuracy, x, seed_and_settings, configurations, "configuration"
        ).correlation,
        over_seeds=clustered_slope(
            accuracy, x, indicators(configurations), seeds, "seed"
        ).correlation,
    )


def _numbers(runs: Sequence[PairedRun], similarity: str) -> tuple[Array, Array]:
    """Accuracy in %, and similarity in steps of .1."""
    similarities = [run.mean if similarity == MEAN else run.layers[similarity] for run in runs]
    return np.array([run.accuracy for run in runs]), np.array(similarities) / STEP


def _settings(runs: Sequence[PairedRun]) -> Array:
    """[n, 4]: the settings held fixed, learning rate and scale as logarithms.

    A run without scale has 0 there and 1 in the column that says so. Which logarithm, and which
    unit a setting has, makes no difference.
    """
    return np.array(
        [
            [
                np.log10(run.learning_rate),
                0.0 if run.feedback_scale is None else np.log10(run.feedback_scale),
                float(run.feedback_scale is None),
                run.weight_decay,
            ]
            for run in runs
        ]
    )
