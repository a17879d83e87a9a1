"""Layers that are wrong in one way each, and the checks that have to notice.

Every one is `ReplacedLayer`, which passes all checks, with one method spoiled.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.linalg import matrix_norm

from conformance.adapters import ReplacedLayer, ReplacedWeight

BOTH = ("linear", "conv2d")


@dataclass(frozen=True)
class Broken:
    """A wrong layer: how it is wrong, under which rule it shows, and which checks catch it."""

    layer: type[ReplacedLayer]
    rule: str
    kinds: tuple[str, ...]
    caught_by: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.layer.__name__

    @property
    def adapter(self) -> ReplacedWeight:
        adapter = ReplacedWeight()
        adapter.layer = self.layer
        adapter.name = self.name
        return adapter


BROKEN: list[Broken] = []


def broken(*caught_by: str, rule: str = "fa_toeplitz", kinds: tuple[str, ...] = BOTH):
    def enter(layer: type[ReplacedLayer]) -> type[ReplacedLayer]:
        BROKEN.append(Broken(layer, rule, kinds, caught_by))
        return layer

    return enter


# The error sent down


@broken("transpose", "equation", kinds=("linear",))
class FeedbackNotTransposed(ReplacedLayer):
    def send(self, x, error, B):
        return error @ (B.T if B.shape[0] == B.shape[1] else B.flatten().view(B.T.shape).T)


@broken("transpose", kinds=("conv2d",))
class ChannelsExchanged(ReplacedLayer):
    def send(self, x, error, B):
        square = B.shape[0] == B.shape[1]
        return super().send(x, error, B.transpose(0, 1).contiguous() if square else B)


@broken("transpose", "equation", "reported_feedback", kinds=("conv2d",))
class KernelsTurnedRound(ReplacedLayer):
    def send(self, x, error, B):
        return super().send(x, error, B.flip(2, 3))


@broken("equation", "no_weight_transport", "reported_feedback")
class BackpropagationInDisguise(ReplacedLayer):
    def send(self, x, error, B):
        return super().send(x, error, self.weight.detach())


@broken("equation", "sham_feedback", "reported_feedback")
class ErrorClipped(ReplacedLayer):
    def send(self, x, error, B):
        return super().send(x, error, B).clamp(-1, 1)


@broken("repeatable", "equation", "fixed_initial_feedback", "state_dict")
class RedrawnAtEachStep(ReplacedLayer):
    def feedback(self):
        return torch.randn_like(self.B0)


@broken("reported_feedback")
class ReportsAnother(ReplacedLayer):
    def forward(self, x):
        y = super().forward(x)
        self.reported = self.reported.abs()
        return y


@broken("redrawn", rule="brsf")
class DrawnOnce(ReplacedLayer):
    def feedback(self):
        return self.spec.weight.abs() * self.weight.detach().sign()


@broken("drawn_magnitudes", rule="brsf")
class OneMagnitudeForAll(ReplacedLayer):
    def feedback(self):
        return torch.rand(()) * self.weight.detach().sign()


@broken("drawn_magnitudes", rule="brsf")
class NearlyOneMagnitude(ReplacedLayer):
    def feedback(self):
        return (7 + torch.rand_like(self.weight)) * self.weight.detach().sign()


@broken("drawn_magnitudes", rule="brsf")
class DrawnMagnitudesTimesWeights(ReplacedLayer):
    def feedback(self):
        return torch.randn_like(self.weight).abs() * self.weight.detach()


@broken("direct_error", rule="dfa")
class OwnErrorSentDirectly(ReplacedLayer):
    def error_at_output(self, error):
        return error


# The values of B


@broken("magnitudes", "signs", "equation", rule="usf_init")
class BarsForgotten(ReplacedLayer):
    def feedback(self):
        return self.B0 * self.weight.detach().sign()


@broken("signs", "follows_weights", rule="usf_init")
class SignsOfInitialWeights(ReplacedLayer):
    def feedback(self):
        return self.B0.abs() * self.spec.weight.sign()


@broken("signs_alone", "magnitudes", rule="usf_init")
class MagnitudesOfWeights(ReplacedLayer):
    def feedback(self):
        return self.weight.detach().clone()


@broken("norm", "equation", rule="usf_sn")
class SpectralForFrobenius(ReplacedLayer):
    norm: float | str = 2

    def feedback(self):
        W = self.weight.detach()
        size, sign_size = (matrix_norm(m.flatten(1), self.norm) for m in (W, W.sign()))
        return W.sign() * size / sign_size.clamp(min=1)


@broken("norm", "equation", rule="usf_sn.norm=spectral")
class FrobeniusForSpectral(SpectralForFrobenius):
    norm = "fro"


@broken("norm", "follows_weights", "equation", rule="usf_sn")
class ScaleFixedAtInitialisation(ReplacedLayer):
    def feedback(self):
        return self.weight.detach().sign() * 0.3


@broken("zero_weights", rule="usf_init")
class SignOfZeroIsOne(ReplacedLayer):
    def feedback(self):
        return torch.where(self.weight.detach() >= 0, self.B0.abs(), -self.B0.abs())


@broken("zero_weights", rule="usf_sn")
class ZeroDividedByZero(ReplacedLayer):
    def feedback(self):
        W = self.weight.detach()
        return W.sign() * W.norm() / W.sign().norm()


# The output and what is learnt


@broken("forward", "evaluation")
class OutputThroughFeedback(ReplacedLayer):
    def forward(self, x):
        W, b, B = self.weight.detach(), self.bias, self.B0
        with torch.no_grad():
            difference = self.compute(x, B, b) - self.compute(x, W, b)
        return super().forward(x) + difference


@broken("evaluation")
class AnotherOutputInEvaluation(ReplacedLayer):
    def forward(self, x):
        return super().forward(x) * (1 if self.training else 0.5)


@broken("without_bias")
class BiasTakenForGranted(ReplacedLayer):
    def forward(self, x):
        return super().forward(x) + 0 * self.bias.sum()


@broken("weight_gradient", "sham_feedback")
class FeedbackInWeightGradient(ReplacedLayer):
    def learn(self, x, error):
        weight, bias = super().learn(x, error)
        return weight * self.feedback().abs(), bias


@broken("bias_gradient")
class BiasGradientAveraged(ReplacedLayer):
    def learn(self, x, error):
        weight, bias = super().learn(x, error)
        return weight, None if bias is None else bias / len(x)


@broken("accumulation")
class GradientOverwritten(ReplacedLayer):
    def learn(self, x, error):
        weight, bias = super().learn(x, error)
        self.weight.grad = None
        return weight, bias


# Training


class TrainedFeedback(ReplacedLayer):
    """B0 among the parameters, with a gradient of its own."""

    def __init__(self, spec):
        super().__init__(spec)
        del self.B0
        self.B0 = nn.Parameter(spec.initial_feedback.clone())

    def feedback(self):
        return self.B0.detach()


@broken("trained_parameters")
class FeedbackAmongParameters(TrainedFeedback):
    pass


@broken("trained_parameters", "fixed_initial_feedback")
class FeedbackTrainedByOptimizer(TrainedFeedback):
    def learn(self, x, error):
        weight, bias = super().learn(x, error)
        self.B0.grad = weight.clone()
        return weight, bias


@broken("trained_weights", "accumulation", rule="usf_init")
class OptimizerTrainsADeadCopy(ReplacedLayer):
    def forward(self, x):
        self.weight = nn.Parameter(self.weight.detach().clone())
        return super().forward(x)


@broken("trained_feedback", rule="kolen_pollack")
class FeedbackLeftAlone(ReplacedLayer):
    def feedback(self):
        return self.B0.detach()


@broken("trained_feedback", rule="kolen_pollack")
class FeedbackTrainedTwiceAsFast(ReplacedLayer):
    def __init__(self, spec):
        super().__init__(spec)
        self.B0.register_hook(lambda gradient: 2 * gradient)


@broken("state_dict")
class FeedbackNotSaved(ReplacedLayer):
    def __init__(self, spec):
        super().__init__(spec)
        self.register_buffer("B0", spec.initial_feedback, persistent=False)
