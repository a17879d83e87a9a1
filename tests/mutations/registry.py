"""Checks and wrong variants of fa_audit: how they are written down, and how they meet.

A check is a plain function without arguments that raises AssertionError where fa_audit is wrong. A
wrong variant is a function that breaks fa_audit by a `pytest.MonkeyPatch`. Of both, the name is
that of the function and the one sentence is its docstring.
"""

import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import torch


@dataclass(frozen=True)
class Check:
    """A statement about fa_audit, and the function that finds out whether it holds."""

    run: Callable[[], None]

    @property
    def id(self) -> str:
        return self.run.__name__

    @property
    def statement(self) -> str:
        return _sentence(self.run)

    def passes(self) -> bool:
        """Whether the statement holds now; the random state is the same at each start.

        Only a failed assertion counts. Anything else that is raised would be noticed without tests,
        so a variant or a check that comes to this proves nothing and has to be mended.
        """
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("error")
            torch.default_generator.manual_seed(0)
            try:
                self.run()
            except AssertionError:
                return False
        return True


@dataclass(frozen=True)
class Broken:
    """A way for fa_audit to be wrong."""

    install: Callable[[pytest.MonkeyPatch], None]

    @property
    def name(self) -> str:
        return self.install.__name__.replace("_", " ")

    @property
    def sentence(self) -> str:
        return _sentence(self.install)

    @property
    def room(self) -> str:
        """The part of fa_audit that is broken, by the name of the module that breaks it."""
        return self.install.__module__.rpartition(".")[2]

    def failing(self, checks: Iterable[Check]) -> tuple[str, ...]:
        """The checks, by id, that fail while this is installed."""
        with pytest.MonkeyPatch.context() as patch:
            self.install(patch)
            return tuple(check.id for check in checks if not check.passes())


CHECKS: list[Check] = []
BROKEN: list[Broken] = []


def check(run: Callable[[], None]) -> Callable[[], None]:
    """Enter a function into CHECKS."""
    CHECKS.append(Check(run))
    return run


def broken(install: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    """Enter a function into BROKEN."""
    BROKEN.append(Broken(install))
    return install


def replace_function(patch: pytest.MonkeyPatch, right: Any, wrong: Any) -> None:
    """Let every module of fa_audit, and every check, have `wrong` by the name it has `right` by."""
    for path, module in list(sys.modules.items()):
        if path.startswith(("fa_audit", "mutations.checks")):
            for name, value in list(vars(module).items()):
                if value is right:
                    patch.setattr(module, name, wrong)


def _sentence(function: Callable[..., None]) -> str:
    return " ".join((function.__doc__ or "").split())
