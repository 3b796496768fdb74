"""`demist config`: every option with its value, as TOML that `demist train --config` reads."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from demist import recipes, runs
from demist.commands.shared import read
from demist.config import TrainConfig, load_toml, to_toml
from demist.errors import MissingError


@dataclass(frozen=True)
class Options:
    """Print all training options of a recipe, a run or a file, resolved, as TOML."""

    source: Annotated[Positional[str | None], arg(metavar="[RECIPE|RUN|FILE]")] = None
    """Recipe, TOML file, or run (number, name, path or `latest`). Without it: the defaults."""
    runs: Path = Path("runs")
    """Folder in which run folders are."""


def main(args: list[str]) -> None:
    """Print the configuration."""
    options = read(Options, "config", args)
    print(to_toml(resolve(options.source, options.runs)), end="")


def resolve(source: str | None, root: Path) -> TrainConfig:
    """The configuration that `source` means.

    Raises:
        MissingError: It is neither a recipe nor a file nor a run.
    """
    if source is None:
        return TrainConfig()
    if source in recipes.names():
        return recipes.find(source).config()
    if Path(source).suffix == ".toml":
        return load_toml(source)
    try:
        return runs.find(source, root).config()
    except MissingError:
        known = [*recipes.names(), *(run.path.name for run in runs.all_runs(root))]
        near = difflib.get_close_matches(source, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"recipes are {', '.join(recipes.names())}"
        raise MissingError(f"{source!r} is no recipe, run or TOML file; {hint}") from None
