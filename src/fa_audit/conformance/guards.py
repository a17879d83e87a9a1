"""What stands between a check and foreign code: any misbehaviour becomes one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from fa_audit.conformance.adapter import NotOfferedError
from fa_audit.conformance.arithmetic import Array


class FailedError(Exception):
    """A check failed; the message is a sentence that says what was expected and found."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Whatever an implementation raises here fails the check with a sentence."""
    try:
        yield
    except NotOfferedError:
        raise
    # An implementation may raise anything, and must not end the checks by `sys.exit` either.
    except (Exception, SystemExit) as error:
        raise FailedError(f"{name} raised {raised(error)}") from error


def raised(error: BaseException) -> str:
    """Type and first line of an exception."""
    first_line = str(error).strip().split("\n")[0][:200].rstrip(":. ")
    return ": ".join(filter(None, [type(error).__name__, first_line]))


def checked(value: Any, what: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """`value` if it is a finite tensor of this shape and type; fails otherwise."""
    if not isinstance(value, Tensor):
        raise FailedError(f"{what} is {described(value)}, not a tensor")
    if tuple(value.shape) != tuple(shape):
        raise FailedError(f"{what} has shape {tuple(value.shape)}; expected {tuple(shape)}")
    if value.dtype != dtype:
        raise FailedError(f"{what} has type {value.dtype}; expected {dtype}")
    if not bool(value.isfinite().all()):
        word = "NaN" if bool(value.isnan().any()) else "infinity"
        raise FailedError(f"{what} holds {word}; all inputs were finite")
    return value


def gradient(tensor: Tensor, what: str, dtype: torch.dtype) -> Array:
    """The tensor's gradient as an array; fails where there is none."""
    if tensor.grad is None:
        raise FailedError(f"{what} got no gradient in the backward pass")
    return array(checked(tensor.grad, f"the gradient of {what}", tuple(tensor.shape), dtype))


def array(tensor: Tensor) -> Array:
    """A float64 copy of a tensor."""
    values: Array = tensor.detach().double().cpu().numpy().copy()
    return values


def described(value: object) -> str:
    """What a value is, in words."""
    return "None" if value is None else f"an object of type {type(value).__name__}"
