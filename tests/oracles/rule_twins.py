"""Slow, obvious float64 NumPy twins of the learning rules, written from the equations.

Nothing is imported from the package and nothing is differentiated automatically: every backward
pass is spelled out. A convolution is a loop over its outputs, each a sum over one window; sending
an error down adds it back into the same windows, weighted by the feedback in the weight's place.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


# Linear: y = W x + b


def linear(x: Array, W: Array, b: Array | None = None) -> Array:
    y = np.zeros((*x.shape[:-1], len(W)))
    for sample in np.ndindex(x.shape[:-1]):
        y[sample] = W @ x[sample] + (0 if b is None else b)
    return y


def linear_gradients(x: Array, error: Array) -> tuple[Array, Array]:
    """∂W = Σ δ xᵀ and ∂b = Σ δ."""
    weight, bias = np.zeros((error.shape[-1], x.shape[-1])), np.zeros(error.shape[-1])
    for sample in np.ndindex(x.shape[:-1]):
        weight += np.outer(error[sample], x[sample])
        bias += error[sample]
    return weight, bias


def linear_send(error: Array, B: Array) -> Array:
    """Bᵀδ."""
    sent = np.zeros((*error.shape[:-1], B.shape[1]))
    for sample in np.ndindex(error.shape[:-1]):
        sent[sample] = B.T @ error[sample]
    return sent


# Convolution: y[o, i, j] = Σ W[o, c, u, v] · padded[c, i s + u d, j s + v d] + b[o]


@dataclass(frozen=True)
class Geometry:
    """How a kernel slides; padding is ((top, bottom), (left, right))."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int
    mode: str

    def output_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """How many positions the kernel has on the padded maps."""
        height, width = (
            len(range(0, size + sum(padding) - dilation * (kernel - 1), stride))
            for size, padding, dilation, kernel, stride in zip(
                input_size, self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return height, width

    def window(self, W: Array, o: int, i: int, j: int) -> tuple[slice | Array, ...]:
        """Where output (o, i, j) looks on the padded maps [n, channel, row, column]."""
        inputs = W.shape[1]
        group = o // (len(W) // self.groups)
        channels = np.arange(group * inputs, (group + 1) * inputs)
        rows = i * self.stride[0] + self.dilation[0] * np.arange(self.kernel[0])
        columns = j * self.stride[1] + self.dilation[1] * np.arange(self.kernel[1])
        return (slice(None), *np.ix_(channels, rows, columns))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def geometry(
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Geometry:
    """The settings of a convolution, by the names and with the meaning of the usual libraries."""
    kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
    if padding == "same":  # the output is as large as the input; an odd pixel goes to the far side
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        sides = [(t // 2, t - t // 2) for t in total]
    else:
        sides = [(p, p) for p in _pair(0 if padding == "valid" else padding)]
    return Geometry(kernel, stride, (sides[0], sides[1]), dilation, groups, padding_mode)


def _source(position: int, size: int, mode: str) -> int | None:
    """The pixel that a position of a padded line shows; None where it shows zero."""
    if 0 <= position < size:
        return position
    if mode == "circular":
        return position % size
    if mode == "replicate":
        return 0 if position < 0 else size - 1
    if mode == "reflect":
        return -position if position < 0 else 2 * (size - 1) - position
    return None


def _padded_positions(input_size: tuple[int, int], g: Geometry):
    """Every position of the padded maps with the pixel it shows."""
    (top, bottom), (left, right) = g.padding
    height, width = input_size
    for y, x in product(range(top + height + bottom), range(left + width + right)):
        row, column = _source(y - top, height, g.mode), _source(x - left, width, g.mode)
        if row is not None and column is not None:
            yield (y, x), (row, column)


def _padded_zeros(maps: tuple[int, int, int, int], g: Geometry) -> Array:
    n, channels, height, width = maps
    return np.zeros((n, channels, height + sum(g.padding[0]), width + sum(g.padding[1])))


def pad(x: Array, g: Geometry) -> Array:
    padded = _padded_zeros(x.shape, g)
    for (y, z), (row, column) in _padded_positions(x.shape[2:], g):
        padded[:, :, y, z] = x[:, :, row, column]
    return padded


def pad_send(error: Array, input_shape: tuple[int, int, int, int], g: Geometry) -> Array:
    """Each pixel collects the errors of all the places where padding shows it."""
    sent = np.zeros(input_shape)
    for (y, z), (row, column) in _padded_positions(input_shape[2:], g):
        sent[:, :, row, column] += error[:, :, y, z]
    return sent


def conv2d(x: Array, W: Array, b: Array | None, g: Geometry) -> Array:
    padded = pad(x, g)
    y = np.zeros((len(x), len(W), *g.output_size(x.shape[2:])))
    for o, i, j in np.ndindex(y.shape[1:]):
        y[:, o, i, j] = (padded[g.window(W, o, i, j)] * W[o]).sum((1, 2, 3))
        y[:, o, i, j] += 0 if b is None else b[o]
    return y


def conv2d_gradients(x: Array, error: Array, W: Array, g: Geometry) -> tuple[Array, Array]:
    """∂W[o] = Σ δ[o, i, j] · window(i, j) and ∂b[o] = Σ δ[o, i, j]; of W only the shape is used."""
    padded = pad(x, g)
    weight, bias = np.zeros(W.shape), np.zeros(len(W))
    for o, i, j in np.ndindex(error.shape[1:]):
        for n, window in enumerate(padded[g.window(W, o, i, j)]):
            weight[o] += error[n, o, i, j] * window
            bias[o] += error[n, o, i, j]
    return weight, bias


def conv2d_send(
    error: Array, B: Array, input_shape: tuple[int, int, int, int], g: Geometry
) -> Array:
    """Bᵀδ for a kernel B: every output adds δ[o, i, j] · B[o] to the window it came from."""
    padded = _padded_zeros(input_shape, g)
    for o, i, j in np.ndindex(error.shape[1:]):
        padded[g.window(B, o, i, j)] += error[:, o, i, j, None, None, None] * B[o]
    return pad_send(padded, input_shape, g)


def flatten(maps: Array) -> Array:
    """[n, channel, row, column] → [n, features], the column running fastest."""
    n, channels, height, width = maps.shape
    flat = np.zeros((n, channels * height * width))
    for c, y, x in np.ndindex(channels, height, width):
        flat[:, (c * height + y) * width + x] = maps[:, c, y, x]
    return flat


def unflatten(flat: Array, shape: tuple[int, int, int, int]) -> Array:
    maps = np.zeros(shape)
    for c, y, x in np.ndindex(shape[1:]):
        maps[:, c, y, x] = flat[:, (c * shape[2] + y) * shape[3] + x]
    return maps


def dense_send(error: Array, B: Array, input_shape: tuple[int, int, int, int]) -> Array:
    """Bᵀδ for a matrix B [outputs, inputs] over flattened maps."""
    return unflatten(linear_send(flatten(error), B), input_shape)


def conv_send(error: Array, B: Array, input_shape: tuple[int, int, int, int], g: Geometry) -> Array:
    """Bᵀδ at a convolution: B is a matrix over flattened maps or a kernel."""
    if B.ndim == 2:
        return dense_send(error, B, input_shape)
    return conv2d_send(error, B, input_shape, g)


def dense_matrix(B: Array, input_shape: tuple[int, int, int], g: Geometry) -> Array:
    """The matrix [outputs, inputs] of a convolution: column k is the k-th pixel's."""
    pixels = int(np.prod(input_shape))
    one_pixel_images = unflatten(np.eye(pixels), (pixels, *input_shape))
    return flatten(conv2d(one_pixel_images, B, None, g)).T


# What stands between the layers


def relu(z: Array) -> Array:
    return np.where(z > 0, z, 0.0)


def relu_send(error: Array, z: Array) -> Array:
    return np.where(z > 0, error, 0.0)


def max_pool(x: Array) -> Array:
    """2×2 windows, stride 2; an odd last row or column is left out."""
    n, channels, height, width = x.shape
    y = np.zeros((n, channels, height // 2, width // 2))
    for i, j in np.ndindex(y.shape[2:]):
        y[:, :, i, j] = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((2, 3))
    return y


def max_pool_send(error: Array, x: Array) -> Array:
    """The error goes to the largest value of its window, the first of equals."""
    sent = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(error.shape):
        window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        row, column = divmod(int(window.argmax()), 2)
        sent[n, c, 2 * i + row, 2 * j + column] += error[n, c, i, j]
    return sent


def cross_entropy(logits: Array, labels: ArrayLike) -> tuple[float, Array]:
    """Mean of −log softmax(logits)[label], and its error (softmax − one-hot) / n."""
    labels = np.asarray(labels)
    loss, error = 0.0, np.zeros(logits.shape)
    for n, (z, label) in enumerate(zip(logits, labels, strict=True)):
        probabilities = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        loss -= np.log(probabilities[label]) / len(logits)
        error[n] = (probabilities - (np.arange(len(z)) == label)) / len(logits)
    return loss, error


# The feedback of every rule: (W, R, **options) → B, with R its random part: B0; for Kolen–Pollack B
# as trained so far, for brSF the magnitudes drawn for this pass


def sign(W: Array) -> Array:
    return np.where(W > 0, 1.0, np.where(W < 0, -1.0, 0.0))


def frobenius(W: Array) -> float:
    return float(np.sqrt((W.reshape(len(W), -1) ** 2).sum()))


def spectral(W: Array) -> float:
    """The root of the largest eigenvalue of W Wᵀ."""
    matrix = W.reshape(len(W), -1)
    return float(np.sqrt(np.linalg.eigvalsh(matrix @ matrix.T)[-1]))


def usf_init(W: Array, B0: Array, magnitude: str) -> Array:
    return {"absolute": np.abs(B0), "signed": B0}[magnitude] * sign(W)


def usf_sn(W: Array, B0: None, norm: str) -> Array:
    if not W.any():
        return np.zeros(W.shape)
    size = {"frobenius": frobenius, "spectral": spectral}[norm]
    return size(W) * sign(W) / size(sign(W))


FEEDBACK = {
    "bp": lambda W, B0: W,
    "fa_random": lambda W, B0: B0,
    "fa_toeplitz": lambda W, B0: B0,
    "usf_init": usf_init,
    "usf_sn": usf_sn,
    "brsf": lambda W, M: np.abs(M) * sign(W),
    "kolen_pollack": lambda W, B: B,
    "dfa": lambda W, B0: B0,
}


# A whole network: conv1 · ReLU · pool · conv2 · ReLU · pool · fc1 · ReLU · fc2 · cross-entropy


@dataclass
class Trace:
    """One forward and backward pass: per layer its input x, output z, delivered error δ."""

    inputs: dict[str, Array] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)
    errors: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    loss: float = 0.0


def train_step(
    parameters: dict[str, Array],
    feedback: dict[str, Array],
    geometries: dict[str, Geometry],
    images: Array,
    labels: ArrayLike,
    *,
    direct: bool = False,
    trained: bool = False,
) -> Trace:
    """Loss and gradients of the network under the feedback B of conv2, fc1 and fc2.

    Args:
        parameters: "conv1.weight", "conv1.bias" and so on.
        feedback: B per layer but conv1; at conv2 a kernel or a dense matrix.
        geometries: How conv1 and conv2 slide.
        images: [n, channels, height, width].
        labels: [n].
        direct: Each layer sends Bᵀe, with e the error at the output and B [classes, inputs].
        trained: B has the gradient of the weight, under "conv2.trained_feedback" and so on.
    """
    trace = Trace()
    x, z, error = trace.inputs, trace.outputs, trace.errors
    W = {name: parameters[f"{name}.weight"] for name in ("conv1", "conv2", "fc1", "fc2")}
    b = {name: parameters[f"{name}.bias"] for name in W}

    x["conv1"] = images
    z["conv1"] = conv2d(x["conv1"], W["conv1"], b["conv1"], geometries["conv1"])
    x["conv2"] = max_pool(relu(z["conv1"]))
    z["conv2"] = conv2d(x["conv2"], W["conv2"], b["conv2"], geometries["conv2"])
    pooled = max_pool(relu(z["conv2"]))
    x["fc1"] = flatten(pooled)
    z["fc1"] = linear(x["fc1"], W["fc1"], b["fc1"])
    x["fc2"] = relu(z["fc1"])
    z["fc2"] = linear(x["fc2"], W["fc2"], b["fc2"])

    trace.loss, error["fc2"] = cross_entropy(z["fc2"], labels)

    def sent(name: str) -> Array:
        if direct:
            flat = linear_send(error["fc2"], feedback[name])
            return unflatten(flat, x[name].shape) if name == "conv2" else flat
        if name == "conv2":
            return conv_send(error[name], feedback[name], x[name].shape, geometries[name])
        return linear_send(error[name], feedback[name])

    error["fc1"] = relu_send(sent("fc2"), z["fc1"])
    below_fc1 = unflatten(sent("fc1"), pooled.shape)
    error["conv2"] = relu_send(max_pool_send(below_fc1, relu(z["conv2"])), z["conv2"])
    error["conv1"] = relu_send(max_pool_send(sent("conv2"), relu(z["conv1"])), z["conv1"])

    for name, weight in W.items():
        if name.startswith("conv"):
            gradients = conv2d_gradients(x[name], error[name], weight, geometries[name])
        else:
            gradients = linear_gradients(x[name], error[name])
        trace.gradients[f"{name}.weight"], trace.gradients[f"{name}.bias"] = gradients
        if trained and name != "conv1":
            trace.gradients[f"{name}.trained_feedback"] = gradients[0]
    return trace
