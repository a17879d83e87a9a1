"""The pytest plugin: `pytest --fa-audit MODULE:ADAPTER` collects one test per check.

Loads PyTorch only if that option is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fa_audit.errors import AuditError

if TYPE_CHECKING:
    from fa_audit.conformance.parametrize import CheckCase, StaleCase


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("fa-audit", "conformance of feedback layers (fa-audit)")
    group.addoption(
        "--fa-audit",
        metavar="MODULE:ADAPTER",
        help="hold the implementation behind this adapter to the checks of fa-audit",
    )
    group.addoption(
        "--fa-audit-expected",
        metavar="FILE",
        type=Path,
        help="TOML file of expected failures, strict both ways",
    )
    group.addoption(
        "--fa-audit-time-limit",
        metavar="SECONDS",
        type=float,
        default=20.0,
        help="time after which a check has failed (default: 20)",
    )


@pytest.hookimpl(tryfirst=True)  # before items are chosen by -k
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Add a test per check to those collected."""
    target = session.config.getoption("--fa-audit")
    if target is None:
        return
    from fa_audit.conformance.parametrize import cases_of_target

    limit = session.config.getoption("--fa-audit-time-limit")
    expected = session.config.getoption("--fa-audit-expected")
    try:
        cases = cases_of_target(target, expected, limit)
    except AuditError as error:
        raise pytest.UsageError(f"--fa-audit: {error}") from error
    items += [
        ConformanceItem.from_parent(session, name=name, nodeid=f"{target}::{name}", case=case)
        for name, case in cases.items()
    ]


class ConformanceItem(pytest.Item):
    """One check, without a test file."""

    def __init__(self, *, case: CheckCase | StaleCase, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.case = case

    def runtest(self) -> None:
        """Run the check."""
        self.case()

    def reportinfo(self) -> tuple[Path, None, str]:
        """The item's name stands for its place."""
        return self.path, None, self.name
