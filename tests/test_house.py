"""The house rules: who may import whom, and what no test may do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import fa_audit

SOURCE = Path(fa_audit.__file__).parent
TESTS = Path(__file__).parent

# Room → the rooms it may import from. A room is a package or a module of its own.
FOUNDATION = {"errors", "hashing", "streams"}
BELOW_MEASURE = FOUNDATION | {"networks", "rules", "data", "metrics"}
BELOW_TRAINING = BELOW_MEASURE | {"measure"}
MAY_IMPORT: dict[str, set[str]] = {
    **{room: set() for room in FOUNDATION},
    "metrics": FOUNDATION,
    "rules": FOUNDATION,
    "data": FOUNDATION,
    "networks": FOUNDATION | {"rules"},
    "measure": BELOW_MEASURE,
    "training": BELOW_TRAINING,
    "study": BELOW_TRAINING | {"training"},
    # Judging never trains: of what lies below the study it knows the data's fingerprints, and what
    # rules are like by their definition.
    "audit": FOUNDATION | {"study", "data", "rules"},
    # The page counts what a network costs, which needs one built, not trained.
    "report": BELOW_MEASURE | {"measure", "study", "audit"},
    "quick": set(),
    "conformance": FOUNDATION | {"rules"},
    "cli": BELOW_TRAINING | {"training", "study", "audit", "report", "quick", "conformance"},
    "__main__": {"cli"},
    "__init__": {"errors", "rules", "measure"},
}


def imported_rooms(file: Path, source: Path) -> Iterator[str]:
    """The rooms that a file imports from, wherever in the file it does so."""
    package = ["fa_audit", *file.relative_to(source).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            anchor = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*anchor, *([node.module] if node.module else [])])
            # `from fa_audit import rules` names a room, `from fa_audit import RULES` the package.
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, *rest = name.split(".")
            if top == "fa_audit":
                yield rest[0] if rest and rest[0] in MAY_IMPORT else "__init__"


def violations(source: Path) -> list[str]:
    """What contradicts MAY_IMPORT in a tree of source files, as sentences."""
    found = []
    for file in sorted(source.rglob("*.py")):
        room = file.relative_to(source).parts[0].removesuffix(".py")
        if room not in MAY_IMPORT:
            found.append(f"{file.name} is in {room}, which has no row in MAY_IMPORT")
            continue
        for other in sorted(set(imported_rooms(file, source)) - MAY_IMPORT[room] - {room}):
            found.append(f"{room} may not import {other}: {file.relative_to(source)}")
    return found


def test_imports_go_one_way_through_the_house() -> None:
    assert violations(SOURCE) == []


def test_the_import_rules_have_no_way_back_up() -> None:
    done: set[str] = set()
    waiting = dict(MAY_IMPORT)
    while waiting:
        free = {room for room, below in waiting.items() if below - {room} <= done}
        assert free, f"these rooms import each other in a circle: {sorted(waiting)}"
        done |= free
        waiting = {room: below for room, below in waiting.items() if room not in free}


@pytest.mark.parametrize(
    ("file", "statement", "sentence"),
    [
        ("metrics/a.py", "from fa_audit.rules import RULES", "metrics may not import rules"),
        ("rules/a.py", "import fa_audit.metrics.cka", "rules may not import metrics"),
        ("rules/a.py", "from fa_audit import metrics", "rules may not import metrics"),
        ("metrics/a.py", "from ..data import images", "metrics may not import data"),
        ("metrics/a.py", "from .. import rules", "metrics may not import rules"),
        ("measure/a.py", "from fa_audit.training import trainer", "measure may not import train"),
        ("training/a.py", "def f():\n    from fa_audit.study import run", "may not import study"),
        ("study/a.py", "if 1:\n    import fa_audit.audit as a", "study may not import audit"),
        ("audit/a.py", "from fa_audit.training.trainer import Trainer", "may not import training"),
        ("data/a.py", "from fa_audit import RULES", "data may not import __init__"),
        ("attic/a.py", "import math", "attic, which has no row"),
    ],
)
def test_a_planted_import_is_found(
    tmp_path: Path, file: str, statement: str, sentence: str
) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(f"{statement}\n", encoding="utf-8")
    assert [sentence in violation for violation in violations(tmp_path)] == [True]


def test_imports_within_a_room_and_down_are_free(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    lines = ["from . import files", "from fa_audit.study.files import x", "from ..data import y"]
    (tmp_path / "study" / "a.py").write_text("\n".join(lines), encoding="utf-8")
    assert violations(tmp_path) == []


@pytest.mark.parametrize("twin", sorted((TESTS / "oracles").glob("*.py")), ids=lambda f: f.stem)
def test_an_oracle_imports_nothing_that_it_checks(twin: Path) -> None:
    assert list(imported_rooms(twin, TESTS)) == []


GUARDED = """
import random, socket
import numpy as np, pytest, torch

def test_torch_draw(): torch.rand(1)
def test_torch_seed(): torch.manual_seed(1)
def test_numpy_draw(): np.random.rand(1)
def test_own_generators():
    torch.rand(1, generator=torch.Generator().manual_seed(1))
    np.random.default_rng(1).random()
def test_far_connection():
    with socket.socket() as s: s.connect(("192.0.2.1", 9))
def test_far_connection_ex():
    with socket.socket() as s: s.connect_ex(("192.0.2.1", 9))
def test_near_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
@pytest.mark.real_data
def test_real_data(): raise AssertionError
def test_folder(cifar10_folder): raise AssertionError
"""


@pytest.mark.parametrize(
    ("folder", "reason"),
    [(None, "FA_AUDIT_DATA is not set"), ("empty", "holds neither cifar-10-batches-bin nor")],
)
def test_the_guards_of_conftest_catch_what_they_forbid(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, folder: str | None, reason: str
) -> None:
    if folder is None:
        monkeypatch.delenv("FA_AUDIT_DATA", raising=False)
    else:
        monkeypatch.setenv("FA_AUDIT_DATA", str(pytester.mkdir(folder)))
    pytester.makeconftest((TESTS / "conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers =\n    real_data\n    cuda\n")
    pytester.makepyfile(GUARDED)
    numpy_state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        result = pytester.runpytest_inprocess("-rs")
    np.random.set_state(numpy_state)  # noqa: NPY002
    result.assert_outcomes(passed=5, failed=2, errors=3, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "*changed the global random state of torch*",
            "*changed the global random state of numpy*",
            "*a test tried to connect to ('192.0.2.1', 9)*",
            f"SKIPPED*{reason}*",
        ]
    )
