"""CHECKS: every check by name, and which of them a rule's declared properties call for."""

from collections.abc import Callable
from dataclasses import dataclass

from fa_audit.conformance.adapter import KINDS, LayerKind
from fa_audit.conformance.bench import Bench
from fa_audit.conformance.variants import Variant

# Where the statements come from.
BACKPROPAGATION = "Rumelhart, Hinton & Williams 1986, Nature 323:533"
ALIGNMENT = "Lillicrap et al. 2016, Nature Communications 7:13276"
DIRECT = "Nøkland 2016, NeurIPS, arXiv:1609.01596"
KOLEN_POLLACK = "Kolen & Pollack 1994; Akrout et al. 2019, arXiv:1904.05391"
CONCORDANCE = "Liao, Leibo & Poggio 2016, AAAI"
CONVOLUTIONS = "Moskovitz, Litwin-Kumar & Abbott 2018, arXiv:1812.06488"
ARITHMETIC = "Dumoulin & Visin 2016, arXiv:1603.07285"
RULE = "the rule's row in RULES"
LAYERS = "PyTorch's documentation of torch.nn.Linear and torch.nn.Conv2d"
AUTOGRAD = "PyTorch's documentation of torch.autograd"
MODULES = "PyTorch's documentation of torch.nn.Module and torch.optim"


@dataclass(frozen=True)
class Check:
    """Something that must be true of a layer.

    Attributes:
        name: Identifies the check within a kind of layer.
        statement: What must be true.
        source: Where that comes from.
        function: Finds out on a bench; returns, or raises `FailedError` or `NotOfferedError`.
        kinds: The kinds of layer that it is about.
        when: Whether it is about this variant of a rule, by the rule's declared properties.
    """

    name: str
    statement: str
    source: str
    function: Callable[[Bench], None]
    kinds: tuple[LayerKind, ...]
    when: Callable[[Variant], bool]

    def applies(self, variant: Variant, kind: LayerKind) -> bool:
        """Whether the check is about this variant of a rule in this kind of layer."""
        return kind in self.kinds and self.when(variant)


CHECKS: dict[str, Check] = {}


def check(
    statement: str,
    source: str,
    *,
    when: Callable[[Variant], bool] = lambda variant: True,
    kinds: tuple[LayerKind, ...] = KINDS,
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Enter a function into CHECKS under its own name."""

    def enter(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
        name = function.__name__
        assert name not in CHECKS, name
        CHECKS[name] = Check(name, statement, source, function, kinds, when)
        return function

    return enter
