"""`demist doctor`: is this machine ready, and how fast is it?"""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from demist.commands.shared import read
from demist.errors import CannotCreateError, DemistError
from demist.version import __version__

EXTRAS = {"plot": ("matplotlib",), "eval": ("scipy",), "dev": ("pytest", "ruff", "mypy")}


@dataclass(frozen=True)
class Options:
    """Check this machine: versions, processor, memory, disk, speed, a sampling self-test."""

    runs: Path = Path("runs")
    """Folder whose disk and write access are checked."""
    clear_cache: bool = False
    """Remove the latents, text states and image vectors in the cache folder; they are made again
    when needed."""


def main(args: list[str]) -> None:
    """Print one line per check.

    Raises:
        DemistError: The first check that failed, after all were made.
    """
    options = read(Options, "doctor", args)
    from demist.measuring import checks as with_torch

    checks: dict[str, Callable[[], str]] = {
        "demist": lambda: f"{__version__}, Python {platform.python_version()} in {sys.prefix}",
        "packages": packages,
        "extras": extras,
        "torch": with_torch.torch_build,
        "processor": with_torch.processor,
        "memory": memory,
        "disk": lambda: disk(options.runs),
        "cache": lambda: with_torch.cache(options.clear_cache),
        "speed": with_torch.speed,
        "self-test": with_torch.self_test,
    }
    failures = []
    for name, check in checks.items():
        try:
            print(f"{name:<10} {check()}", flush=True)
        except DemistError as error:
            failures.append(error)
            print(f"{name:<10} FAILED: {error}", flush=True)
    if failures:
        raise failures[0]
    print("\nAll is well. `demist demo` trains a first model.")


def packages() -> str:
    """Versions of what demist stands on."""
    names = ("torch", "numpy", "safetensors", "pillow", "tyro", "pydantic")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def extras() -> str:
    """Which optional parts are there."""
    lines = []
    for extra, names in EXTRAS.items():
        have = [f"{name} {version}" for name in names if (version := installed(name))]
        lacking = f"no (pip install 'demist[{extra}]')"
        lines.append(f"{extra}: {', '.join(have) if len(have) == len(names) else lacking}")
    return "; ".join(lines)


def installed(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def memory() -> str:
    """Total, and what is free now where the system tells."""
    if not hasattr(os, "sysconf"):
        return "unknown on this system"
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = f"{total / 2**30:.1f} GiB"
    info = Path("/proc/meminfo")
    if info.is_file():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines())
        text += f", {int(fields['MemAvailable'].split()[0]) / 2**20:.1f} GiB available"
    return text


def disk(runs: Path) -> str:
    """Free space, and whether runs can be written.

    Raises:
        CannotCreateError: They cannot.
    """
    place = next(
        folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.exists()
    )
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise CannotCreateError(
            f"cannot write in {place}: {error.strerror}; use another folder with --runs"
        ) from None
    return f"{shutil.disk_usage(place).free / 2**30:.1f} GiB free in {place}, writable"
