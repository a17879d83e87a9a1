"""BioTorch's conformance, as committed: run this file in `tests` and redirect its output.

PYTHONPATH=tests python tests/conformance/biotorch_table.py > tests/conformance/biotorch_table.txt
"""

from functools import cache
from importlib.metadata import version
from pathlib import Path

from conformance.biotorch_adapters import constrained, layers
from fa_audit.conformance import Adapter, Result, check_rule, read_expected_failures
from fa_audit.conformance.expected import ExpectedFailures
from fa_audit.conformance.table import human_table

HERE = Path(__file__).parent
EXPECTED = HERE / "biotorch_expected.toml"
TABLE = HERE / "biotorch_table.txt"
HEAD = """\
BioTorch {version} (PyPI) held to the checks of fa-audit.
The layers that its conversion puts into a network do as those of the first table in every check.
Written by tests/conformance/biotorch_table.py; test_biotorch.py holds it to what comes out today.
"""


@cache
def judged(adapter: Adapter) -> list[Result]:
    """The results of the rules that are offered, in the light of the file of expected failures."""
    expected = ExpectedFailures(read_expected_failures(EXPECTED, adapter.name))
    results = [r for rule in adapter.rules for r in check_rule(adapter, rule, time_limit=None)]
    return [expected.judge(result) for result in results]


def render() -> str:
    """All tables."""
    tables = [human_table(a.name, judged(a)) for a in (layers, constrained)]
    return "\n\n".join([HEAD.format(version=version("biotorch")), *tables]) + "\n"


if __name__ == "__main__":
    print(render(), end="")
