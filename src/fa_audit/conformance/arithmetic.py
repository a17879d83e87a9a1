"""The kit's own arithmetic: slow, obvious, float64, NumPy alone.

A linear layer and a convolution are both a list of wires: wire k carries `weight[w]` from input i
to output o. Laid into a matrix M(W) [outputs, inputs], the wires give everything there is to know:
the output M(W) x, the error sent down M(B)ᵀ δ, and the gradient of each weight, the sum of δ_o x_i
over its wires. Maps are flattened in memory order: channel, row, column, the last fastest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Wiring:
    """Which weight connects which input with which output.

    Attributes:
        input_shape: Shape of one input, without the batch.
        output_shape: Shape of one output.
        weight_shape: Shape of W.
        wires: (output, input, weight) of each wire, as indices into the flattened arrays.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    wires: NDArray[np.intp]

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(outputs, inputs), all of them."""
        return int(np.prod(self.output_shape)), int(np.prod(self.input_shape))

    def matrix(self, weight: Array) -> Array:
        """M(W) [outputs, inputs]."""
        outputs, inputs, weights = self.wires
        matrix = np.zeros(self.matrix_shape)
        np.add.at(matrix, (outputs, inputs), weight.reshape(-1)[weights])
        return matrix

    def weights_in(self, matrix: Array) -> Array:
        """The weights whose matrix this would be: each the mean over its wires."""
        total = self._sum_over_wires(matrix)
        return total / self._sum_over_wires(np.ones_like(matrix))

    def output(self, x: Array, weight: Array, bias: Array) -> Array:
        """Wx + b for inputs [n, …]."""
        y = x.reshape(len(x), -1) @ self.matrix(weight).T
        per_channel = bias.reshape(-1, *[1] * (len(self.output_shape) - 1))
        return y.reshape(len(x), *self.output_shape) + per_channel

    def sent(self, error: Array, matrix: Array) -> Array:
        """Bᵀδ for errors [n, …], B given as a matrix [outputs, inputs]."""
        sent: Array = error.reshape(len(error), -1) @ matrix
        return sent.reshape(len(error), *self.input_shape)

    def weight_gradient(self, x: Array, error: Array) -> Array:
        """∂W = Σ δ xᵀ, summed over the wires of each weight."""
        return self._sum_over_wires(error.reshape(len(error), -1).T @ x.reshape(len(x), -1))

    def bias_gradient(self, error: Array) -> Array:
        """∂b = Σ δ."""
        total: Array = error.reshape(len(error), self.output_shape[0], -1).sum((0, 2))
        return total

    def _sum_over_wires(self, matrix: Array) -> Array:
        outputs, inputs, weights = self.wires
        total = np.zeros(int(np.prod(self.weight_shape)))
        np.add.at(total, weights, matrix[outputs, inputs])
        return total.reshape(self.weight_shape)


@lru_cache
def linear_wiring(inputs: int, outputs: int) -> Wiring:
    """Every input with every output."""
    wires = [(o, i, o * inputs + i) for o in range(outputs) for i in range(inputs)]
    return Wiring((inputs,), (outputs,), (outputs, inputs), np.array(wires).T)


@lru_cache
def conv2d_wiring(
    channels: tuple[int, int],
    maps: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int] | str,
    dilation: tuple[int, int],
    groups: int,
    padding_mode: str,
) -> Wiring:
    """A kernel slid over maps: channels are (in, out), maps and kernel (height, width)."""
    axes = [
        _Axis(*settings, circular=padding_mode == "circular")
        for settings in zip(
            maps, kernel, stride, _pair_of_sides(padding, kernel, dilation), dilation, strict=True
        )
    ]
    (in_channels, out_channels), (rows, columns) = channels, axes
    per_group = in_channels // groups
    wires = []
    for o, c in product(range(out_channels), range(per_group)):
        source = o // (out_channels // groups) * per_group + c
        for (i, u, y), (j, v, x) in product(rows.taps(), columns.taps()):
            wires.append(
                (
                    (o * rows.positions + i) * columns.positions + j,
                    (source * maps[0] + y) * maps[1] + x,
                    ((o * per_group + c) * kernel[0] + u) * kernel[1] + v,
                )
            )
    return Wiring(
        (in_channels, *maps),
        (out_channels, rows.positions, columns.positions),
        (out_channels, per_group, *kernel),
        np.array(wires).T,
    )


def _pair_of_sides(
    padding: tuple[int, int] | str, kernel: tuple[int, int], dilation: tuple[int, int]
) -> list[tuple[int, int]]:
    """(before, after) for rows and columns; "same" puts an odd one after."""
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    return [(int(p), int(p)) for p in padding]


@dataclass(frozen=True)
class _Axis:
    """One direction in which a kernel slides."""

    size: int
    kernel: int
    stride: int
    padding: tuple[int, int]
    dilation: int
    circular: bool

    @property
    def positions(self) -> int:
        reach = self.dilation * (self.kernel - 1)
        return (self.size + sum(self.padding) - reach - 1) // self.stride + 1

    def taps(self) -> Iterator[tuple[int, int, int]]:
        """(position, place in the kernel, pixel), leaving out pixels of zero padding."""
        for position, place in product(range(self.positions), range(self.kernel)):
            pixel = position * self.stride + place * self.dilation - self.padding[0]
            if self.circular:
                yield position, place, pixel % self.size
            elif 0 <= pixel < self.size:
                yield position, place, pixel


def matrix_norm(weight: Array, norm: str) -> float:
    """The "frobenius" or "spectral" norm of W flattened to [out, rest], by way of WWᵀ."""
    matrix = weight.reshape(len(weight), -1)
    gram = matrix @ matrix.T
    squares: Any = np.trace(gram) if norm == "frobenius" else np.linalg.eigvalsh(gram)[-1]
    return float(np.sqrt(squares))
