"""A rule with its options chosen: what one column of a conformance table is about."""

from dataclasses import dataclass
from itertools import product
from typing import cast

import torch

from fa_audit.conformance.arithmetic import Array
from fa_audit.rules.table import Rule


@dataclass(frozen=True)
class Variant:
    """A rule with a value for each of its options."""

    rule: Rule
    options: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The rule's name, then every option that differs from its default."""
        chosen = [
            f"{option}={value}"
            for option, value in self.options
            if value != self.rule.options[option][0]
        ]
        return ".".join([self.rule.name, *chosen])

    @property
    def is_default(self) -> bool:
        """All options have their default; the declared properties are about this variant."""
        return self.name == self.rule.name

    def feedback(self, weight: Array, initial: Array | None) -> Array:
        """B by the rule's equation, in float64."""
        B = self.rule.feedback(
            torch.from_numpy(weight),
            None if initial is None else torch.from_numpy(initial),
            **dict(self.options),
        )
        return cast(Array, B.numpy())


def variants_of(rule: Rule) -> list[Variant]:
    """Every combination of the rule's options, the defaults first."""
    return [
        Variant(rule, tuple(zip(rule.options, values, strict=True)))
        for values in product(*rule.options.values())
    ]
