"""RULES: every learning rule as one row, with the properties that tests hold it to.

A rule that another row has under another name is an alias there, not a row of its own: frSF, the
fixed random magnitudes of Liao et al. 2016, B = |M| ⊙ sign(W), is `usf_init` up to the distribution
from which the magnitudes are drawn.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from fa_audit.errors import AuditError
from fa_audit.rules import feedback

WeightTransport = Literal["none", "sign", "sign and norm", "exact"]


@dataclass(frozen=True)
class Rule:
    """How an error crosses a layer on its way down.

    The rules differ in nothing else: gradients of weight and bias are always those of the
    delivered error, ∂W = δ xᵀ and ∂b = δ.

    Attributes:
        name: The name in code, configuration files and on the command line.
        title: The name in tables and figures.
        equation: The feedback B that stands in W's place.
        source: Where the rule was published.
        aliases: What the same rule is called elsewhere.
        feedback: (W, R, **options) → B, where R is the rule's random part: B0, or what became of
            it; see `fa_audit.rules.feedback`.
        weight_transport: What B has to know of W: "none", "sign", "sign and norm" or "exact".
        stores_feedback: The layer keeps B0, drawn once from N(0, feedback_scale²). It never
            changes, unless `trains_feedback`.
        changes_in_training: B changes while W is trained.
        sign_concordant: sign(B) = sign(W) wherever B is not zero, with the default options.
        dense: At a convolution B is an unconstrained matrix [outputs, inputs] of the flattened
            maps, not a kernel that is slid over them.
        redraws_feedback: R is drawn anew from N(0, feedback_scale²) for every forward pass in
            training; nothing is stored but a seed and a count.
        trains_feedback: B starts as B0 and is then a parameter of the layer, with the gradient that
            W gets: the optimizer updates and decays both alike.
        direct: The error sent down is not that delivered to the layer but e, the one at the
            network's output: Bᵀe, with B [outputs of the network, inputs of the layer].
        options: Named variants: option → permitted values, the default first.
    """

    name: str
    title: str
    equation: str
    source: str
    aliases: tuple[str, ...]
    feedback: Callable[..., Tensor]
    weight_transport: WeightTransport
    stores_feedback: bool
    changes_in_training: bool
    sign_concordant: bool
    dense: bool = False
    redraws_feedback: bool = False
    trains_feedback: bool = False
    direct: bool = False
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def draws_feedback(self) -> bool:
        """B has a random part, so a feedback scale means something to the rule."""
        return self.stores_feedback or self.redraws_feedback

    def resolve_options(self, chosen: Mapping[str, str]) -> dict[str, str]:
        """All options of the rule with the chosen values, defaults filled in.

        Raises:
            AuditError: An option the rule does not have, or a value it does not permit.
        """
        for option, value in chosen.items():
            permitted = self.options.get(option)
            if permitted is None:
                known = ", ".join(self.options) or "none"
                raise AuditError(f"rule {self.name!r} has no option {option!r}; it has: {known}")
            if value not in permitted:
                raise AuditError(
                    f"option {option!r} of rule {self.name!r} is {value!r}; "
                    f"choose one of: {', '.join(permitted)}"
                )
        return {option: chosen.get(option, values[0]) for option, values in self.options.items()}


_LILLICRAP = "Lillicrap et al. 2016, Nature Communications 7:13276"
_LIAO = "Liao, Leibo & Poggio 2016, AAAI"
_KOLEN = "Kolen & Pollack 1994, IEEE International Conference on Neural Networks"
_AKROUT = "Akrout et al. 2019, NeurIPS, arXiv:1904.05391"
_MOSKOVITZ = "Moskovitz, Litwin-Kumar & Abbott 2018, arXiv:1812.06488"

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            name="bp",
            title="BP",
            equation="B = W",
            source="Rumelhart, Hinton & Williams 1986, Nature 323:533",
            aliases=("backpropagation", "backprop"),
            feedback=feedback.own_weight,
            weight_transport="exact",
            stores_feedback=False,
            changes_in_training=True,
            sign_concordant=True,
        ),
        Rule(
            name="fa_random",
            title="FA (Random)",
            equation="B = B0; at a convolution B0 is a dense matrix",
            source=_LILLICRAP,
            aliases=("feedback alignment with dense feedback", "random feedback"),
            feedback=feedback.fixed,
            weight_transport="none",
            stores_feedback=True,
            changes_in_training=False,
            sign_concordant=False,
            dense=True,
        ),
        Rule(
            name="fa_toeplitz",
            title="FA (Toeplitz)",
            equation="B = B0, in W's own shape",
            source=f"{_LILLICRAP}; at convolutions {_MOSKOVITZ}",
            aliases=("feedback alignment", "fa", "vanilla feedback alignment"),
            feedback=feedback.fixed,
            weight_transport="none",
            stores_feedback=True,
            changes_in_training=False,
            sign_concordant=False,
        ),
        Rule(
            name="usf_init",
            title="uSF Init",
            equation="B = |B0| ⊙ sign(W); magnitude = signed: B = B0 ⊙ sign(W)",
            source=f"{_MOSKOVITZ}; as frSF, magnitudes drawn from another distribution: {_LIAO}",
            aliases=(
                "frsf",
                "usf with initial magnitudes",
                "fixed random-magnitude sign-concordant",
            ),
            feedback=feedback.sign_with_random_magnitude,
            weight_transport="sign",
            stores_feedback=True,
            changes_in_training=True,
            sign_concordant=True,
            options={"magnitude": ("absolute", "signed")},
        ),
        Rule(
            name="usf_sn",
            title="uSF SN",
            equation="B = ‖W‖ · sign(W) / ‖sign(W)‖",
            source=f"{_MOSKOVITZ} (strict normalisation); uSF: {_LIAO}",
            aliases=("usf with strict normalisation", "uniform sign-concordant feedback"),
            feedback=feedback.sign_with_shared_norm,
            weight_transport="sign and norm",
            stores_feedback=False,
            changes_in_training=True,
            sign_concordant=True,
            options={"norm": ("frobenius", "spectral")},
        ),
        Rule(
            name="brsf",
            title="brSF",
            equation="B = |M| ⊙ sign(W), M drawn anew for every training pass",
            source=_LIAO,
            aliases=("batch-wise random-magnitude sign-concordant",),
            feedback=feedback.sign_with_random_magnitude,
            weight_transport="sign",
            stores_feedback=False,
            changes_in_training=True,
            sign_concordant=True,
            redraws_feedback=True,
        ),
        Rule(
            name="kolen_pollack",
            title="Kolen–Pollack",
            equation="B = B0 at first, then trained as W is: ∂B = ∂W",
            source=f"{_KOLEN}; in deep networks {_AKROUT}",
            aliases=("kp", "kolen-pollack algorithm"),
            feedback=feedback.trained,
            weight_transport="none",
            stores_feedback=True,
            changes_in_training=True,
            sign_concordant=False,
            trains_feedback=True,
        ),
        Rule(
            name="dfa",
            title="DFA",
            equation="B = B0 [outputs of the network, inputs]; sends Bᵀe, e the output's error",
            source="Nøkland 2016, NeurIPS, arXiv:1609.01596",
            aliases=("direct feedback alignment",),
            feedback=feedback.fixed,
            weight_transport="none",
            stores_feedback=True,
            changes_in_training=False,
            sign_concordant=False,
            dense=True,
            direct=True,
        ),
    )
}


def get_rule(rule: "str | Rule") -> Rule:
    """The row of RULES with this name; a `Rule` passes through.

    Raises:
        AuditError: No such rule; names the one meant where an alias or a near miss tells it.
    """
    if isinstance(rule, Rule):
        return rule
    if rule in RULES:
        return RULES[rule]
    named = {alias: row.name for row in RULES.values() for alias in (*row.aliases, row.title)}
    lowered = {alias.lower(): name for alias, name in named.items()}
    near = difflib.get_close_matches(rule.lower(), [*RULES, *lowered], n=1)
    hint = f" (did you mean {lowered.get(near[0], near[0])!r}?)" if near else ""
    raise AuditError(f"there is no rule {rule!r}{hint}; the rules are: {', '.join(RULES)}")
