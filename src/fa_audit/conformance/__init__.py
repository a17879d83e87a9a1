"""Conformance: the checks that anybody's implementation of a rule can be held to.

Loads PyTorch only when something here is used, so that the pytest plugin costs nothing elsewhere.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fa_audit.conformance.adapter import Adapter, LayerSpec, NotOfferedError
    from fa_audit.conformance.command import check_command
    from fa_audit.conformance.expected import read_expected_failures
    from fa_audit.conformance.parametrize import parametrize_with_rule_checks
    from fa_audit.conformance.runner import check_all, check_rule
    from fa_audit.conformance.trials import Result, Status

_HOME = {
    "Adapter": "adapter",
    "LayerSpec": "adapter",
    "NotOfferedError": "adapter",
    "Result": "trials",
    "Status": "trials",
    "check_all": "runner",
    "check_command": "command",
    "check_rule": "runner",
    "parametrize_with_rule_checks": "parametrize",
    "read_expected_failures": "expected",
}

__all__ = [
    "Adapter",
    "LayerSpec",
    "NotOfferedError",
    "Result",
    "Status",
    "check_all",
    "check_command",
    "check_rule",
    "parametrize_with_rule_checks",
    "read_expected_failures",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
