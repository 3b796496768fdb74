"""Models that the studio can open: the one that comes along, runs, and saved folders."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demist import zoo
from demist.errors import DemistError, MissingError
from demist.io.files import parse_json, read_described, read_json
from demist.io.untrusted import inside
from demist.runs import Run, all_runs

INDEX, MODEL, OWN = "model_index.json", "DemistPipeline", "_demist"


def all_models(runs: Path) -> list[dict[str, Any]]:
    """Every model, those that come along first, then the newest.

    Each has `id`, `name`, `from` (package, run or folder), `kind`, `shape`, `conditions` (name ->
    kind and classes), `defaults` of sampling, `facts`, and of these `step` and `data`.
    """
    found = [described(f"model-{name}", zoo.locate(name), "package") for name in zoo.NAMES]
    found += [described(ident, path, origin) for ident, path, origin in _in(runs)]
    return [model for model in found if model is not None]


def locate(ident: str, runs: Path) -> Path:
    """The folder of a model by its id, to be opened in the worker.

    Raises:
        MissingError: There is no such model.
    """
    for name in zoo.NAMES:
        if ident == f"model-{name}":
            return zoo.locate(name)
    for known, path, _ in _in(runs):
        if known == ident:
            return path
    raise MissingError(f"there is no model {ident[:60]!r} in {runs}")


def described(ident: str, path: Path, origin: str) -> dict[str, Any] | None:
    """What the page says of a model; None if it makes no samples, or cannot be read."""
    with contextlib.suppress(DemistError, OSError, AttributeError, TypeError, ValueError, KeyError):
        index = _index(path)
        if OWN in index:  # of another maker, and learned on here
            index = index[OWN]
        elif index.get("_class_name", MODEL) != MODEL:  # a codec, a CLIP
            return None
        facts, defaults = index.get("facts") or {}, index.get("defaults") or {}
        return {
            "id": ident,
            "name": path.name,
            "from": origin,
            "kind": facts.get("kind", "").partition(":")[0] or _kind(index["shape"]),
            "shape": index["shape"],
            "codec": (index.get("codec") or {}).get("kind"),
            "conditions": {
                name: {"kind": told.get("kind"), "classes": told.get("classes")}
                for name, told in (index.get("conditions") or {}).items()
            },
            "defaults": defaults,
            "facts": facts,
            "step": facts.get("step"),
            "data": facts.get("data"),
        }
    return None


def _in(runs: Path) -> Iterator[tuple[str, Path, str]]:
    for run in reversed(all_runs(runs)):
        yield f"run-{run.path.name}", run.path, "run"
    folders = sorted(runs.iterdir()) if runs.is_dir() else []
    for path in folders:
        if (path / INDEX).is_file():
            yield f"folder-{path.name}", path, "folder"


def _index(path: Path) -> dict[str, Any]:
    """The description of a model, as its folder or its run has it."""
    run = Run(path)
    if (run.model / INDEX).is_file():
        return read_json(inside(run.model, INDEX))
    if run.description.is_file():
        text = parse_json(read_described(inside(path, run.description.name)), path)
        found: dict[str, Any] = text[INDEX]
        return found
    if (path / INDEX).is_file():
        return read_json(inside(path, INDEX))
    raise MissingError(f"{path} has no model yet")


def _kind(shape: list[int]) -> str:
    """Kind of data, for models whose description is older than the word."""
    return {1: "points", 2: "sounds", 3: "images"}.get(len(list(shape)), "")
