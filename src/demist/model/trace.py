"""A sampling written down: every state, what was predicted there, and all it takes to go on.

One safetensors file; the page of the studio and the docs read the same one.

```
times              (K + 1,)        float64  from the start to data
alpha, sigma       (K + 1,)        float64  of the schedule at these times
schedule           (129, 3)        float64  time, alpha, sigma: the curve on which the steps lie
x                  (K + 1, n, ...)          states x_t
x0                 (K, n, ...)              data predicted from each of them but the last
samples            (n, ...)                 the last state, decoded
seen.x, seen.x0    (K + 1, n, ...), (K, n, ...)  quick looks, of a model in latents only:
                                    bytes of images, float32 of sounds
attention          (K, n, W, h, w)         float32, where asked for: attention to words
memory.0, ...                               what the solver remembered
given.0, ...                                conditions that are arrays
```

The predicted noise is not stored: it is (x - alpha x0) / sigma. States and memory are kept in their
own types, so that going on from any step gives the same bits as never having stopped. The header
has one text, `demist_trace`, JSON: format, version, model, shape, kind of data, codec, recipe,
conditions, the memory's structure at every step, and the branches by which it came about.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.codecs import Codec
from demist.errors import DataError
from demist.io.files import atomic
from demist.io.tensors import read_metadata, read_tensors, write_tensors
from demist.model import folder
from demist.model.remembered import pack, unpack
from demist.model.sampling import FIELDS

KEY = "demist_trace"
FORMAT = 1
CURVE = 129
"""Points of the schedule's curve."""
ADVICE = ("weak", "guide", "constrain")
"""Arguments of `Pipeline.plan` that no file can hold."""
ASKED = (*ADVICE, "change")
"""What a trace may have been made with that it only names."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What a sampling went through; made by `Pipeline.trace` and `Pipeline.resume`.

    Attributes:
        times: Float64 `(K + 1,)`, from the start to data.
        alpha: Signal scale at these times, float64 `(K + 1,)`.
        sigma: Noise scale.
        schedule: Time, alpha and sigma along the whole schedule, float64 `(P, 3)`.
        x: States `(K + 1, n, ...)`, on the CPU.
        x0: Data predicted from each state but the last, `(K, n, ...)`, guided; where a step asked
            for none (one that only adds noise), the prediction before.
        memories: The solver's memory at each point, of `n` rows, on the CPU.
        samples: The last state as data; of an inversion a quick look at noise.
        facts: How it was made, as JSON values: `shape`, `model`, `sampling`, `cond`, ...
        given: Conditions that are arrays, by the names that stand for them in `facts`.
        seen: Quick looks at the states (`x`) and predictions (`x0`) of a model in latents.
        attention: How much each place attended to each of `facts["words"]` in each step,
            `(K, n, W, h, w)`, shares of all attention; NaN: not recorded. None: nowhere; the facts
            have `words` nevertheless where that was asked for.
    """

    times: Tensor
    alpha: Tensor
    sigma: Tensor
    schedule: Tensor
    x: Tensor
    x0: Tensor
    memories: tuple[Any, ...]
    samples: np.ndarray
    facts: Mapping[str, Any]
    given: Mapping[str, np.ndarray] = field(default_factory=dict)
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    attention: Tensor | None = None

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.times) - 1

    @property
    def rising(self) -> bool:
        """Whether it leads from data to noise, as an inversion does; its end is noise then."""
        return bool(self.times[-1] > self.times[0])

    @property
    def n(self) -> int:
        """How many samples."""
        return self.x.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the data of one sample."""
        return tuple(self.facts["shape"])

    @property
    def kind(self) -> str | None:
        """Of the data, where its shape does not tell it; see `demist.modalities.of`."""
        kind = self.facts["model"].get("kind")
        return None if kind is None else str(kind)

    @property
    def log_snr(self) -> Tensor:
        """log(alpha^2 / sigma^2) at each time: -inf in pure noise, inf in data."""
        return 2 * (self.alpha / self.sigma).log()

    def eps(self, step: int) -> Tensor:
        """The noise predicted from the state after `step` steps, `(n, ...)`."""
        numbers = (self.x[step].double() - self.alpha[step] * self.x0[step]) / self.sigma[step]
        return numbers.to(self.x0.dtype)

    def changes(self) -> Tensor:
        """Root mean square by which each predicted x0 differs from the one before, `(K - 1, n)`."""
        return self.x0.float().diff(dim=0).flatten(2).square().mean(2).sqrt()

    def look(self, which: str, step: int) -> np.ndarray:
        """A state (`x`) or a prediction (`x0`) as data, as quickly as that can be had.

        After the last step both are the samples.

        Raises:
            DataError: It is of a model in latents, and holds no looks.
        """
        if step == self.steps:
            return self.samples
        if which in self.seen:
            small = self.seen[which][step].numpy()
            return as_large(small, self.shape)
        codec = self.codec()
        with torch.no_grad():
            return codec.preview((self.x if which == "x" else self.x0)[step].float()).numpy()

    def codec(self) -> Codec:
        """Between states and data, where that takes no network.

        Raises:
            DataError: It takes one, or the file says nothing that makes sense.
        """
        made = folder.from_json(self.facts.get("codec"), "the trace")
        if not isinstance(made, Codec):
            raise DataError("the trace is of a model in latents and holds no looks at them")
        return made

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, whole or not at all.

        Raises:
            OSError: That failed.
        """
        tensors: dict[str, Tensor] = {
            **{name: getattr(self, name) for name in ("times", "alpha", "sigma", "schedule")},
            "x": self.x,
            "x0": self.x0,
            "samples": torch.from_numpy(np.array(self.samples)),
            **{f"seen.{name}": looks for name, looks in self.seen.items()},
            **{name: torch.from_numpy(value) for name, value in self.given.items()},
            **({} if self.attention is None else {"attention": self.attention}),
        }
        names: dict[int, str] = {}

        def keep(tensor: Tensor) -> str:
            if id(tensor) not in names:
                names[id(tensor)] = f"memory.{len(names)}"
                tensors[names[id(tensor)]] = tensor
            return names[id(tensor)]

        trees = [pack(memory, keep) for memory in self.memories]
        text = json.dumps({"format": FORMAT, **self.facts, "memory": trees}, allow_nan=False)
        with atomic(path) as temporary:
            write_tensors(temporary, tensors, {KEY: text})
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Trace":
        """Read a file, which may come from anyone.

        Raises:
            MissingError: There is no such file.
            RefusedError: It is a pickle.
            DataError: It is no trace, of a newer format, or damaged.
        """
        text = read_metadata(path).get(KEY)
        if text is None:
            raise DataError(
                f"{os.fspath(path)} is no trace; `demist sample RUN --trace FILE` writes one"
            )
        try:
            facts = json.loads(text)
            if not isinstance(facts, dict):
                raise DataError("its description is no JSON object")
            if facts.pop("format", None) != FORMAT:
                raise DataError(f"it is not of format {FORMAT}; update demist")
            return _made(cls, facts, read_tensors(path))
        except RecursionError:
            raise DataError(f"{os.fspath(path)} is nested too deeply") from None
        except (DataError, ValueError) as error:
            raise DataError(f"{os.fspath(path)} is a damaged trace: {error}") from None


def _made(cls: type[Trace], facts: dict[str, Any], tensors: dict[str, Tensor]) -> Trace:
    """The trace that a description and tensors say, if they fit together.

    Raises:
        DataError: They do not.
    """
    trees, shape = facts.pop("memory", None), facts.get("shape")
    for name in ("times", "alpha", "sigma", "schedule", "x", "x0", "samples"):
        if name not in tensors:
            raise DataError(f"{name} is missing")
    if not (isinstance(shape, list) and shape and all(type(s) is int and s > 0 for s in shape)):
        raise DataError("its shape is not a list of positive whole numbers")
    for name in ("sampling", "cond", "model"):
        if not isinstance(facts.get(name), dict):
            raise DataError(f"it does not say its {name}")
    _require_facts(facts)
    x, points = tensors["x"], len(tensors["x"]) if tensors["x"].shape else 0
    n = x.shape[1] if points and x.shape[1:] else 0
    wanted = {
        "times": (points,), "alpha": (points,), "sigma": (points,), "samples": (n, *shape),
        "x0": (points - 1, *x.shape[1:]),
        "schedule": (len(tensors["schedule"].reshape(-1)) // 3, 3),
    }  # fmt: skip
    if points < 2 or n < 1 or not isinstance(trees, list) or len(trees) != points:
        raise DataError("its states and what the solver remembered do not match")
    for name, one in wanted.items():
        if tuple(tensors[name].shape) != one:
            raise DataError(
                f"{name} has shape {tuple(tensors[name].shape)}, and {one} was expected"
            )
    for name in ("times", "alpha", "sigma", "schedule"):
        if tensors[name].dtype != torch.float64 or not tensors[name].isfinite().all():
            raise DataError(f"{name} holds no finite numbers of type float64")
    if not x.is_floating_point() or x.dtype != tensors["x0"].dtype:
        raise DataError(f"states of type {x.dtype} are none")
    grid = facts.get("grid")
    if (
        not isinstance(grid, list)
        or len(grid) != points
        or not all(isinstance(t, int | float) and 0 <= t <= 1 for t in grid)
    ):
        raise DataError("its times are not between 0 and 1, one for each state")
    kept = {name: value for name, value in tensors.items() if name.startswith("memory.")}
    for name, value in kept.items():
        if value.shape and len(value) != n:
            raise DataError(f"{name} has {len(value)} rows for {n} samples")
    seen = {name[5:]: value for name, value in tensors.items() if name in ("seen.x", "seen.x0")}
    for name, value in seen.items():
        if value.shape[:2] != (points - (name == "x0"), n) or value.dtype not in (
            torch.uint8, torch.float32,
        ):  # fmt: skip
            raise DataError(f"seen.{name} fits no state")
        _factor(tuple(value.shape[1:]), tuple(shape))
    maps = tensors.get("attention")
    if maps is not None:
        words = facts.get("words")
        told = isinstance(words, list) and len(words) == n and all(type(w) is list for w in words)
        fits = maps.shape[:2] == (points - 1, n) and bool(maps.shape[4:]) and not maps.shape[5:]
        if not fits or maps.dtype != torch.float32:
            raise DataError(f"attention of shape {tuple(maps.shape)} fits no steps")
        if not told or any(type(w) is not str for one in words for w in one):  # type: ignore[union-attr]
            raise DataError("it does not say which words its attention is to")
    given = {name: _array(name, v) for name, v in tensors.items() if name.startswith("given.")}
    return cls(
        **{name: tensors[name] for name in ("times", "alpha", "sigma", "schedule", "x", "x0")},
        memories=tuple(unpack(tree, kept) for tree in trees),
        samples=_array("samples", tensors["samples"]), facts=facts, given=given, seen=seen,
        attention=maps,
    )  # fmt: skip


def _require_facts(facts: dict[str, Any]) -> None:
    """Check what is read when a trace is gone on with.

    Raises:
        DataError: It is not what `save` writes.
    """
    if strange := set(facts["sampling"]) - set(FIELDS):
        raise DataError(f"its sampling has no {min(strange)[:40]!r}")
    branches, also = facts.get("branches", []), facts.get("also", [])
    if not isinstance(branches, list) or not all(
        isinstance(one, dict) and isinstance(one.get("sampling"), dict) for one in branches
    ):
        raise DataError("its branches are none")
    if not isinstance(also, list) or not all(name in ASKED for name in also):
        raise DataError(f"it was made with none of {', '.join(ASKED)}, but with {str(also)[:40]}")
    if not isinstance(facts.get("negative"), dict | None):
        raise DataError("its negative conditions are none")


def _array(name: str, tensor: Tensor) -> np.ndarray:
    """A tensor as NumPy has it.

    Raises:
        DataError: NumPy has no such numbers.
    """
    try:
        return tensor.numpy()
    except TypeError:
        raise DataError(f"{name} is of type {tensor.dtype}, which nothing here writes") from None


def as_small(looks: np.ndarray, factor: int) -> np.ndarray:
    """A pixel for each block of `factor` pixels, where each has one colour; else as it is."""
    small = looks[..., ::factor, ::factor]
    return small if np.array_equal(_grown(small, factor), looks) else looks


def as_large(small: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `as_small`, `(n, *shape)`."""
    return _grown(small, _factor(small.shape, shape))


def _factor(small: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Pixels of data, `shape`, for one of looks, `(n, *small)`.

    Raises:
        DataError: No whole factor leads from one to the other.
    """
    factor = shape[-1] // max(1, small[-1])
    if [*shape[:-2], *(side // max(1, factor) for side in shape[-2:])] != list(small[1:]):
        raise DataError(f"looks of shape {small} are none at data of shape {shape}")
    if any(side % factor for side in shape[-2:]):
        raise DataError(f"looks of shape {small} are none at data of shape {shape}")
    return factor


def _grown(small: np.ndarray, factor: int) -> np.ndarray:
    return small.repeat(factor, -2).repeat(factor, -1)
