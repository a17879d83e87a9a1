"""Derive and print the table of wrong variants; the exit code is 1 where one is not caught.

To write it down anew, in `tests`: python -m mutations > mutations/table.md
"""

import torch

from mutations.registry import BROKEN
from mutations.table import catching, render

if __name__ == "__main__":
    torch.set_num_threads(1)
    print(render(), end="")
    raise SystemExit(not all(map(catching, BROKEN)))
