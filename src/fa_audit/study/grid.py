"""Lists in an entry of [[configurations]]: one configuration for each combination of values."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from fa_audit.errors import AuditError

# Keys whose value is not a setting to be varied.
FIXED = ("id", "rule", "seeds", "trained_layers")


def grid(entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The configurations that an entry stands for, each with its id.

    `rule = "fa_random"`, `learning_rate = [1e-3, 3e-3]` gives fa_random.learning_rate=0.001 and
    fa_random.learning_rate=0.003; several lists give every combination, the last varying fastest.
    An entry without lists is one configuration, called by its id or else by its rule.

    Raises:
        AuditError: A list is empty.
    """
    id = str(entry.get("id", entry.get("rule", "")))
    varied = {
        key: values
        for key, values in entry.items()
        if isinstance(values, list) and key not in FIXED
    }
    for key, values in varied.items():
        if not values:
            raise AuditError(f"configuration {id!r}: {key} is an empty list; give it values")
    for combination in product(*varied.values()):
        chosen = dict(zip(varied, combination, strict=True))
        parts = [id, *(f"{key}={_shortest(value)}" for key, value in chosen.items())]
        yield ".".join(parts), {**entry, **chosen}


def _shortest(value: Any) -> str:
    """A value as an id has it: 0.001, 1e-05, 1, spectral."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
