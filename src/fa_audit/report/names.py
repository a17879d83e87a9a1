"""What things are called in front of people: configurations, comparisons, measures, places."""

import re
from collections.abc import Sequence

from fa_audit.rules import RULES
from fa_audit.study.pairs import OTHER_SEED, SHUFFLED, UNTRAINED
from fa_audit.study.spec import CHANNELS, COST

_MEASURES = {
    "test_accuracy": "test accuracy",
    "validation_accuracy": "validation accuracy",
    "train_loss": "training loss",
    "local_angle": "local angle",
    "true_angle": "angle to the true gradient",
    "predicted_angle": "predicted angle",
    "sign_concordance": "sign concordance",
    "distance": "distance moved",
    "effective_rank": "effective rank",
    "cka": "CKA",
    "subset_size": "images in a subset",
    "test_accuracy_per_class": "test accuracy by class",
    "exemplar_classes": "classes of exemplars",
    "exemplar_brightness": "brightness of exemplars",
    "exemplar_contrast": "contrast of exemplars",
    "cost": "cost of a step",
    "cost/parameters": "parameters",
    "cost/stored": "stored feedback",
    "cost/made": "feedback made",
    "cost/operations": "operations that make feedback",
    "cost/forward": "multiply-adds, forward",
    "cost/sent": "multiply-adds, error sent down",
    "cost/weight_gradient": "multiply-adds, weight gradient",
    "cost_ratio": "cost beside the reference",
    "cost_ratio/multiply_adds": "multiply-adds beside the reference",
    "cost_ratio/kept": "parameters and stored feedback beside the reference",
    "cost_ratio/seconds": "time of a step beside the reference",
    "cost_ratio/peak_memory": "peak memory beside the reference",
    "step_seconds": "time of a step",
    "peak_memory": "peak memory of a step",
}
"""Measures, up to their first slash or whole, that their own words would not say plainly."""

_GRID = "grid-"
_SETTING = re.compile(r"\.([a-z_]+)=(.+?)(?=\.[a-z_]+=|$)")
SETTINGS = {"learning_rate": "lr", "feedback_scale": "σ", "weight_decay": "decay"}

_DETAILS = {
    "all": "all images",
    "both-right": "images both get right",
    "reference-right-only": "images only the reference gets right",
    "start": "before training",
    "lowest": "at its lowest",
    "highest": "at its highest",
    "end": "after training",
    "best-validation": "best validation epoch",
    "last": "last epoch",
    "absolute": "importance without sign",
    "signed": "importance with sign",
    "exemplars": "of the exemplars",
    "test-set": "of all test images",
    "difference": "of the exemplars − of all test images",
    "total": "whole network",
    "own": "its own",
    "reference": "the reference's",
}

_SUFFIXES = {
    OTHER_SEED: "other seed",
    SHUFFLED: "shuffled images",
    CHANNELS: "channels",
    COST: "cost of a step",
}

_PARTS = {"fa": "FA", "muon": "Muon", "bn": "BN"}
"""Parts of ids such as "fa+muon" that are no rules, as they are usually written."""


def configuration_title(id: str) -> str:
    """A configuration: the rule's name where it is called after its rule, its own name else.

    What was added to a rule stands behind it: "BP + Muon". Settings that a grid varied are written
    out: "FA (Random) grid, lr 0.001, σ 0.01".
    """
    name = grid_name(id)
    settings = "".join(f", {SETTINGS.get(key, key)} {value}" for key, value in _SETTING.findall(id))
    grid = " grid" if name.startswith(_GRID) else ""
    return " + ".join(map(_part_title, name.removeprefix(_GRID).split("+"))) + grid + settings


def _part_title(part: str) -> str:
    rule = RULES.get(part)
    return _PARTS.get(part, part) if rule is None else rule.title


def grid_name(id: str) -> str:
    """What the configurations of one grid have in common in their ids."""
    return id.partition("=")[0].rpartition(".")[0] if "=" in id else id


def sides(comparison: str) -> tuple[str, str]:
    """The two sides of a comparison such as "fa_random~bp.other-seed"."""
    rows, _, columns = comparison.partition("~")
    return rows, columns


def base(side: str) -> str:
    """The configuration that a side or a measurement is of, without what is done to it."""
    for suffix in _SUFFIXES:
        side = side.removesuffix(suffix)
    return side


def is_control(comparison: str) -> bool:
    """Whether a comparison is a yardstick: another seed, an untrained network, shuffled images."""
    return any(base(side) != side or side == UNTRAINED for side in sides(comparison))


def subject_title(subject: str) -> str:
    """A configuration, comparison or measurement, such as "FA (Random) ~ BP, other seed"."""
    return " ~ ".join(_side_title(side) for side in subject.split("~"))


def _side_title(side: str) -> str:
    name = base(side)
    suffix = side.removeprefix(name)
    return configuration_title(name) + (f", {_SUFFIXES[suffix]}" if suffix else "")


def quantity_title(quantity: str) -> str:
    """What a verdict estimates: one term, a difference of two, or of two differences."""
    return re.sub(
        r"[^\s()−]([^()−]*[^\s()−])?", lambda term: _within(term, _term_title(term[0])), quantity
    )


def _within(term: re.Match[str], title: str) -> str:
    """A title in the place of a term: a sum in brackets where it is part of a difference."""
    before, after = term.string[: term.start()], term.string[term.end() :]
    is_part = before.endswith("− ") or after.startswith(" −")
    return f"({title})" if is_part and " + " in title else title


def _term_title(term: str) -> str:
    """A term of a claim: its subject, and what tells it from another one of the same subject."""
    subject, _, what = term.partition(" ")
    title = subject_title(subject)
    return f"{title}, {_DETAILS.get(what) or measure_title(what)}" if what else title


def with_titles(text: str, subjects: Sequence[str]) -> str:
    """A sentence with the titles of these subjects in place of their ids."""
    for subject in sorted(subjects, key=len, reverse=True):
        id = rf"(?<![\w~.+=-]){re.escape(subject)}(?![\w~+=-]|\.\w)"
        title = subject_title(subject)
        text = re.sub(id, lambda term, title=title: _within(term, title), text)  # type: ignore[misc]
    return text


def measure_title(measure: str) -> str:
    """A measure, such as "CKA, all images" for "cka/all"."""
    name, *details = measure.split("/")
    if measure in _MEASURES:
        return _MEASURES[measure]
    title = _MEASURES.get(name, name.replace("_", " "))
    return ", ".join([title, *(_DETAILS.get(detail, detail) for detail in details)])


def measure_family(measure: str) -> str:
    """What measures of one kind have in common: "CKA" for "cka/all" and "cka/both-right"."""
    return measure_title(measure.partition("/")[0])


def place_title(at: str) -> str:
    """A place or moment, such as "fc3 with conv1" for "fc3/conv1"."""
    rows, slash, columns = at.partition("/")
    if not slash:
        return _DETAILS.get(at, at)
    return rows if rows == columns else f"{rows} with {columns}"
