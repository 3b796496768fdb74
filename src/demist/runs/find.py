"""The run that somebody means by a number, a name or a path."""

import difflib
import os
import warnings
from pathlib import Path

from demist.errors import MissingError
from demist.runs.run import Run, all_runs, slug_of


def find(
    spec: str | int | os.PathLike[str] = "latest", root: str | os.PathLike[str] = "runs"
) -> Run:
    """The run that is meant.

    Args:
        spec: A path, a number (`7`), the name of a folder (`0007-digits`), the name that it ends
            in (`digits`; of several the newest, with a warning) or `latest`.
        root: Folder in which run folders are.

    Raises:
        MissingError: There is no such run; the nearest is named, or those that exist.
    """
    spec, root = str(spec) if isinstance(spec, int) else os.fspath(spec), os.fspath(root)
    if (Path(spec) / "config.toml").is_file():
        return Run(Path(spec))
    runs = [run for run in all_runs(root) if run.begun]
    if found := _by_number(spec, runs) or _by_name(spec, runs):
        return found
    if spec == "latest" and runs:
        return runs[-1]
    raise MissingError(f"{_what_is_not(spec)}; {_instead(spec, root, runs)}")


def _by_number(spec: str, runs: list[Run]) -> Run | None:
    digits = spec.removeprefix("#")
    if not (digits.isascii() and digits.isdigit()):
        return None
    return next((run for run in reversed(runs) if run.number == int(digits)), None)


def _by_name(spec: str, runs: list[Run]) -> Run | None:
    """The newest run of this name."""
    if whole := [run for run in runs if run.path.name == spec]:
        return whole[-1]
    named = [run for run in runs if slug_of(spec) == run.name]
    if len(named) > 1:
        others = ", ".join(str(run.number) for run in named[:-1][-5:])
        warnings.warn(
            f"{len(named)} runs are called {named[-1].name!r}: this is the newest, "
            f"{named[-1].path.name}; for another give its number ({others})"
        )
    return named[-1] if named else None


def _what_is_not(spec: str) -> str:
    if Path(spec).is_dir():
        return f"the folder {spec!r} is neither a run (no config.toml) nor a saved model"
    return f"there is no run {spec!r}"


def _instead(spec: str, root: str, runs: list[Run]) -> str:
    """What was perhaps meant, or what there is."""
    if not runs:
        return f"runs in {root}: none yet; make one: demist train"
    words = {word: run for run in runs for word in (run.name, run.path.name)}
    near = difflib.get_close_matches(Path(spec).name.lower(), words, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}runs in {root}: {', '.join(run.path.name for run in runs[-8:])}"
