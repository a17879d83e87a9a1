"""Named random streams: one seed, many independent generators, each with one purpose.

A stream is a function of (seed, names) alone. Drawing more from one stream never shifts another,
so the order of the batches does not depend on the rule, on the device, on how many measurements are
taken or on how many runs share the process.
"""

import hashlib

import torch

# Every purpose for which fa-audit draws random numbers.
PURPOSES = (
    "split",
    "initialisation",
    "feedback",
    "order",
    "augmentation",
    "measurement",
    "intervention",
    "shapes",
)


def stream(seed: int, purpose: str, *names: str | int) -> torch.Generator:
    """The CPU generator of one purpose: state = SHA-256(seed / purpose / names…).

    Args:
        seed: The run's seed, any integer.
        purpose: One of `PURPOSES`.
        *names: What tells streams of one purpose apart: a layer's name, an epoch's number.

    Returns:
        A fresh `torch.Generator` on the CPU at the beginning of its stream. PyTorch's Mersenne
        Twister takes 32 bits of seed, so two given streams coincide with probability 2⁻³².

    Raises:
        ValueError: `purpose` is not one of `PURPOSES`.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"{purpose!r} is not a random stream; there are: {', '.join(PURPOSES)}")
    path = "/".join(map(str, (seed, purpose, *names)))
    digest = hashlib.sha256(path.encode()).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest[:4], "big"))
    return generator
