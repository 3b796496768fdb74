"""States of captions that a frozen encoder reads: made once, and kept in the cache folder.

A file is named by hashes of the encoder's weights, of its words and of the captions, so a change of
any of them makes another file; see `demist.io.kept`. A caption that comes up often is in it once.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demist import runs
from demist.conditions import (
    Conditioner,
    FrozenText,
)
from demist.config import TrainConfig, update
from demist.errors import MissingError
from demist.io.kept import kept
from demist.machine.streams import tell
from demist.model import encoders
from demist.model.components import hash_of
from demist.runs import Run
from demist.training.parallel import World
from demist.training.stand_in import StandIn

FORMAT, BLOCK = 1, 64
"""Version of the files, and captions read at a time."""


@dataclass(frozen=True)
class KeptStates(StandIn):
    """A frozen text encoder in training, whose values are rows of what is kept.

    Attributes:
        told: The condition that it stands for.
        rows: `(N, L * (D + 1) + D)`: states, weights and vector of each caption.
        drop: As of the condition.
        group: As of the condition.
    """

    told: FrozenText
    rows: np.ndarray = field(repr=False, compare=False)
    drop: float = 0.1
    group: str = ""

    reads: ClassVar[str] = "states"

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """What the encoder makes of the captions with these numbers, int `(n,)`."""
        length, features = self.told.length, self.told.features
        found = torch.from_numpy(np.array(self.rows[np.asarray(values)]))
        states, weights, pooled = found.split((length * features, length, features), dim=1)
        return {
            "states": states.reshape(-1, length, features), "weights": weights, "pooled": pooled,
        }  # fmt: skip


def kept_states(
    conditioner: Conditioner, values: Mapping[str, Any], world: World
) -> tuple[Conditioner, dict[str, Any]]:
    """The conditions and their values as batches read them: captions are looked up.

    Args:
        conditioner: Of the model.
        values: Of its conditions in the data.
        world: The processes that train together; the first makes the files, all read them.

    Raises:
        MissingError: An encoder is not there.
        StorageError: A file cannot be written.
    """
    made, found = dict(conditioner.conditions), dict(values)
    for name, condition in conditioner.conditions.items():
        if isinstance(condition, FrozenText) and name in values:
            captions, found[name] = np.unique(np.asarray(values[name]), return_inverse=True)
            first = _kept(condition, captions) if world.first else None
            world.agree(True)  # the others wait for the first
            rows = _kept(condition, captions) if first is None else first
            made[name] = KeptStates(condition, rows, condition.drop, condition.group)
    return Conditioner(made), found


def weights_of(conditioner: Conditioner) -> str:
    """A hash of the weights of all frozen text encoders; empty: there are none."""
    texts = [c for c in conditioner.conditions.values() if isinstance(c, FrozenText)]
    hashes = [hash_of({"": text.reader.net}) for text in texts]
    return "/".join(hashes)


def encoder_folder(spec: str, root: str) -> str:
    """The folder of the encoder that `--text-encoder` names: a folder, or a run that made a CLIP.

    Args:
        spec: What was given.
        root: Folder of runs.

    Raises:
        MissingError: There is no such folder or run, or the run is not finished.
    """
    place = Path(spec)
    if place.is_dir() and not (place / "config.toml").is_file():
        return spec
    try:
        run = runs.find(spec, root)
    except MissingError as error:
        raise MissingError(f"there is no folder {spec} with a text encoder; {error}") from None
    if not run.model.is_dir():
        raise MissingError(f"{run.path} has no finished model, whose text encoder could be used")
    return str(run.model)


def with_encoder(config: TrainConfig, run: Run) -> TrainConfig:
    """The options, with the run's copy of its text encoder if the one they name is gone."""
    spec, copy = config.network.text_encoder, run.path / encoders.NAME
    if spec is None or not copy.is_dir():
        return config
    try:
        encoder_folder(spec, config.output.runs)
    except MissingError:
        tell(f"the text encoder {spec} is gone; its copy {copy} reads the prompts")
        return update(config, {"text_encoder": str(copy)})
    return config


def _kept(condition: FrozenText, captions: np.ndarray) -> np.ndarray:
    length, features = condition.length, condition.features
    digest = hashlib.sha256(condition.reader.words.encode())
    for caption in captions:
        digest.update(f"\0{caption}".encode())
    key = f"{FORMAT}/{hash_of({'': condition.reader.net})}/{length}/{digest.hexdigest()}"
    shape = (len(captions), length * (features + 1) + features)
    return kept("texts", key, shape, _blocks(condition, captions))


def _blocks(condition: FrozenText, captions: np.ndarray) -> Iterator[np.ndarray]:
    """States, weights and vector of each caption, read one by one: padding changes their bits."""
    order = range(0, len(captions), BLOCK)
    for begin in tqdm(order, "reading captions", delay=1, leave=False, disable=None):
        read = [condition.encode(str(text), 1) for text in captions[begin : begin + BLOCK]]
        parts = ("states", "weights", "pooled")
        rows = [torch.cat([one[part].flatten() for part in parts]) for one in read]
        yield torch.stack(rows).numpy()
