"""What several commands need: never overwriting a file unasked."""

from pathlib import Path

from demist.errors import CannotCreateError


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
