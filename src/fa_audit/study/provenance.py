"""Where a number comes from: the code, the packages, the machine and the data behind it."""

import platform
import subprocess
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from fa_audit.data import Dataset


def code_version() -> str:
    """The installed version; in a checkout also the commit, with "+changes" where files differ."""
    version = metadata.version("fa-audit")
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return version

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "src")
    except (OSError, subprocess.CalledProcessError):
        return version
    return f"{version} ({commit}{'+changes' if changed else ''})"


@cache
def running_code() -> str:
    """The code version when a process first asked: edits made while it runs do not change it."""
    return code_version()


def provenance(
    dataset: Dataset, device: torch.device, seconds: float, replicas: int = 1
) -> dict[str, Any]:
    """What stands beside every result of the ledger.

    Args:
        dataset: The images.
        device: Where it was computed.
        seconds: Wall time; of what was computed together, an equal share.
        replicas: How many runs were trained as one program, this one among them.
    """
    return {
        "code": running_code(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "replicas": replicas,
        "data": {
            "title": dataset.title,
            "stand_in": dataset.stand_in,
            **dataset.fingerprints,
            **({"caveat": dataset.caveat} if dataset.caveat else {}),
        },
        "seconds": round(seconds, 1),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def device_name(device: torch.device) -> str:
    """The processor as its maker calls it, of a CPU with family and model where the system says.

    Instruction sets alone would not do: processors that share them still order sums differently,
    and a run of thousands of steps then ends elsewhere.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = (torch.backends.cpu.get_cpu_capability(), platform.machine())
    return f"cpu ({', '.join((*_processor(), *known))})"


def _processor(file: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """The first processor's name, and its family and model, as Linux tells; else nothing."""
    try:
        first = file.read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return ()
    parts = (line.partition(":") for line in first.splitlines())
    found = {key.strip(): value.strip() for key, _, value in parts}
    if not {"model name", "cpu family", "model"} <= found.keys():
        return ()
    return found["model name"], f"family {found['cpu family']} model {found['model']}"
