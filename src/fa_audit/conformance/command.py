"""`fa-audit check`: hold an implementation to the checks and print the table."""

from pathlib import Path

from tqdm import tqdm

from fa_audit.conformance.expected import ExpectedFailures, read_expected_failures
from fa_audit.conformance.runner import TIME_LIMIT, open_runner
from fa_audit.conformance.table import human_table, json_table
from fa_audit.conformance.trials import Status, all_trials, trials_of
from fa_audit.errors import AuditError


def check_command(
    target: str,
    json: bool = False,
    rule: str | None = None,
    expected: Path | None = None,
    time_limit: float = TIME_LIMIT,
) -> int:
    """Print the conformance table of an implementation.

    Args:
        target: MODULE:ADAPTER, an instance or a subclass of `Adapter`; modules are found where
            Python finds them and in the current folder.
        json: Print JSON instead of the table for people.
        rule: Only this row of RULES; by default all.
        expected: TOML file of expected failures, with a table named after the adapter.
        time_limit: Seconds after which a check has failed.

    Returns:
        The exit code: 0 if nothing failed but what was expected to fail, else 1.

    Raises:
        AuditError: The target cannot be imported or is no adapter; no such rule, or one that it
            does not offer; the file of expected failures cannot be used; a time limit that is not
            above 0; every check was skipped, so that there is nothing to say.
    """
    every_trial = all_trials()
    trials = every_trial if rule is None else trials_of(rule)
    with open_runner(target, time_limit) as runner:
        if rule is not None and rule not in runner.rules:
            raise AuditError(
                f"{runner.name} does not offer rule {rule!r}; it offers: {', '.join(runner.rules)}"
            )
        reasons = {} if expected is None else read_expected_failures(expected, runner.name)
        expectations = ExpectedFailures(reasons)
        stale = expectations.stale(t for t in every_trial if t.variant.rule.name in runner.rules)
        progress = tqdm(trials, unit="check", leave=False, disable=None)
        results = [expectations.judge(runner.run(trial)) for trial in progress]
    if all(result.status == Status.SKIPPED for result in results):
        first = next(r for r in results if r.trial.variant.rule.name in runner.rules)
        raise AuditError(
            f"not one check of {runner.name} was run: all were skipped, {first.id} because "
            f"{first.sentence!r}; offer a layer that can be checked"
        )
    print((json_table if json else human_table)(runner.name, results, stale))
    return 0 if all(result.good for result in results) and not stale else 1
