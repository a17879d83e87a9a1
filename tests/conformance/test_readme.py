"""The page for implementers, from its first block to its last, and the workflow that it names."""

import re
import shlex
from pathlib import Path

import pytest

import fa_audit.conformance
from fa_audit import cli
from fa_audit.conformance import Adapter, parametrize
from fa_audit.conformance import command as command_module
from fa_audit.conformance.loading import load_target
from fa_audit.conformance.runner import ThisProcess

PAGE = (Path(fa_audit.conformance.__file__).parent / "README.md").read_text(encoding="utf-8")
WORKFLOW = Path(__file__).parents[2] / ".github" / "workflows" / "conformance.yml"
BLOCKS = re.findall(r"^```(\w+) ?(.*?)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def matches(shown: str, printed: str) -> bool:
    """Whether the lines shown are printed in this order; "..." stands for anything left out."""
    pattern = "\n".join(
        ".*" if line == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*")
        for line in shown.strip().splitlines()
    )
    return re.fullmatch(pattern, printed.strip(), flags=re.DOTALL) is not None


def in_this_process(adapter: Adapter | str, time_limit: float) -> ThisProcess:
    return ThisProcess(load_target(adapter) if isinstance(adapter, str) else adapter)


def test_the_page_from_top_to_bottom(pytester, monkeypatch, capsys):
    """Files are written as they come, commands are run between them.

    The first command in earnest; the others without a process of their own, which takes seconds.
    """
    pytester.syspathinsert()
    commands = 0
    for language, info, content in BLOCKS:
        if language == "console":
            command, shown = content.split("\n", 1)
            code = cli.main(shlex.split(command.removeprefix("$ fa-audit ")))
            printed = f"{capsys.readouterr().out}exit code {code}"
            assert matches(shown, printed), f"{command} printed\n{printed}"
            commands += 1
            for module in (command_module, parametrize):
                monkeypatch.setattr(module, "open_runner", in_this_process)
        elif info.startswith("replaces "):
            file = pytester.path / "my_layers.py"
            before, line = file.read_text(encoding="utf-8"), info.removeprefix("replaces ")
            assert before.count(line) == 1
            file.write_text(before.replace(line, content.strip()), encoding="utf-8")
        elif info:
            (pytester.path / info).write_text(content, encoding="utf-8")
        else:
            assert language == "yaml"
    assert commands == 2
    result = pytester.runpytest_inprocess("test_conformance.py")
    outcomes = result.parseoutcomes()
    assert (outcomes["xfailed"], set(outcomes)) == (2, {"passed", "xfailed", "skipped"})


def test_a_shown_output_that_is_not_printed_is_noticed():
    assert matches("a\n...\nd e... g", "a\nb\nc\nd e f g")
    assert not matches("a\n...\nd", "a\nb\nc")
    assert not matches("a\nb", "a\n\nb")


def test_the_workflow_takes_the_inputs_that_the_page_gives_and_passes_all_it_takes():
    (stanza,) = (content for language, _, content in BLOCKS if language == "yaml")
    workflow = WORKFLOW.read_text(encoding="utf-8")
    given = re.findall(r"^      ([\w-]+):", stanza, flags=re.MULTILINE)
    declared = re.findall(r"^      ([\w-]+):\n        description:", workflow, flags=re.MULTILINE)
    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", workflow))
    required = re.findall(
        r"^      ([\w-]+):\n        description:.*\n        required: true", workflow, re.MULTILINE
    )
    assert given == ["target", "expected", "fa-audit"]
    assert set(required) <= set(given) <= set(declared)
    for name in required:
        assert f"#         {name}: " in workflow  # its own example gives them too
    assert used == set(declared)
    assert "workflow_call:" in workflow
    assert f"uses: OWNER/fa-audit/.github/workflows/{WORKFLOW.name}@main" in stanza


def test_the_workflow_asks_for_no_file_but_those_of_the_page():
    """A repository with these files alone has nothing to install, and no list of what it needs."""
    workflow = WORKFLOW.read_text(encoding="utf-8")
    assert re.search(r'^      install:\n.*\n        default: ""$', workflow, re.MULTILINE)
    assert "- if: inputs.install != ''\n        run: ${{ inputs.install }}\n" in workflow
    assert "cache:" not in workflow
    assert "default: fa-audit" not in workflow  # no index has it


@pytest.mark.parametrize("option", ["--fa-audit", "--fa-audit-expected"])
def test_options_that_the_page_names_exist(option):
    plugin = Path(fa_audit.conformance.__file__).with_name("plugin.py").read_text(encoding="utf-8")
    assert f'"{option}"' in plugin
    assert f"{option} " in PAGE
