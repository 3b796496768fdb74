"""Trained models that come with the package: `demist sample digits`, `Pipeline.load("digits")`.

Each is a folder as `Pipeline.save` writes it; its README says how it was trained.
"""

from pathlib import Path

NAMES = ("digits",)
"""Their names."""


def locate(spec: str) -> Path:
    """The folder of a saved model: `spec` itself, or the package's model of that name.

    A folder of the same name in the working directory wins.
    """
    here = Path(spec)
    if spec in NAMES and not (here / "model_index.json").is_file():
        return Path(__file__).parent / spec
    return here
