"""What several commands need: where a file comes from, and never overwriting one unasked."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist.errors import CannotCreateError
from demist.version import __version__

if TYPE_CHECKING:
    import numpy

    import demist.model.pipeline


def provenance(
    name: str, args: list[str], pipeline: "demist.model.pipeline.Pipeline"
) -> dict[str, Any]:
    """What was typed, with which version, and which model: for files made from it."""
    from demist.model.folder import weights_hash

    return {
        "command": shlex.join(["demist", name, *args]),
        "demist": __version__,
        "model": {"sha256": weights_hash(pipeline), **pipeline.facts},
    }


def write_array(x: "numpy.ndarray", path: Path) -> None:
    """See `demist.io.arrays.write_array`."""
    from demist.io import arrays

    arrays.write_array(x, path)


def require_free(path: Path, force: bool) -> None:
    """Check, before any work, that `path` can be written without losing anything.

    Raises:
        CannotCreateError: It exists and `force` is false, or its folder does not exist.
    """
    if path.exists() and not force:
        raise CannotCreateError(f"{path} exists already; choose another name, or add --force")
    if not path.absolute().parent.is_dir():
        raise CannotCreateError(f"there is no folder {path.parent} to write {path.name} in")


def free_name(path: Path) -> Path:
    """`path`, or `stem-2`, `stem-3`, ... if it exists."""
    names = (path.with_stem(f"{path.stem}-{i}") for i in range(2, 10**9))
    return path if not path.exists() else next(name for name in names if not name.exists())
