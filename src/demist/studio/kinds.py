"""Kinds of jobs, known by the names of their files: only the worker imports them."""

import importlib
from pathlib import Path
from typing import Any

from demist.errors import MissingError


def names() -> list[str]:
    """All kinds: the files of `demist.studio.jobs`."""
    here = Path(__file__).parent / "jobs"
    return sorted(path.stem for path in here.glob("*.py") if path.stem != "__init__")


def require(name: str) -> None:
    """Check that there is such a kind.

    Raises:
        MissingError: There is none.
    """
    if name not in names():
        raise MissingError(f"there is no kind of job {name[:40]!r}; there are {', '.join(names())}")


def load(name: str) -> Any:
    """The module of a kind.

    Raises:
        MissingError: There is none.
    """
    require(name)
    return importlib.import_module(f"demist.studio.jobs.{name}")
