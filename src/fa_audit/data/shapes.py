"""The embedded stand-in: ten classes of 32 × 32 colour images, drawn from a seed.

Each image shows one silhouette of random place, size, direction and colour over a ground of two
gratings and two bars, under noise. Only the form tells the class.

A silhouette is a function of (u, v), coordinates in its own turned frame in units of its radius. It
returns the distance to its edge in the same unit, positive inside and exact to first order.

The same seed gives the same bytes on any machine: the random numbers are integers, and the
arithmetic is float32 sums, products, quotients, minima and maxima of single elements, each of which
IEEE 754 rounds in one way only. Hence no square roots, sines, exponentials, matrix products or sums
over pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fa_audit.data.images import Dataset, Images
from fa_audit.errors import AuditError
from fa_audit.streams import stream

SIDE = 32
Silhouette = Callable[[Tensor, Tensor], Tensor]


def draw_shapes(train: int = 5000, test: int = 1000, seed: int = 0) -> Dataset:
    """Draw the stand-in.

    Args:
        train: Number of training images (validation included), at least one per class.
        test: Number of test images, at least one per class.
        seed: Which drawing. Neither split depends on the other's size.

    Returns:
        Two splits in which the classes take turns, so that their numbers differ by one at most.

    Raises:
        AuditError: A split is too small to show every class.
    """
    splits = {}
    for split, n in (("train", train), ("test", test)):
        if n < len(SILHOUETTES):
            raise AuditError(
                f"shapes with {n} {split} images cannot show every class; choose at least "
                f"{len(SILHOUETTES)}."
            )
        splits[split] = _draw_split(n, seed, split)
    return Dataset(
        name="shapes",
        title="stand-in shapes (not CIFAR-10)",
        stand_in=True,
        classes=tuple(SILHOUETTES),
        train=splits["train"],
        test=splits["test"],
        mean=(0.50, 0.50, 0.50),
        std=(0.20, 0.20, 0.20),
        fingerprints={split: images.fingerprint() for split, images in splits.items()},
    )


def _draw_split(n: int, seed: int, split: str) -> Images:
    classes = len(SILHOUETTES)
    pixels = torch.empty((n, SIDE, SIDE, 3), dtype=torch.uint8)
    for label, (name, silhouette) in enumerate(SILHOUETTES.items()):
        turns = pixels[label::classes]
        turns.copy_(_draw_class(silhouette, len(turns), stream(seed, "shapes", split, name)))
    return Images(pixels, torch.arange(n) % classes)


def _draw_class(silhouette: Silhouette, n: int, generator: torch.Generator) -> Tensor:
    """Images of one class, uint8 [n, 32, 32, 3]."""

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        """Numbers in [low, high), one per image and channel."""
        steps = torch.randint(2**16, (n, channels, 1, 1), generator=generator)
        return low + (high - low) * (steps.float() / 2**16)

    def frame(spread: float) -> tuple[Tensor, Tensor]:
        """Coordinates in pixels of a turned frame, its origin within `spread` of the centre."""
        # The angle 2 arctan t covers half a turn, the sign the other half.
        t, sign = uniform(-1, 1), 1 - 2 * (uniform(0, 1) < 0.5).float()
        cosine, sine = sign * (1 - t * t) / (1 + t * t), sign * (2 * t) / (1 + t * t)
        steps = torch.arange(SIDE, dtype=torch.float32) - (SIDE - 1) / 2
        x = steps[None, :] - uniform(-spread, spread)
        y = steps[:, None] - uniform(-spread, spread)
        return cosine * x + sine * y, cosine * y - sine * x

    def paint(distance: Tensor, colour: Tensor) -> None:
        """Cover the inside, with an edge one pixel wide."""
        canvas.add_((distance + 0.5).clamp(0, 1) * (colour - canvas))

    ground = uniform(64, 192, channels=3)
    canvas = ground.repeat(1, 1, SIDE, SIDE)
    for _ in range(2):
        u, _v = frame(spread=8)
        period, amplitude = uniform(6, 24), uniform(-64, 64, channels=3)
        canvas += amplitude * _wave(u / period)
    for _ in range(2):
        u, v = frame(spread=14)
        length, width = uniform(2, 8), uniform(0.5, 2)
        paint(torch.minimum(length - u.abs(), width - v.abs()), uniform(0, 256, channels=3))

    u, v = frame(spread=3)
    radius = uniform(7, 11)
    contrast = uniform(64, 128, channels=3)
    lighter = uniform(0, 1, channels=3) < 0.5
    colour = torch.where(lighter, ground + contrast, ground - contrast)
    paint(silhouette(u / radius, v / radius) * radius, colour)

    canvas += torch.randint(-12, 13, canvas.shape, generator=generator)
    return canvas.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def _circle(u: Tensor, v: Tensor, radius: float) -> Tensor:
    """(r² − ρ²) / 2r, which is the distance r − ρ near the edge."""
    return (radius * radius - (u * u + v * v)) / (2 * radius)


def _wave(t: Tensor) -> Tensor:
    """A triangle wave of period 1 between −1/4 and 1/4."""
    return (t - t.floor() - 0.5).abs() - 0.25


def _disc(u: Tensor, v: Tensor) -> Tensor:
    return _circle(u, v, 0.9)


def _ring(u: Tensor, v: Tensor) -> Tensor:
    return torch.minimum(_circle(u, v, 1.0), -_circle(u, v, 0.6))


def _square(u: Tensor, v: Tensor) -> Tensor:
    return 0.8 - torch.maximum(u.abs(), v.abs())


def _frame(u: Tensor, v: Tensor) -> Tensor:
    return 0.2 - (torch.maximum(u.abs(), v.abs()) - 0.7).abs()


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    return 0.55 - torch.maximum(v, 0.866 * u.abs() - 0.5 * v)


def _cross(u: Tensor, v: Tensor) -> Tensor:
    long, short = torch.maximum(u.abs(), v.abs()), torch.minimum(u.abs(), v.abs())
    return torch.minimum(1.0 - long, 0.3 - short)


def _star(u: Tensor, v: Tensor) -> Tensor:
    """Inside at least four of five half-planes, hence the second smallest distance."""
    normals = ((0.0, 1.0), (0.951, 0.309), (0.588, -0.809), (-0.588, -0.809), (-0.951, 0.309))
    distances = torch.stack([0.4 - (a * u + b * v) for a, b in normals])
    return distances.sort(dim=0).values[1]


def _crescent(u: Tensor, v: Tensor) -> Tensor:
    return torch.minimum(_circle(u, v, 1.0), -_circle(u - 0.5, v, 0.8))


def _stripes(u: Tensor, v: Tensor) -> Tensor:
    return torch.minimum(_circle(u, v, 1.0), _wave(1.25 * u) / 1.25)


def _checkerboard(u: Tensor, v: Tensor) -> Tensor:
    across, down = _wave(0.9 * u + 0.25), _wave(0.9 * v + 0.25)
    same = torch.maximum(torch.minimum(across, down), torch.minimum(-across, -down))
    return torch.minimum(_circle(u, v, 1.0), same / 0.9)


# A class is a row: its name and its silhouette. The order gives the labels.
SILHOUETTES: Mapping[str, Silhouette] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "frame": _frame,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "stripes": _stripes,
    "checkerboard": _checkerboard,
}
