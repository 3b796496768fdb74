"""`demist push`: a model and its page to the Hugging Face hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from demist.commands.shared import read


@dataclass(frozen=True)
class Options:
    """Upload a model to the Hugging Face hub, with a page made from what its run knows."""

    model: Annotated[Positional[str], arg(metavar="RUN|FOLDER")]
    """A run (number, name, path or `latest`), or a saved model's folder."""
    name: Annotated[Positional[str], arg(metavar="hf:OWNER/NAME")]
    """Where it goes; made if it is not there. hf:owner/name@branch for a branch that is."""
    license: str | None = None
    """Of the model, as the hub calls it: apache-2.0, cc-by-4.0, ..."""
    private: bool = False
    """Only you see a repository that is made."""
    at_step: int | None = None
    """Checkpoint of the run to use. Default: the finished model, else the newest."""
    runs: Path = Path("runs")
    """Folder in which run folders are."""


def main(args: list[str]) -> None:
    """Upload, and print where it is to be seen."""
    options = read(Options, "push", args)
    from demist.model.publish import publish

    print(
        publish(
            options.model, options.name, at_step=options.at_step, licence=options.license,
            private=options.private, runs=options.runs,
        )
    )  # fmt: skip
