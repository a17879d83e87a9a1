"""Which wrong variant of fa_audit fails which checks: derived, and written down in table.md."""

import functools
from importlib import import_module
from pathlib import Path

from mutations.registry import BROKEN, CHECKS, Broken

for room in ("feedback", "layers", "metrics", "measure", "data", "training", "updates", "audit"):
    import_module(f"mutations.broken.{room}")
    import_module(f"mutations.checks.{room}")

TABLE = Path(__file__).parent / "table.md"


@functools.cache
def catching(variant: Broken) -> tuple[str, ...]:
    """The checks that fail while a variant is installed."""
    return variant.failing(CHECKS)


def render() -> str:
    """Every variant with the checks that catch it, and every check with how often it does."""
    caught = {variant: catching(variant) for variant in BROKEN}
    lines = [
        "# What the checks catch",
        "",
        f"{sum(map(bool, caught.values()))} of {len(caught)} wrong variants of fa_audit are caught "
        f"by the {len(CHECKS)} checks below. Written by `python -m mutations` in `tests`.",
        "",
        "| Room | Wrong variant | What is wrong | Caught by |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {variant.room} | {variant.name} | {_cell(variant.sentence)} | {', '.join(checks)} |"
        for variant, checks in caught.items()
    ]
    lines += ["", "| Check | What it states | Variants caught |", "| --- | --- | --- |"]
    lines += [
        f"| {check.id} | {_cell(check.statement)} | {sum(check.id in c for c in caught.values())} |"
        for check in CHECKS
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
