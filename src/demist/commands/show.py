"""`demist show`: what a file or a folder is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from demist import zoo
from demist.commands.shared import read
from demist.drawing import FORMATS, read_texts
from demist.errors import MissingError, UsageError
from demist.formats import contents
from demist.formats.recipes import recipe_rows
from demist.io import hub
from demist.io.files import sha256
from demist.runs import Run, find


@dataclass(frozen=True)
class Options:
    """Show what a file or folder is: kind, parameters, types, memory, trained words, metadata."""

    path: Annotated[Positional[str], arg(metavar="FILE|FOLDER|RUN")]
    """A file of weights (.safetensors, .gguf), an image with a recipe in it, a model or a run (also
    by its number or name), digits, or hf:owner/name."""
    runs: Path = Path("runs")
    """Folder in which run folders are."""
    hash: bool = False
    """The SHA-256 of a file, too, and its beginning, A1111's short hash; all of it is read."""


def main(args: list[str]) -> None:
    """Print one row for each thing that is known; only headers are read."""
    options = read(Options, "show", args)
    place = place_of(options.path, options.runs)
    rows = rows_of(place)
    if options.hash:
        if not place.is_file():
            raise UsageError(f"--hash is for a file, and {place} is a folder; leave it out")
        whole = sha256(place)
        rows += [("SHA-256", whole), ("short hash", whole[:10])]
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:{width}s}  {text}".rstrip())


def place_of(spec: str, runs: Path) -> Path:
    """The file or folder that is meant, by its path or by what people call a model.

    Raises:
        MissingError: There is none.
    """
    here = Path(spec)
    if here.exists():
        return here
    if spec in zoo.NAMES or hub.is_named(spec):
        return zoo.locate(spec)
    try:
        return find(spec, runs).path
    except MissingError as error:
        raise MissingError(f"there is no file or folder {spec}, and {error}") from None


def rows_of(path: Path) -> contents.Rows:
    """What is known of a path.

    Raises:
        MissingError: There is nothing, or nothing of a kind that is known.
        DataError: It is damaged.
        RefusedError: It is a pickle.
    """
    if path.is_file():
        if path.suffix.lower() in FORMATS:
            return [("image", str(path)), *recipe_rows(read_texts(path))]
        return contents.file_rows(path)
    if not path.is_dir():
        raise MissingError(f"there is no file or folder {path}")
    run = Run(path)
    if not run.begun:
        return contents.folder_rows(path)
    status = {key: contents.short(value) for key, value in run.status().items()}
    return [("folder", str(path)), ("kind", "a run of demist train"), *status.items()]
