"""What took half a minute or more to train, kept on the disk beside the programs.

So a run that was stopped goes on where it was, and processes that measure different claims share
what they train. A file's name holds a digest of what was asked for and of all code that training
goes through: after any change everything is trained anew.
"""

import hashlib
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from claim import HERE
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

import demist
from demist.io import files

PLACE = HERE / ".trained"
WORTH = 30.0
"""Seconds; what is trained faster is not kept."""
CODE = ("baselines.py", "lab.py", "trained.py")


class Made(Protocol):
    """What was trained.

    Attributes:
        net: Has the weights.
        curve: What was seen in the course of the training.
    """

    @property
    def net(self) -> nn.Module: ...

    curve: list[float]


M = TypeVar("M", bound=Made)


def once(asked: dict[str, object], blank: Callable[[], M], train: Callable[[], M]) -> M:
    """What was trained before, from the disk; else it is trained, and kept if it took long.

    Args:
        asked: What decides the result, as plain values.
        blank: Makes it untrained.
        train: Makes it trained; if that broke down, it is not kept.
    """
    text = json.dumps(asked, sort_keys=True) + code()
    words = "-".join(str(value) for value in asked.values() if isinstance(value, str | int))
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = PLACE / f"{words.replace(' ', '_')}-{digest}.safetensors"
    if path.exists():
        made = blank()
        with safe_open(path, framework="pt") as file:
            made.net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            made.curve = json.loads(file.metadata()["curve"])
        made.net.eval()
        return made
    start = time.perf_counter()
    made = train()
    if time.perf_counter() - start > WORTH and finite(made.net):
        PLACE.mkdir(exist_ok=True)
        tensors = {
            name: value.contiguous().clone() for name, value in made.net.state_dict().items()
        }
        files.write_bytes(path, save(tensors, {"curve": json.dumps(made.curve)}))
    return made


@cache
def code() -> str:
    """Digest of the programs and of the package."""
    digest = hashlib.sha256(torch.__version__.encode())
    package = sorted(Path(demist.__file__).parent.rglob("*.py"))
    for path in (*(HERE / name for name in CODE), *package):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def finite(net: nn.Module) -> bool:
    """Whether all weights are numbers: else the training broke down."""
    return all(bool(p.isfinite().all()) for p in net.parameters())
