"""How a kernel slides, and what a dense matrix in its place means."""

from typing import Any

from fa_audit.conformance.bench import Bench
from fa_audit.conformance.checks.catalogue import ARITHMETIC, CONVOLUTIONS, LAYERS, check


def _compare(b: Bench, **geometry: Any) -> None:
    """Output and gradients, and that B is one kernel slid over maps with this geometry."""
    case = b.case(**geometry)
    layer = b.build(case)
    b.same_pass(b.run(layer, case), layer, case)
    if not b.dense:
        b.used_feedback(layer, case)


@check("Stride, in the transposed convolution too.", ARITHMETIC, kinds=("conv2d",))
def stride(b: Bench) -> None:
    """The kernel fits the maps exactly."""
    _compare(b, maps=(7, 6), stride=(2, 1))


@check(
    "A stride that leaves rows and columns over: no error reaches them.",
    ARITHMETIC,
    kinds=("conv2d",),
)
def stride_leftover(b: Bench) -> None:
    """The last row and the last column are never seen."""
    _compare(b, maps=(8, 6), stride=(2, 3))


@check("Zero padding, in the transposed convolution too.", ARITHMETIC, kinds=("conv2d",))
def padding(b: Bench) -> None:
    """Another padding of rows than of columns."""
    _compare(b, padding=(2, 1))


@check("Dilation, in the transposed convolution too.", ARITHMETIC, kinds=("conv2d",))
def dilation(b: Bench) -> None:
    """Another dilation of rows than of columns."""
    _compare(b, dilation=(2, 3))


@check("Groups, in the transposed convolution too.", LAYERS, kinds=("conv2d",))
def groups(b: Bench) -> None:
    """Two groups of channels."""
    _compare(b, groups=2)


@check("Stride, padding, dilation and groups together.", LAYERS, kinds=("conv2d",))
def geometry_together(b: Bench) -> None:
    """All at once, each other in rows than in columns."""
    _compare(b, maps=(9, 8), stride=(3, 2), padding=(1, 2), dilation=(2, 1), groups=2)


@check('padding = "same": an even kernel puts the odd pixel after.', LAYERS, kinds=("conv2d",))
def same_padding(b: Bench) -> None:
    """A kernel with an even width."""
    _compare(b, padding="same")


@check(
    "Circular padding: pixels of the far side are seen, and get their errors.",
    LAYERS,
    kinds=("conv2d",),
)
def circular_padding(b: Bench) -> None:
    """Padding on all sides."""
    _compare(b, padding=(1, 1), padding_mode="circular")


@check(
    "A dense B unrolled from a kernel, in the order (channel, row, column), is its convolution.",
    CONVOLUTIONS,
    kinds=("conv2d",),
    when=lambda variant: variant.rule.dense,
)
def dense_order(b: Bench) -> None:
    """Send an error through the unrolled matrix of another kernel than W."""
    case = b.case(padding=(1, 0), stride=(2, 1))
    kernel = b.numbers("kernel", *case.weight.shape)
    case = b.case(padding=(1, 0), stride=(2, 1), initial=case.wiring.matrix(kernel))
    matrix = case.wiring.matrix(kernel)
    expected = case.wiring.sent(case.error, matrix)
    # The same matrix, if it were taken to be over (row, column, channel).
    n, channels, *maps = case.x.shape
    flat = case.error.transpose(0, 2, 3, 1).reshape(n, -1) @ matrix
    channels_last = flat.reshape(n, *maps, channels).transpose(0, 3, 1, 2)
    b.same(
        "the error sent down",
        b.run(b.build(case), case).sent,
        expected,
        "the transposed convolution with the kernel that B was unrolled from",
        [("B taken in the order (row, column, channel)", channels_last)],
    )
