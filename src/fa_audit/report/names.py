"""What things are called in front of people: configurations, comparisons, measures, places."""

import re
from collections.abc import Sequence

from fa_audit.rules import RULES
from fa_audit.study.pairs import OTHER_SEED, SHUFFLED, UNTRAINED

_MEASURES = {
    "test_accuracy": "test accuracy",
    "validation_accuracy": "validation accuracy",
    "train_loss": "training loss",
    "local_angle": "local angle",
    "true_angle": "angle to the true gradient",
    "predicted_angle": "predicted angle",
    "sign_concordance": "sign concordance",
    "distance": "distance moved",
    "cka": "CKA",
    "subset_size": "images in a subset",
    "test_accuracy_per_class": "test accuracy by class",
}

_GRID = "grid-"
_SETTING = re.compile(r"\.([a-z_]+)=(.+?)(?=\.[a-z_]+=|$)")
SETTINGS = {"learning_rate": "lr", "feedback_scale": "σ", "weight_decay": "decay"}

_DETAILS = {
    "all": "all images",
    "both-right": "images both get right",
    "reference-right-only": "images only the reference gets right",
    "start": "before training",
    "lowest": "at its lowest",
    "end": "after training",
    "best-validation": "best validation epoch",
    "last": "last epoch",
}

_SUFFIXES = {OTHER_SEED: "other seed", SHUFFLED: "shuffled images"}


def configuration_title(id: str) -> str:
    """A configuration: the rule's name where it is called after its rule, its own name else.

    Settings that a grid varied are written out: "FA (Random) grid, lr 0.001, σ 0.01".
    """
    name = grid_name(id)
    settings = "".join(f", {SETTINGS.get(key, key)} {value}" for key, value in _SETTING.findall(id))
    rule = RULES.get(name.removeprefix(_GRID))
    if rule is None:
        return name + settings
    return f"{rule.title} grid{settings}" if name.startswith(_GRID) else rule.title + settings


def grid_name(id: str) -> str:
    """What the configurations of one grid have in common in their ids."""
    return id.partition("=")[0].rpartition(".")[0] if "=" in id else id


def sides(comparison: str) -> tuple[str, str]:
    """The two sides of a comparison such as "fa_random~bp.other-seed"."""
    rows, _, columns = comparison.partition("~")
    return rows, columns


def base(side: str) -> str:
    """The configuration a side is of, without what is done to it."""
    return side.removesuffix(OTHER_SEED).removesuffix(SHUFFLED)


def is_control(comparison: str) -> bool:
    """Whether a comparison is a yardstick: another seed, an untrained network, shuffled images."""
    return any(base(side) != side or side == UNTRAINED for side in sides(comparison))


def subject_title(subject: str) -> str:
    """A configuration or a comparison, such as "FA (Random) ~ BP, other seed"."""
    return " ~ ".join(_side_title(side) for side in subject.split("~"))


def _side_title(side: str) -> str:
    name = base(side)
    suffix = side.removeprefix(name)
    return configuration_title(name) + (f", {_SUFFIXES[suffix]}" if suffix else "")


def quantity_title(quantity: str) -> str:
    """What a verdict estimates: one subject, or a difference of two, or of two differences."""
    return re.sub(r"[^\s()−]+", lambda subject: subject_title(subject[0]), quantity)


def with_titles(text: str, subjects: Sequence[str]) -> str:
    """A sentence with the titles of these subjects in place of their ids."""
    for subject in sorted(subjects, key=len, reverse=True):
        id = rf"(?<![\w~.]){re.escape(subject)}(?![\w~]|\.\w)"
        text = re.sub(id, subject_title(subject).replace("\\", r"\\"), text)
    return text


def measure_title(measure: str) -> str:
    """A measure, such as "CKA, all images" for "cka/all"."""
    name, _, detail = measure.partition("/")
    title = _MEASURES.get(name, name.replace("_", " "))
    return f"{title}, {_DETAILS.get(detail, detail)}" if detail else title


def measure_family(measure: str) -> str:
    """What measures of one kind have in common: "CKA" for "cka/all" and "cka/both-right"."""
    return measure_title(measure.partition("/")[0])


def place_title(at: str) -> str:
    """A place or moment, such as "fc3 with conv1" for "fc3/conv1"."""
    rows, slash, columns = at.partition("/")
    if not slash:
        return _DETAILS.get(at, at)
    return rows if rows == columns else f"{rows} with {columns}"
