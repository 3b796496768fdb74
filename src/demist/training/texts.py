"""States of captions that frozen encoders read: made once, and kept in the cache folder.

A file is named by hashes of the encoder's weights, of its words and of the captions, so a change of
any of them makes another file; see `demist.io.kept`. A caption that comes up often is in it once.
"""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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
    PromptStates,
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
from demist.training.vectors import firsts

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


@dataclass(frozen=True)
class KeptPrompts(StandIn):
    """The encoders of a model of another maker in training, whose values are rows of what is kept.

    Attributes:
        told: The condition that it stands for, with room for the longest caption.
        rows: `(N, M)`: all parts of each caption, one after the other.
        drop: As of the condition.
        group: As of the condition.
    """

    told: PromptStates
    rows: np.ndarray = field(repr=False, compare=False)
    drop: float = 0.1
    group: str = ""

    reads: ClassVar[str] = "states"

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """What the encoders make of the captions with these numbers, int `(n,)`."""
        found = torch.from_numpy(np.array(self.rows[np.asarray(values)]))
        like = self.told.encode(None, 1)
        parts = found.split([part[0].numel() for part in like.values()], dim=1)
        return {
            name: part.reshape(-1, *like[name].shape[1:])
            for name, part in zip(like, parts, strict=True)
        }


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
        if not isinstance(condition, FrozenText | PromptStates) or name not in values:
            continue
        captions, found[name] = np.unique(np.asarray(values[name]), return_inverse=True)
        if isinstance(condition, FrozenText):
            rows = firsts(partial(_kept, condition, captions), world)
            made[name] = KeptStates(condition, rows, condition.drop, condition.group)
        else:
            texts = captions.tolist()
            held, tokens = _holding(condition, texts)
            rows = firsts(partial(_kept_prompts, held, texts, tokens), world)
            made[name] = KeptPrompts(held, rows, held.drop, held.group)
    return Conditioner(made), found


def weights_of(conditioner: Conditioner) -> str:
    """A hash of the weights of all frozen text encoders; empty: there are none."""
    known = conditioner.conditions.values()
    hashes = [hash_of({"": text.reader.net}) for text in known if isinstance(text, FrozenText)]
    hashes += [hash_of(text.components) for text in known if isinstance(text, PromptStates)]
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


def _holding(
    condition: PromptStates, captions: Sequence[str]
) -> tuple[PromptStates, list[list[tuple[int, ...]]]]:
    """The condition with room for the longest caption, and their tokens; long ones are told."""
    tokens, long = [], 0
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        held = condition.holding(captions)
        for caption in captions:
            before = len(told)
            tokens.append(held.tokens_of(caption))
            long += len(told) > before
    if long:
        reader = held.readers[-1 if held.long else 0].name
        how = f"read in up to {held.chunks} pieces" if held.chunked else "cut there"
        tell(f"{long} of {len(captions)} captions are longer than {reader} reads: they are {how}")
    return held, tokens


def _kept_prompts(condition: PromptStates, captions: Sequence[str], tokens: Any) -> np.ndarray:
    """The parts of each caption; a file is named by their tokens, too, as tokenizers differ."""
    rules = replace(condition, encoders=(), long=None, drop=0.0, group="")
    digest = hashlib.sha256(f"{rules}\0{captions}\0{tokens}".encode()).hexdigest()
    count = sum(part[0].numel() for part in condition.encode(None, 1).values())

    def blocks() -> Iterator[np.ndarray]:
        order = range(0, len(captions), BLOCK)
        for begin in tqdm(order, "reading captions", delay=1, leave=False, disable=None):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is long was told of all of them
                read = [condition.encode(text, 1) for text in captions[begin : begin + BLOCK]]
            rows = [torch.cat([part.flatten() for part in one.values()]) for one in read]
            yield torch.stack(rows).numpy()

    key = f"{FORMAT}/{hash_of(condition.components)}/{digest}"
    return kept("texts", key, (len(captions), count), blocks())
