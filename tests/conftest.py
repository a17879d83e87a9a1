"""What every test may use and must not do: real data and CUDA by marker, no network, no traces."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from fa_audit.data.cifar import FOLDER_VARIABLE
from fa_audit.data.editions import CIFAR10

pytest_plugins = ["pytester"]

# Few examples, the same every time; `nox -s deep` takes many, drawn anew.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("deep", deadline=None, max_examples=1000)
settings.load_profile("quick")

LOCAL = ("localhost", "127.0.0.1", "::1")


def reason_without_cifar10() -> str | None:
    """Why there are no real images here; None where there are."""
    named = os.environ.get(FOLDER_VARIABLE)
    if not named:
        return f"{FOLDER_VARIABLE} is not set: name the folder that holds CIFAR-10"
    folder = Path(named)
    layouts = (CIFAR10.binary_folder, CIFAR10.python_folder)
    if folder.name not in layouts and not any((folder / layout).is_dir() for layout in layouts):
        return f"{FOLDER_VARIABLE} is {named}, which holds neither {' nor '.join(layouts)}"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("real_data") and (reason := reason_without_cifar10()):
        pytest.skip(reason)
    deep = item.config.getoption("--hypothesis-profile") == "deep"
    if item.get_closest_marker("deep") and not deep:
        pytest.skip("many more examples: run by `nox -s deep`")
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")


@pytest.fixture(scope="session")
def cifar10_folder() -> Path:
    """The folder with the real CIFAR-10; mark tests that use it with `real_data`."""
    if reason := reason_without_cifar10():
        pytest.skip(reason)
    return Path(os.environ[FOLDER_VARIABLE])


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums are ordered by the number of threads: results are compared bit for bit with one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Connections leave this machine for no test."""

    def refusing(connect: Any) -> Any:
        def checked(self: socket.socket, address: Any) -> Any:
            if self.family != socket.AF_UNIX and address[0] not in LOCAL:
                raise AssertionError(f"a test tried to connect to {address}")
            return connect(self, address)

        return checked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refusing(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", refusing(socket.socket.connect_ex))
        yield


def global_states() -> dict[str, Any]:
    """The states of the generators that all tests share."""
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    return {"torch": torch.get_rng_state().tolist(), "numpy": (keys.tolist(), position)}


@pytest.fixture(autouse=True)
def global_randomness_untouched() -> Iterator[None]:
    """Fail a test that draws from, or seeds, a generator that all tests share."""
    before = global_states()
    yield
    changed = [library for library, state in global_states().items() if state != before[library]]
    assert not changed, f"the test changed the global random state of {' and '.join(changed)}"
