"""A claims file: the only place where published numbers live, read and checked.

To save writing, `at` may be a list (one claim for each place, with `published` as a list beside
it), and a ``[[matrices]]`` table stands for one value claim for each of its cells, which a table of
verdicts counts together, and a ``[[properties]]`` table for one property claim for each rule under
`published`. A statement says where with "{at}", and which rule with "{rule}". `headlines` in the
header lists the ids of the claims that a short table shows.
"""

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from fa_audit.audit.claims import (
    KINDS,
    Claim,
    Claims,
    MeasuredClaim,
    OrderClaim,
    PropertyClaim,
    RangeClaim,
    SingleClaim,
    SourceClaim,
    ValueClaim,
    WinnerClaim,
)
from fa_audit.errors import AuditError, suggest

Table = Mapping[str, Any]

OPTIONAL = {"alpha", "headlines", "claims", "matrices", "properties"}
"""What a claims file may hold besides its header."""


def load_claims(path: Path | str) -> Claims:
    """Read and check a claims file.

    Args:
        path: A TOML file with `paper`, `source`, `data`, optionally `alpha` (default .05) and
            `headlines`, and tables ``[[claims]]``, ``[[matrices]]`` and ``[[properties]]``.

    Returns:
        The claims in the order of the file, then the cells of its matrices, then its properties.

    Raises:
        AuditError: The file cannot be read, or says something it must not; one sentence names the
            file, the claim, and what to do.
    """
    file = str(path)
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise AuditError(f"{file} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{file} is not valid TOML ({error}); mend it there.") from error

    header = {"paper", "source", "data"}
    _check_keys(content, header, header | OPTIONAL, file)
    for key in content:
        _check_value(key, content[key], file)
    tables = [
        *(one for table in content.get("claims", []) for one in _one_for_each_place(table, file)),
        *(cell for table in content.get("matrices", []) for cell in _cells(table, file)),
        *(
            one
            for table in content.get("properties", [])
            for one in _one_for_each_rule(table, file)
        ),
    ]
    claims = tuple(_parse(table, file) for table in tables)
    ids = [claim.id for claim in claims]
    if twice := _first_repeated(ids):
        raise AuditError(f"{file}: two claims are called {twice!r}; rename one of them.")
    _check_families(claims, file)
    headlines = tuple(content.get("headlines", ()))
    if twice := _first_repeated(headlines):
        raise AuditError(f"{file}: headlines name {twice!r} twice; leave one out.")
    for id in headlines:
        if id not in ids:
            raise AuditError(
                f"{file}: headlines name {id!r}, which is no claim; {suggest(id, ids)}"
            )
    return Claims(
        file=file,
        paper=content["paper"],
        source=content["source"],
        data=content["data"],
        alpha=float(content.get("alpha", 0.05)),
        claims=claims,
        headlines=headlines,
    )


def _first_repeated(ids: Sequence[str]) -> str | None:
    return next((id for i, id in enumerate(ids) if id in ids[:i]), None)


# What a key may hold: a check, and the same in words


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_above_zero(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(map(check, value))


def _is_one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, " or ".join(f'"{choice}"' for choice in choices)


CONTRADICTED = "contradicted by its own source"

_TEXT = (_is_text, "a text")
_TABLES = (_is_list_of(lambda value: isinstance(value, dict)), "a list of tables")
_NAMES = (_is_list_of(_is_text), "a list of names")

_KEYS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "paper": (_is_text, "the paper's title, authors and year"),
    "source": (_is_text, "what was read: paper, appendix, code"),
    "data": (_is_text, 'the images the claims are about, such as "cifar10"'),
    "alpha": (lambda value: _is_number(value) and 0 < value < 0.5, "an error rate in (0, .5)"),
    "headlines": (_NAMES[0], "a list of ids of claims"),
    "claims": _TABLES,
    "matrices": _TABLES,
    "properties": _TABLES,
    "id": (
        lambda value: isinstance(value, str) and re.fullmatch(r"[\w.~/-]+", value) is not None,
        "a name of letters, digits and . _ ~ / -",
    ),
    "kind": _is_one_of(*KINDS),
    "statement": (_is_text, "what is claimed, in our words"),
    "where": (_is_text, "where it stands: table, figure, section"),
    "read": _is_one_of("printed", "figure", "prose"),
    "note": _TEXT,
    "origin": _is_one_of("paper", "audit"),
    "grade": _is_one_of("abstract", "second-hand", "unknown"),
    "verdict": _is_one_of(CONTRADICTED, "not testable"),
    "evidence": (_is_text, "what settles the claim"),
    "measure": (_is_text, "the name of a measurement"),
    "at": (_is_text, "the place or moment of the measurement, or a list of them"),
    "unit": (_is_text, 'the unit, such as "%", "fraction" or "degrees"'),
    "published": (
        lambda value: _is_number(value) or _is_text(value),
        "the published number, or a text that shows it",
    ),
    "published_runs": (
        lambda value: type(value) is int and value >= 1,
        "the number of runs behind the published number, 1 or more",
    ),
    "reading_error": (lambda value: _is_number(value) and value >= 0, "a number, 0 or more"),
    "requires": (
        lambda value: (
            isinstance(value, dict)
            and all(isinstance(setting, (str, int, float)) for setting in value.values())
        ),
        "a table of training settings, such as { epochs = 50 }",
    ),
    "family": (_is_text, "the name of the family whose claims share one error rate"),
    "control": _is_one_of("family-wise", "false-discovery"),
    "matrix": (_is_text, "the name of the matrix that the claim is a cell of"),
    "of": (_is_text, "a configuration or comparison of the study"),
    "minus": (_is_text, "the configuration or comparison to subtract"),
    "minus_measure": (_is_text, "the name of the measurement to subtract"),
    "minus_at": (_is_text, "the place or moment of the measurement to subtract"),
    "rule": (_is_text, "the name of a rule"),
    "read_as": _TEXT,
    "aspect": (_is_text, "the name of an aspect of rules"),
    "beyond": (
        lambda value: _NAMES[0](value) and len(value) == 2,
        "two configurations or comparisons, whose difference is to be subtracted",
    ),
    "margin": (
        _is_above_zero,
        "a number above 0, fixed beforehand: the largest half-width that still informs (value), "
        "or how near counts as equal (equivalence)",
    ),
    "low": (_is_number, "a number"),
    "high": (_is_number, "a number"),
    "target": (_is_number, "a number"),
    "groups": (_is_list_of(_NAMES[0]), "a list of lists of configurations"),
    "direction": _is_one_of("descending", "ascending"),
    "at_least": (_is_above_zero, "a number above 0: how far apart"),
    "grid": (_NAMES[0], "a list of configurations"),
    "winner": (_is_text, "the configuration of the grid that wins"),
    "rows": _NAMES,
    "columns": _NAMES,
    "cells": _is_one_of("all", "diagonal"),
}

_BOUNDS = {"%": (0, 100), "fraction": (0, 1), "degrees": (0, 180)}
"""What a measurement in these units can be at all."""


def _place(file: str, table: Table) -> str:
    """Where a table stands, as far as it says so itself."""
    name = table.get("id", table.get("statement"))
    return f"{file}, claim {name!r}" if name is not None else f"{file}, a claim without id"


def _check_keys(table: Table, required: set[str], allowed: set[str], place: str) -> None:
    for key in table:
        if key not in allowed:
            raise AuditError(f"{place}: unknown key {key!r}; {suggest(key, allowed)}")
    for key in sorted(required):
        if key not in table:
            raise AuditError(f"{place}: {key!r} is missing; add {key} = {_KEYS[key][1]}.")


def _check_value(key: str, value: object, place: str) -> None:
    check, meaning = _KEYS[key]
    if not check(value):
        raise AuditError(f"{place}: {key} = {value!r} will not do; it must be {meaning}.")


# From tables to claims


def _one_for_each_place(table: Table, file: str) -> Iterator[Table]:
    """Expand a claim whose `at` is a list."""
    places, published = table.get("at"), table.get("published")
    if not isinstance(places, list):
        yield table
        return
    if not isinstance(published, list):
        published = [published] * len(places)
    if not _NAMES[0](places) or len(published) != len(places):
        raise AuditError(
            f"{_place(file, table)}: a list under 'at' must hold names, and one under 'published' "
            f"as many; got {len(places)} and {len(published)}."
        )
    for place, number in zip(places, published, strict=True):
        one = {**table, "id": f"{table.get('id', '')}/{place}", "at": place, "published": number}
        yield {key: value for key, value in one.items() if value is not None}


def _cells(table: Table, file: str) -> Iterator[Table]:
    """Expand a matrix into one value claim for each of its cells, or of those on its diagonal."""
    place = _place(file, table)
    own = {"rows", "columns", "cells"}
    known = {*own, *_names(ValueClaim)} - {"matrix"}
    _check_keys(table, {"id", "rows", "columns", "published"}, known, place)
    for key in ("id", *(own & table.keys())):
        _check_value(key, table[key], place)
    rows, columns, published = table["rows"], table["columns"], table["published"]
    if not (
        isinstance(published, list)
        and len(published) == len(rows)
        and all(isinstance(row, list) and len(row) == len(columns) for row in published)
    ):
        raise AuditError(
            f"{place}: 'published' must be a matrix of {len(rows)} rows and {len(columns)} "
            "columns, as 'rows' and 'columns' say; mend either."
        )
    shared = {key: value for key, value in table.items() if key not in own}
    shared["matrix"] = table["id"]
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if i == j or table.get("cells", "all") == "all":
                at = f"{row}/{column}"
                cell = {"id": f"{table['id']}/{at}", "at": at, "published": published[i][j]}
                yield {**shared, **cell, "kind": "value"}


def _one_for_each_rule(table: Table, file: str) -> Iterator[Table]:
    """Expand a table of one aspect into one property claim for each rule under `published`."""
    place = _place(file, table)
    _check_keys(table, {"id", "published"}, _names(PropertyClaim) - {"rule"}, place)
    _check_value("id", table["id"], place)
    if not isinstance(table["published"], dict):
        raise AuditError(
            f"{place}: 'published' must be a table of rules; write rule = \"…\" there."
        )
    for rule, published in table["published"].items():
        one = {"id": f"{table['id']}/{rule}", "rule": rule, "published": published}
        yield {**table, **one, "kind": "property"}


def _names(kind: type[Claim]) -> set[str]:
    return {entry.name for entry in fields(kind)}


def _parse(table: Table, file: str) -> Claim:
    """One table, checked key by key and then as a whole."""
    place = _place(file, table)
    if "kind" not in table:
        raise AuditError(f"{place}: 'kind' is missing; add kind = {_KEYS['kind'][1]}.")
    _check_value("kind", table["kind"], place)
    kind = KINDS[table["kind"]]
    values = {key: value for key, value in table.items() if key != "kind"}
    required = {
        entry.name
        for entry in fields(kind)
        if entry.default is MISSING and entry.default_factory is MISSING
    }
    _check_keys(values, required, _names(kind), place)
    for key, value in values.items():
        _check_value(key, value, place)
    if "at" in values:
        values["statement"] = values["statement"].replace("{at}", values["at"])
    if "rule" in values:
        values["statement"] = values["statement"].replace("{rule}", values["rule"])
    if "groups" in values:
        values["groups"] = tuple(tuple(group) for group in values["groups"])
    for key in ("grid", "beyond"):
        if key in values:
            values[key] = tuple(values[key])
    claim = kind(**values)
    problem = _contradiction(claim)
    if problem:
        raise AuditError(f"{place}: {problem}.")
    return claim


def _contradiction(claim: Claim) -> str | None:
    """What is wrong with a claim whose every key is right by itself."""
    if len(set(claim.subjects)) < len(claim.subjects):
        return f"it names {claim.subjects[0]!r} or another twice; compare different ones"
    if isinstance(claim, SingleClaim) and claim.is_difference and len(claim.terms) < 2:
        return f"it subtracts {claim.of!r} from itself; name another measure or place to subtract"
    if isinstance(claim, SingleClaim) and claim.beyond:
        if claim.minus is None:
            return "beyond subtracts from a difference; add minus"
        if claim.minus_measure or claim.minus_at:
            return "beyond is about one measure at one place; leave out minus_measure, minus_at"
    if isinstance(claim, SourceClaim) and claim.origin == "audit" and claim.verdict == CONTRADICTED:
        return "only the paper can contradict itself; leave out origin"
    if claim.origin == "audit" and claim.grade:
        return "grade is about what a paper says; leave it or origin out"
    if isinstance(claim, OrderClaim) and len(claim.groups) < 2:
        return "an order needs at least two groups; add the second"
    if isinstance(claim, WinnerClaim):
        if len(claim.grid) < 2:
            return "a grid needs at least two configurations; add the second"
        if claim.winner not in claim.grid:
            return f"its winner {claim.winner!r} is not in its grid; name one that is"
    if isinstance(claim, MeasuredClaim) and claim.control != "family-wise":
        if claim.family is None:
            return f"control = {claim.control!r} is about a family; add family"
        if isinstance(claim, OrderClaim):
            return f"control = {claim.control!r} counts claims, not an order's pairs; leave it out"
    if isinstance(claim, RangeClaim) and not claim.low < claim.high:
        return f"low = {claim.low} is not below high = {claim.high}; swap or widen them"
    if isinstance(claim, ValueClaim):
        if not _is_number(claim.published):
            return "a value claim computes with 'published'; give it as a number"
        if claim.reading_error >= claim.margin:
            return (
                f"the reading error {claim.reading_error} uses up the margin {claim.margin}; "
                "read more exactly or widen the margin"
            )
        if claim.read == "figure" and claim.reading_error == 0:
            return "a number read off a figure has a reading error; add reading_error"
    if isinstance(claim, SingleClaim) and not claim.is_difference and claim.unit in _BOUNDS:
        low, high = _BOUNDS[claim.unit]
        for key in sorted({"published", "low", "high", "target"} & _names(type(claim))):
            number = getattr(claim, key)
            if isinstance(number, (int, float)) and not low <= number <= high:
                return f"{key} = {number} is impossible in {claim.unit}; give {low} to {high}"
    return None


def _check_families(claims: Sequence[Claim], file: str) -> None:
    """Refuse a family whose claims do not share one error rate of one question."""
    first: dict[str, MeasuredClaim] = {}
    for claim in claims:
        if not isinstance(claim, MeasuredClaim) or claim.family is None:
            continue
        other = first.setdefault(claim.family, claim)
        for what, mine, theirs in [
            ("control", claim.control, other.control),
            ("kind", _question(claim), _question(other)),
        ]:
            if mine != theirs:
                raise AuditError(
                    f"{file}, claim {claim.id!r}: its {what} is {mine}, that of {other.id!r} in "
                    f"family {claim.family!r} is {theirs}; give each {what} its own family."
                )


def _question(claim: MeasuredClaim) -> str:
    """A kind, or two that ask the same of a mean."""
    return "range or equivalence" if claim.kind in ("range", "equivalence") else claim.kind
