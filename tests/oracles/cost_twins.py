"""Costs counted one by one, by loops over what a layer does with a single image.

Nothing is imported from the package. The three products of a layer are counted each in its own
order: outputs gather from their windows, pixels gather from the outputs above them, weights from
all the positions they are used at. That the three numbers agree is a result, not an assumption.
"""

from dataclasses import dataclass
from itertools import product

from oracles.rule_twins import Geometry


@dataclass(frozen=True)
class Products:
    """Multiply-adds of one image."""

    forward: int
    sent: int
    weight_gradient: int


def linear(inputs: int, outputs: int, rows: int = 1) -> Products:
    """y = W x for every row x of an image."""
    forward = sum(1 for _ in product(range(rows), range(outputs), range(inputs)))
    sent = sum(1 for _ in product(range(rows), range(inputs), range(outputs)))
    weight_gradient = sum(1 for _ in product(range(outputs), range(inputs), range(rows)))
    return Products(forward, sent, weight_gradient)


def conv2d(inputs: int, outputs: int, input_size: tuple[int, int], g: Geometry) -> Products:
    """A kernel that slides over padded maps."""
    maps = [
        (c, o)
        for c, o in product(range(inputs), range(outputs))
        if _connected(c, o, inputs, outputs, g)
    ]
    output_size = g.output_size(input_size)
    positions = list(product(*map(range, output_size)))
    kernel = list(product(*map(range, g.kernel)))
    forward = weight_gradient = sent = 0
    for _output in product(range(outputs), positions):
        forward += sum(1 for _ in product(range(inputs // g.groups), kernel))
    for _weight in product(maps, kernel):
        weight_gradient += len(positions)
    for y, x in product(*_padded(input_size, g)):
        above = [(i, j) for i, j in positions if y in _window(i, 0, g) and x in _window(j, 1, g)]
        sent += len(maps) * len(above)
    return Products(forward, sent, weight_gradient)


def dense(inputs: int, outputs: int) -> int:
    """Bᵀδ for a matrix B [outputs, inputs]: every input gathers from every output."""
    return sum(1 for _ in product(range(inputs), range(outputs)))


def _connected(c: int, o: int, inputs: int, outputs: int, g: Geometry) -> bool:
    """Whether maps c and o are in the same group."""
    return c // (inputs // g.groups) == o // (outputs // g.groups)


def _padded(input_size: tuple[int, int], g: Geometry) -> list[range]:
    return [range(size + sum(pad)) for size, pad in zip(input_size, g.padding, strict=True)]


def _window(position: int, axis: int, g: Geometry) -> list[int]:
    """The rows (axis 0) or columns (axis 1) that an output at this position looks at."""
    return [position * g.stride[axis] + k * g.dilation[axis] for k in range(g.kernel[axis])]


@dataclass(frozen=True)
class Feedback:
    """Floats stored between steps, floats made in a step, operations that make them."""

    stored: int
    made: int
    operations: int


def feedback(rule: str, weights: int, matrix: int, options: dict[str, str]) -> Feedback:
    """What the equation of a rule asks for.

    Args:
        rule: Its name.
        weights: How many numbers W has.
        matrix: How many B0 has, where that is a matrix over all inputs.
        options: The rule's options in force.
    """
    magnitude = 1 if options.get("magnitude") == "absolute" else 0
    return {
        "bp": Feedback(0, 0, 0),
        "fa_random": Feedback(matrix, 0, 0),
        "fa_toeplitz": Feedback(weights, 0, 0),
        # sign(W), the product and, by default, |B0|
        "usf_init": Feedback(weights, weights, (2 + magnitude) * weights),
        # sign(W), ‖W‖, ‖sign(W)‖ and the product
        "usf_sn": Feedback(0, weights, 4 * weights),
        # a normal number, times σ, |M|, sign(W) and the product
        "brsf": Feedback(0, weights, 5 * weights),
        "kolen_pollack": Feedback(weights, 0, 0),
        "dfa": Feedback(matrix, 0, 0),
    }[rule]
