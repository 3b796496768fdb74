"""Atomic files: a reader sees the old content or the new, never half of either."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from demist.errors import CannotCreateError, DataError, MissingError, StorageError
from demist.io.untrusted import LARGEST, open_regular, read_small, refuse_pickle
from demist.machine.locks import FOLDERS_OPEN, lock


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed to `path`.

    On an exception the temporary file is removed and `path` is left as it was; an OSError names
    `path`. The temporary file is locked, so that `folders.sweep` knows it from one that a killed
    process left.
    """
    path = Path(path)
    temporary = handle = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        if FOLDERS_OPEN:
            with suppress(OSError):  # a file system without locks
                lock(handle)
        else:  # Windows renames no open file
            os.close(handle)
            handle = None
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
        if handle is not None:
            last, handle = handle, None
            os.close(last)
    except OSError as error:
        if str(error.filename or ".tmp").endswith(".tmp"):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if handle is not None:
            with suppress(OSError):  # the first error is the one to report
                os.close(handle)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace `path` by `data`, atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace `path` by `text` in UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace `path` by `value` as readable JSON, atomically. NaN is refused."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """`value` as readable JSON, as all files of the project hold it. NaN is refused."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MissingError: There is no such file.
        DataError: It is not a JSON object.
        RefusedError: It is a pickle.
        StorageError: It cannot be read.
    """
    return parse_json(read_described(path), path)


def read_described(path: str | os.PathLike[str], limit: int = LARGEST) -> bytes:
    """The bytes of a file that describes something; see `read_small`.

    Raises:
        MissingError: There is no such file.
        DataError: It is too large, or no file.
        StorageError: It cannot be read.
    """
    try:
        return read_small(path, limit)
    except FileNotFoundError:
        raise MissingError(f"there is no file {os.fspath(path)}") from None
    except OSError as error:
        raise StorageError(f"cannot read {os.fspath(path)}: {error.strerror}") from None


def parse_json(data: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """`read_json` of bytes already read from `path`."""
    refuse_pickle(data[:256], path)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{os.fspath(path)} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{os.fspath(path)} should hold a JSON object, not {type(value).__name__}")
    return value


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sha256(value: Any) -> str:
    """SHA-256 of a JSON value, in hexadecimal; blanks and the order of keys do not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sync(path: str | os.PathLike[str]) -> None:
    """Flush a file, or a folder's list of names, to the disk; Windows keeps the latter itself."""
    if not FOLDERS_OPEN and Path(path).is_dir():
        return
    handle = os.open(path, os.O_RDONLY if FOLDERS_OPEN else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_cache = ContextVar[Path | None]("cache", default=None)


@contextmanager
def cache_at(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Within the block, what can be made again is kept in this folder: of a trial, for example."""
    token = _cache.set(Path(folder))
    try:
        yield
    finally:
        _cache.reset(token)


def cache_folder() -> Path:
    """For what can be made again: $DEMIST_CACHE, else demist in the user's cache folder.

    Raises:
        CannotCreateError: The user has no home, and somebody else has the place instead of it.
    """
    if (place := _cache.get()) is not None:
        return place
    if folder := os.environ.get("DEMIST_CACHE"):
        return Path(folder)
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "demist"
    try:
        return Path.home() / ".cache" / "demist"
    except RuntimeError:
        return _without_home()


def _without_home() -> Path:
    """A folder of this user alone among temporary files: users of containers may have no home."""
    place = Path(tempfile.gettempdir(), f"demist-{os.getuid()}")
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise CannotCreateError(
            f"there is no home folder, and {place} can be written by others; set DEMIST_CACHE to a "
            f"folder of yours"
        )
    return place


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
