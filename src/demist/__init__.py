"""demist: train, sample, steer and understand diffusion models.

The names below are loaded when first used, so that importing the package costs nothing.
"""

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from demist.version import __version__ as __version__

_HOME = {
    "Dataset": "data",
    "Pipeline": "model",
    "Sampling": "model",
    "Trace": "model",
    "TrainConfig": "config",
    "compare": "measuring.compare",
    "evaluate": "measuring.evaluate",
    "likelihood": "measuring.likelihood",
    "load": "modalities",
    "plan": "training.plan",
    "restore": "editing.restoring",
    "train": "training.run",
    "update": "config",
}

if TYPE_CHECKING:
    from demist.config import TrainConfig as TrainConfig
    from demist.config import update as update
    from demist.data import Dataset as Dataset
    from demist.editing.restoring import restore as restore
    from demist.measuring.compare import compare as compare
    from demist.measuring.evaluate import evaluate as evaluate
    from demist.measuring.likelihood import likelihood as likelihood
    from demist.modalities import load as load
    from demist.model import Pipeline as Pipeline
    from demist.model import Sampling as Sampling
    from demist.model import Trace as Trace
    from demist.training.plan import plan as plan
    from demist.training.run import train as train


_ROOMS = (
    "codecs", "conditions", "config", "core", "data", "drawing", "editing", "errors", "evaluation",
    "guidance", "inverse", "machine", "measuring", "modalities", "model", "networks", "objectives",
    "parts", "recipes", "runs", "samplers", "training", "zoo",
)  # fmt: skip
"""Packages that are imported when they are first asked for: `demist.recipes`."""


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"demist.{name}")
    if name not in _HOME:
        near = difflib.get_close_matches(name, _HOME, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(_HOME)}"
        raise AttributeError(f"demist has no {name!r}; {hint}")
    return getattr(importlib.import_module(f"demist.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME, *_ROOMS]
