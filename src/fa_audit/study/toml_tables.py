"""Tables of TOML, read into dataclasses: every key known, every value of the type declared."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fa_audit.errors import AuditError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = typing.TypeVar("Settings", bound="DataclassInstance")


def read_settings(where: str, cls: type[Settings], values: Any) -> Settings:
    """Fill a dataclass of settings from a table, each value of the type its field declares.

    Args:
        where: What the table is called in errors: "[data]", "configuration 'bp'".
        cls: The dataclass. A field called class_ is the key class.
        values: What stands in the file under that name.

    Raises:
        AuditError: It is no table, lacks a field without default, has a key that is no field, or a
            value of another type; or the dataclass itself refuses the values.
    """
    if not isinstance(values, dict):
        raise AuditError(f"{where} must be a table")
    # "class" is a word that Python keeps to itself.
    fields = {entry.name.rstrip("_"): entry for entry in dataclasses.fields(cls)}
    require_known(where, values, tuple(fields))
    for name, entry in fields.items():
        required = (
            entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise AuditError(f"{where} lacks {name}")
    typed = {
        fields[name].name: _typed(f"{where} {name}", fields[name].type, value)
        for name, value in values.items()
    }
    return cls(**typed)


def _typed(name: str, declared: Any, value: Any) -> Any:
    """`value` if it has the declared type; whole numbers pass for floats."""
    if declared in (tuple[str, ...], tuple[str, ...] | None):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise AuditError(f"{name} is {value!r}; it must be a list of texts")
    if declared == Mapping[str, tuple[str, ...]]:
        if not isinstance(value, dict):
            raise AuditError(f"{name} is {value!r}; it must be a table")
        return {key: _typed(f"{name}.{key}", tuple[str, ...], of) for key, of in value.items()}
    permitted = typing.get_args(declared) or (declared,)
    if isinstance(value, dict) and Mapping[str, int] in permitted:
        return {key: _typed(f"{name}.{key}", int, of) for key, of in value.items()}
    if float in permitted and type(value) is int:
        return float(value)
    if type(value) in permitted:
        return value
    wanted = " or ".join(
        "table" if t == Mapping[str, int] else t.__name__ for t in permitted if t is not type(None)
    )
    raise AuditError(f"{name} is {value!r}; it must be of type {wanted}")


def require_known(where: str, table: Mapping[str, Any], *keys: tuple[str, ...]) -> None:
    """Refuse a table with a key that is in none of the groups of keys."""
    known = [key for group in keys for key in group]
    for key in table:
        if key not in known:
            raise AuditError(f"{where} has an unknown key {key!r}; it may have: {', '.join(known)}")


def read_text(table: Mapping[str, Any], key: str) -> str:
    """The text under a key, which must be there and not be empty."""
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise AuditError(f"{key} is missing or not a text")
    return value
