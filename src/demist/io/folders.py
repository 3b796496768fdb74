"""Folders that appear whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from demist.errors import CannotCreateError
from demist.io.files import sync
from demist.machine.locks import CLOSE_ON_EXEC, NO_FOLLOW, lock

TEMPORARY = ".writing-"
"""Beginning of the names of folders not finished yet."""


@contextlib.contextmanager
def atomic_folder(target: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; on success all of it is flushed and renamed.

    On an exception it is removed, and `target` is as it was; an OSError names `target`.

    Args:
        target: The folder to make.
        replace: Whether a folder already there may be replaced.

    Raises:
        CannotCreateError: `target` exists and must not be replaced.
    """
    target = Path(target)
    if target.exists() and not replace:
        raise CannotCreateError(f"{target} exists already; choose another name or remove it first")
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=target.parent))
    try:
        yield temporary
        for path in [*temporary.rglob("*"), temporary]:
            sync(path)
        temporary.chmod(0o755)
        if target.exists():
            _swap(temporary, target)
        else:
            os.rename(temporary, target)
        sync(target.parent)
    except OSError as error:
        if TEMPORARY in str(error.filename or TEMPORARY):
            raise OSError(error.errno, error.strerror, os.fspath(target)) from None
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, target: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=target.parent))
    old = aside / "old"  # Windows renames nothing over an empty folder
    try:
        os.rename(target, old)
        os.rename(new, target)
    except OSError:
        if old.exists():
            os.rename(old, target)
        os.rmdir(aside)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder as far as possible; what is left of it when killed has not its name."""
    with contextlib.suppress(OSError):
        aside = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
        os.rename(path, aside / "old")
        path = aside
    shutil.rmtree(path, ignore_errors=True)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove unfinished folders and files left in `folder` by a process that was killed.

    Files that another process is writing stay; of folders there must be none.
    """
    for path in Path(folder).glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in Path(folder).glob(".*.tmp"):  # see `demist.io.files`
        if _abandoned(path):
            path.unlink(missing_ok=True)


def _abandoned(path: Path) -> bool:
    """Whether nobody is writing a temporary file: `files.atomic` locks it."""
    try:
        handle = os.open(path, os.O_RDWR | NO_FOLLOW | CLOSE_ON_EXEC)
    except OSError:
        return False
    try:
        return lock(handle)
    except OSError:
        return True
    finally:
        os.close(handle)
