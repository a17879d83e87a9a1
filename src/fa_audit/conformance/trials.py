"""A trial: one check on one variant of a rule in one kind of layer; and how it ends."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch

from fa_audit.conformance.adapter import KINDS, Adapter, LayerKind, NotOfferedError
from fa_audit.conformance.bench import Bench
from fa_audit.conformance.checks import CHECKS, Check
from fa_audit.conformance.guards import FailedError, raised
from fa_audit.conformance.variants import Variant, variants_of
from fa_audit.rules.table import RULES, Rule, get_rule


class Status(StrEnum):
    """How a trial ended, the last two if a failure was expected."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    FAILED_AS_EXPECTED = "failed as expected"
    NOT_AS_EXPECTED = "did not fail as expected"


@dataclass(frozen=True)
class Trial:
    """One check on one variant of a rule in one kind of layer."""

    variant: Variant
    kind: LayerKind
    check: Check

    @property
    def id(self) -> str:
        """Rule, layer and check, such as "usf_sn.norm=spectral/conv2d/stride"."""
        return f"{self.variant.name}/{self.kind}/{self.check.name}"


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    Attributes:
        trial: Which one.
        status: How.
        sentence: What was computed, expected and found; or why it was skipped.
        reason: Why its failure was expected; empty where it was not.
    """

    trial: Trial
    status: Status
    sentence: str
    reason: str = ""

    @property
    def id(self) -> str:
        """The trial's."""
        return self.trial.id

    @property
    def good(self) -> bool:
        """Nothing to worry about: neither failed nor otherwise than expected."""
        return self.status not in (Status.FAILED, Status.NOT_AS_EXPECTED)


def trials_of(rule: str | Rule) -> list[Trial]:
    """Every check that the declared properties of `rule` call for, variant by variant.

    Raises:
        AuditError: No such rule.
    """
    return [
        Trial(variant, kind, check)
        for variant in variants_of(get_rule(rule))
        for kind in KINDS
        for check in CHECKS.values()
        if check.applies(variant, kind)
    ]


def all_trials() -> list[Trial]:
    """Every check of every rule."""
    return [trial for rule in RULES for trial in trials_of(rule)]


def run_trial(adapter: Adapter, trial: Trial) -> Result:
    """Run one trial in this process; whatever the implementation raises becomes its result."""
    # The same numbers for all rules: what is drawn does not depend on the variant.
    bench = Bench(adapter, trial.variant, trial.kind, f"{trial.kind}/{trial.check.name}")
    try:
        with _undisturbed(), torch.enable_grad():
            trial.check.function(bench)
    except NotOfferedError as error:
        return Result(trial, Status.SKIPPED, str(error) or "not offered")
    except FailedError as error:
        return Result(trial, Status.FAILED, _capitalised(str(error)))
    except Exception as error:  # what foreign objects can do has no end
        return Result(trial, Status.FAILED, f"The check broke off with {raised(error)}.")
    return Result(trial, Status.PASSED, _capitalised("; ".join(dict.fromkeys(bench.findings))))


def _capitalised(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:]}."


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Implementations may draw from the global generators, always the same, and may warn."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
