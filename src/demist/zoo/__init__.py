"""Trained models that come with the package: `demist sample digits`, `Pipeline.load("digits")`.

Each is a folder as `Pipeline.save` writes it; its README says how it was trained.
"""

from pathlib import Path

from demist.io import hub

NAMES = ("digits",)
"""Their names."""


def locate(spec: str) -> Path:
    """The folder of a saved model: `spec` itself, the package's model of that name, or the hub's.

    A folder of the same name in the working directory wins. `hf:owner/name` is fetched, see
    `demist.io.hub`.
    """
    if hub.is_named(spec):
        return hub.fetched(spec, "model")
    here = Path(spec)
    if spec in NAMES and not (here / "model_index.json").is_file():
        return Path(__file__).parent / spec
    return here
