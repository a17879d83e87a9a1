"""Find an adapter by its name, and carry one from one process to another."""

import base64
import importlib
import importlib.util
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

from fa_audit.conformance.adapter import Adapter
from fa_audit.errors import AuditError
from fa_audit.rules.table import RULES


def load_target(target: str) -> Adapter:
    """The adapter that MODULE:ADAPTER names: an instance, or a class to make one of.

    Raises:
        AuditError: It cannot be imported, or is no adapter.
    """
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise AuditError(f"{target!r} names no adapter; write MODULE:ADAPTER")
    try:
        found = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a foreign module may raise anything
        raise AuditError(
            f"module {module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(found, attribute):
        raise AuditError(f"module {module_name!r} has no {attribute!r}")
    return as_adapter(getattr(found, attribute), target)


def as_adapter(found: object, target: str) -> Adapter:
    """`found` if it is an adapter, made into an instance if it is a class, its rules known.

    Raises:
        AuditError: It is no adapter, or offers no rule or one that is not in RULES.
    """
    if isinstance(found, type) and issubclass(found, Adapter):
        try:
            found = found()
        except Exception as error:
            raise AuditError(f"{target} cannot be made into an adapter: {error}") from error
    if not isinstance(found, Adapter):
        raise AuditError(
            f"{target} is of type {type(found).__name__}, not an instance or a subclass of "
            "fa_audit.conformance.Adapter"
        )
    rules = getattr(found, "rules", None)
    if not isinstance(rules, Mapping):
        raise AuditError(f"{target} needs an attribute rules: {{name in RULES: name used there}}")
    if not rules:
        raise AuditError(f"{target} offers no rule; name one or more of RULES in its rules")
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown:
        raise AuditError(
            f"{target} offers rules that do not exist: {', '.join(map(repr, unknown))}; "
            f"the rules are: {', '.join(RULES)}"
        )
    return found


def pack(adapter: Adapter) -> dict[str, str]:
    """What a fresh process needs to make the same adapter.

    Raises:
        AuditError: The adapter's class cannot be found by a fresh process.
    """
    module_name = type(adapter).__module__
    file = getattr(sys.modules.get(module_name), "__file__", None) or ""
    try:
        packed = pickle.dumps(adapter)
    except Exception as error:
        raise AuditError(
            f"adapter {adapter.name!r} cannot be sent to a process of its own ({error}); define "
            "its class at the top of a module, or give time_limit=None"
        ) from error
    if module_name == "__main__":
        raise AuditError(
            f"adapter {adapter.name!r} is defined in the script or notebook that is running, where "
            "no other process finds it; define it in a module, or give time_limit=None"
        )
    return {"module": module_name, "file": file, "pickle": base64.b64encode(packed).decode()}


def unpack(packed: dict[str, str]) -> Adapter:
    """The adapter that `pack` packed in another process; imports its module from its file."""
    name, file = packed["module"], packed["file"]
    try:
        importlib.import_module(name)
    except ImportError:
        # A test module is often not importable by its name; its file is all there is.
        spec = importlib.util.spec_from_file_location(name, file)
        if not Path(file).is_file() or spec is None or spec.loader is None:
            raise
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    adapter: Adapter = pickle.loads(base64.b64decode(packed["pickle"]))
    return adapter
