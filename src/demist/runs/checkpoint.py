"""Checkpoints: folders that are either whole or not there.

```
checkpoints/step-00001000/
  weights.safetensors  ema.safetensors  optimizer.safetensors
  state.json           step, images, seconds, ..., and what describes the model
  manifest.json        size and SHA-256 of every file, and of itself
```

A checkpoint is written under a temporary name, every file and then the folder are flushed to the
disk, and only then is it renamed; older ones are pruned last. Reading checks every hash. A damaged
checkpoint is set aside as `bad-step-N` and the one before is used; if none is good, that is an
error, never a silent start from zero.
"""

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from demist.errors import DataError, MissingError, StorageError, remedy
from demist.io.files import json_sha256, json_text, sha256
from demist.io.folders import atomic_folder, remove_folder
from demist.io.tensors import read_tensors, write_tensors
from demist.io.untrusted import read_small
from demist.version import __version__

FORMAT = 1
"""The newest format that is read; a change of it comes with golden files of the old."""
PARTS = ("weights", "ema", "optimizer")
_NAME = re.compile(r"step-(\d{8,})")
_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO)
"""System errors that say that a file is lost. Others, such as a missing right, may pass."""


class NewerFormatError(DataError):
    """A checkpoint of a later version: whole, and nothing to set aside."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        step: Optimizer steps done.
        parts: `weights`, `ema` and `optimizer`, each name -> tensor.
        state: Scalars, as JSON values.
    """

    step: int
    parts: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint, keep: int = 2) -> Path:
    """Write a checkpoint into `folder`, then prune all but the newest `keep`, at least two.

    Raises:
        StorageError: It could not be written; those already there are untouched.
    """
    target = folder / folder_name(checkpoint.step)
    try:
        if target.exists() and _is_good(target):
            return target
        with atomic_folder(target) as temporary:
            for part in PARTS:
                write_tensors(temporary / f"{part}.safetensors", checkpoint.parts[part])
            _write_json(temporary / "state.json", {"step": checkpoint.step, **checkpoint.state})
            _write_json(temporary / "manifest.json", _manifest(temporary))
    except OSError as error:
        raise StorageError(_explain(error, folder, checkpoint)) from None
    for step in steps(folder)[: -max(keep, 2)]:
        remove_folder(folder / folder_name(step))
    return target


def load(path: Path) -> Checkpoint:
    """Read one checkpoint, checking every hash.

    Raises:
        DataError: It is damaged, incomplete or of a newer format; the message says which file.
        StorageError: It cannot be read just now.
    """
    verify(path)
    try:
        state = json.loads(read_small(path / "state.json"))
        parts = {part: read_tensors(path / f"{part}.safetensors") for part in PARTS}
        return Checkpoint(int(state.pop("step")), parts, state)
    except (
        OSError, MissingError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
        OverflowError,
    ) as error:  # fmt: skip
        raise DataError(f"checkpoint {path} cannot be read: {error}") from None


def load_newest(folder: Path, warn: Callable[[str], None], *, repair: bool) -> Checkpoint | None:
    """The newest good checkpoint in `folder`; None if there never was one.

    Args:
        folder: Folder of checkpoints.
        warn: Routed of each damaged one.
        repair: Rename damaged ones to `bad-step-N`; only the holder of the run's lock may.

    Raises:
        DataError: There are checkpoints, but none is good; or the newest is of a newer format.
        StorageError: One cannot be read just now, which is no reason to forget it.
    """
    found = steps(folder)
    for step in reversed(found):
        path = folder / folder_name(step)
        try:
            return load(path)
        except NewerFormatError:
            raise
        except DataError as error:
            aside = f"; set aside as {_set_aside(path).name}" if repair else ""
            warn(f"{error}{aside}; using the checkpoint before it")
    if found or any(folder.glob("bad-step-*")):
        raise DataError(
            f"no checkpoint in {folder} is good; restore one from a backup, or start a new run "
            f"with --fresh"
        )
    return None


def verify(path: Path) -> None:
    """Check sizes and hashes against the manifest, and the manifest against itself.

    Raises:
        DataError: Something is missing or differs.
        StorageError: A file is there but cannot be read.
    """
    try:
        manifest = json.loads(read_small(path / "manifest.json"))
        files, stated = manifest["files"], manifest.pop("sha256")
        if not isinstance(manifest["format"], int) or not isinstance(files, dict):
            raise ValueError("wrong types")
        whole = json_sha256(manifest) == stated
    except OSError as error:
        raise _unreadable(error, path, "manifest.json") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"checkpoint {path}: manifest.json is damaged ({error})") from None
    if not whole:
        raise DataError(f"checkpoint {path}: manifest.json does not match its own hash")
    if manifest["format"] > FORMAT:
        raise NewerFormatError(
            f"checkpoint {path} has format {manifest['format']}, this version ({__version__}) "
            f"reads {FORMAT}; update demist to {manifest.get('demist', 'the newest')} or later"
        )
    for name in (*(f"{part}.safetensors" for part in PARTS), "state.json"):
        if name not in files:
            raise DataError(f"checkpoint {path} lacks {name}")
        try:
            found, expected = _facts(path / name), files[name]
        except OSError as error:
            raise _unreadable(error, path, name) from None
        if found != expected:
            raise DataError(
                f"checkpoint {path}: {name} is damaged ({_difference(expected, found)})"
            )


def folder_name(step: int) -> str:
    """Name of the checkpoint taken after `step` steps."""
    return f"step-{step:08d}"


def steps(folder: Path) -> list[int]:
    """Step numbers of the checkpoints in `folder`, ascending."""
    with contextlib.suppress(FileNotFoundError):
        matches = [_NAME.fullmatch(entry.name) for entry in folder.iterdir()]
        return sorted(int(match[1]) for match in matches if match)
    return []


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json_text(value), encoding="utf-8")


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def _unreadable(error: OSError, path: Path, name: str) -> DataError | StorageError:
    if error.errno in _DAMAGE:
        return DataError(f"checkpoint {path}: {name} is damaged ({error.strerror})")
    return StorageError(
        f"cannot read {name} of checkpoint {path}: {error.strerror}; {remedy(error)}, then the "
        f"same command goes on"
    )


def _difference(expected: Any, found: Mapping[str, Any]) -> str:
    size = expected.get("bytes") if isinstance(expected, dict) else None
    if size != found["bytes"]:
        return f"{found['bytes']} bytes, should be {size}"
    return "its SHA-256 is not the one recorded"


def _manifest(folder: Path) -> dict[str, Any]:
    files = {file.name: _facts(file) for file in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, "demist": __version__, "files": files}
    return manifest | {"sha256": json_sha256(manifest)}


def _is_good(path: Path) -> bool:
    """Whether a checkpoint is whole; one that is not is set aside."""
    try:
        verify(path)
    except DataError:
        _set_aside(path)
        return False
    return True


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"bad-{path.name}")
    for i in range(2, 1000):
        if not aside.exists():
            break
        aside = path.with_name(f"bad-{path.name}-{i}")
    os.rename(path, aside)
    return aside


def _explain(error: OSError, folder: Path, checkpoint: Checkpoint) -> str:
    if not folder.is_dir():
        return (
            f"cannot write a checkpoint to {folder}: the folder has been removed, and the earlier "
            f"checkpoints with it; stop this run and start it anew"
        )
    need = sum(t.nbytes for part in checkpoint.parts.values() for t in part.values())
    free = shutil.disk_usage(folder).free
    return (
        f"cannot write a checkpoint to {folder}: {error.strerror or error} ({need / 1e6:.1f} MB "
        f"needed, {free / 1e6:.1f} MB free); {remedy(error)}. Earlier checkpoints are untouched"
    )
