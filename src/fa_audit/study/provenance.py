"""Where a number comes from: the code, the packages, the machine and the data behind it."""

import platform
import subprocess
import time
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
        "code": code_version(),
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
    """The processor as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.backends.cpu.get_cpu_capability()}, {platform.machine()})"
