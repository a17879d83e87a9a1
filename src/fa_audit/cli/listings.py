"""The subcommands about rules, metrics and other implementations: check, rules, metrics."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fa_audit.rules import Rule

COSTS = """\
architecture1 under each rule: floats of feedback stored between steps and made in every step, and
operations that make them; forward, sent and weight gradient in multiply-adds per image.
"""


def check_command(options: argparse.Namespace) -> int:
    """Hold layers to the conformance checks."""
    from fa_audit.conformance import command

    return command.check_command(options.target, options.json, options.rule, options.expected)


def rules_command(options: argparse.Namespace) -> int:
    """Print the rules, or what each costs."""
    from fa_audit.rules import RULES

    if options.cost:
        return _costs()
    for rule in RULES.values():
        print(f"{rule.name}: {rule.title}")
        print(f"  feedback         {rule.equation}")
        print(f"  weight transport {rule.weight_transport}")
        print(f"  stores B0        {'yes' if rule.stores_feedback else 'no'}")
        print(f"  B in training    {_in_training(rule)}")
        print(f"  sends down       {'the output' if rule.direct else 'its own'} error")
        print(f"  sign-concordant  {'yes' if rule.sign_concordant else 'no'}")
        print(f"  at convolutions  {'dense matrix' if rule.dense else 'transposed convolution'}")
        for option, values in rule.options.items():
            print(f"  {option:16s} {' | '.join(values)} (the first is the default)")
        print(f"  elsewhere        {'; '.join(rule.aliases)}")
        print(f"  source           {rule.source}\n")
    return 0


def _costs() -> int:
    import torch

    from fa_audit.measure import cost_table, rule_costs
    from fa_audit.networks import build_network

    images = torch.zeros(1, 3, 24, 24)
    costs = rule_costs(lambda: build_network("architecture1", 10, torch.Generator()), images)
    print(f"{COSTS}\n{cost_table(costs)}")
    return 0


def _in_training(rule: "Rule") -> str:
    if rule.trains_feedback:
        return "trained as W is"
    if rule.redraws_feedback:
        return "drawn anew for every pass"
    return "follows W" if rule.changes_in_training else "fixed"


def metrics_command(options: argparse.Namespace) -> int:
    """Print the measurements."""
    from fa_audit.metrics import METRICS

    for name, metric in METRICS.items():
        low, high = metric.range
        print(f"{name}: {metric.title}")
        print(f"  of               {', '.join(metric.arguments)}")
        print(f"  range            {low:g} to {high:g} {metric.unit}".rstrip())
        print(f"  unchanged by     {', '.join(sorted(metric.invariances)) or 'nothing'}")
        print(f"  estimator        {metric.estimator}")
        print(f"  source           {metric.source}\n")
    return 0
