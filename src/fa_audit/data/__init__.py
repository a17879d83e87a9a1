"""Images, batches cut from them by index, and the data sets a study can name."""

from pathlib import Path

from fa_audit.data.batches import Batches, draw_crops, split_train_validation
from fa_audit.data.cifar import find_cifar, load_cifar
from fa_audit.data.editions import EDITIONS
from fa_audit.data.images import Dataset, Images
from fa_audit.data.shapes import draw_shapes
from fa_audit.errors import AuditError

__all__ = [
    "Batches",
    "Dataset",
    "Images",
    "draw_crops",
    "draw_shapes",
    "load_cifar",
    "load_dataset",
    "split_train_validation",
]


def load_dataset(name: str, folder: Path | str | None = None, **sizes: int) -> Dataset:
    """Load a data set by its name.

    Args:
        name: "cifar10", "cifar100", or "shapes" for the stand-in.
        folder: Where CIFAR lies; else the folder in FA_AUDIT_DATA; else the user's cache
            folder, after a download if need be. Shapes need none.
        **sizes: `train`, `test` and `seed` of `draw_shapes`; CIFAR has none to choose.

    Returns:
        The data set, in memory.

    Raises:
        AuditError: The name is unknown, sizes were given for CIFAR, or the data cannot be had.
    """
    if name == "shapes":
        return draw_shapes(**sizes)
    if name in EDITIONS:
        if sizes:
            raise AuditError(
                f"{name} takes no {', '.join(sizes)}: its sizes are fixed; leave that out, or "
                "use shapes."
            )
        return load_cifar(name, Path(folder) if folder else find_cifar(name))
    raise AuditError(f"There is no data set {name!r}; choose {', '.join(EDITIONS)} or shapes.")
