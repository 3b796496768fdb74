"""Sounds that last longer than a model makes at once, and recordings that are changed.

A model makes sounds of one length, its window. Anything longer is made window by window: each is
told the last part of what is there, and makes what follows. So a recording goes on, a gap is filled
between what lies on both sides, and a sound is made anew in the style of what the model learned.

What is there is shown as states (spectra); beyond its end they see it turned round. A network that
has learned to be shown a part (`--given`) is told it (`demist.guidance.Held`), for any other it is
put back after each step (`demist.editing.known`). What comes out is heard beside what is kept: the
search for phases goes on from those of the recording.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from tqdm import tqdm

from demist import modalities
from demist.conditions import GivenPart
from demist.editing.one_window import FADE, REACH, Window, joined, mirrored, told_of
from demist.errors import UsageError
from demist.modalities import Sounds
from demist.model.sampling import STANDARD, Sampling, split

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

CONTEXT = 0.5
"""Share of a window that the next one is told."""

Look = Callable[[np.ndarray], None]
"""Is shown the sounds `(n, 1, L)` after each step."""


@dataclass(frozen=True, eq=False)
class Score:
    """What is there, what is kept of it, and in which windows the rest is made.

    Attributes:
        x: Samples `(L,)`; 0 where there is nothing.
        keep: Which of them are kept, `(L,)`.
        begins: Where the windows begin, in their order; the last may end beyond `L`.
        strength: Time at which a window begins on the noised `x`; 1 is noise alone.
        silent: Whether silence follows the end.
    """

    x: Float32[np.ndarray, "l"]
    keep: Bool[np.ndarray, "l"]
    begins: Sequence[int]
    strength: float = 1.0
    silent: bool = False


def continued(
    pipeline: "Pipeline",
    x: np.ndarray,
    seconds: float,
    sampling: Sampling | None = None,
    *,
    n: int = 1,
    to: Mapping[str, Any] | None = None,
    look: Look | None = None,
    progress: bool = False,
    **cond: Any,
) -> Float32[np.ndarray, "n 1 l"]:
    """Sounds that begin with a recording and go on from it; the recording itself stays as it is.

    Args:
        pipeline: A model of sounds.
        x: The recording, `(L,)` in [-1, 1], at the model's rate.
        seconds: How long they are then, the recording included.
        sampling: How.
        n: How many, each with a seed of its own.
        to: Conditions towards which those given change, window by window; see
            `demist.guidance.Between`.
        look: Is shown the sounds after each step.
        progress: Show a bar.
        cond: Conditions by name, and fields of `Sampling`.

    Raises:
        UsageError: The model makes no sounds, or the recording does not fit.
    """
    kind, window = _window(pipeline)
    whole, length = _count(seconds, kind.rate), len(x)
    if whole <= length:
        raise UsageError(
            f"the recording lasts {length / kind.rate:.3g} s already, so there is nothing to make "
            f"within {seconds:g} s; ask for more seconds"
        )
    least = _reach(pipeline, window) + window // pipeline.state_shape[-1]
    if length < least:
        raise UsageError(
            f"the recording lasts {length / kind.rate:.3g} s; to go on from it, the model needs at "
            f"least {least / kind.rate:.3g} s"
        )
    first = max(0, length - round(CONTEXT * window))
    there = np.concatenate([np.asarray(x, np.float32), np.zeros(whole - length, np.float32)])
    score = Score(there, np.arange(whole) < length, windows(first, whole, pipeline))
    return _performed(pipeline, score, sampling, n, to, look, progress, cond)


def longer(
    pipeline: "Pipeline",
    seconds: float,
    sampling: Sampling | None = None,
    *,
    n: int = 1,
    to: Mapping[str, Any] | None = None,
    look: Look | None = None,
    progress: bool = False,
    **cond: Any,
) -> Float32[np.ndarray, "n 1 l"]:
    """Sounds of any length from nothing; see `continued`.

    Those of the model's own length are those of `pipeline.sample`; shorter ones are cut from them.
    """
    kind, _ = _window(pipeline)
    whole = _count(seconds, kind.rate)
    score = Score(np.zeros(whole, np.float32), np.zeros(whole, bool), windows(0, whole, pipeline))
    return _performed(pipeline, score, sampling, n, to, look, progress, cond)


def repaired(
    pipeline: "Pipeline",
    x: np.ndarray,
    begin: float,
    end: float,
    sampling: Sampling | None = None,
    *,
    n: int = 1,
    look: Look | None = None,
    progress: bool = False,
    **cond: Any,
) -> Float32[np.ndarray, "n 1 l"]:
    """Recordings of which a gap is made anew, and all else stays; see `continued`.

    Args:
        pipeline: A model of sounds.
        x: The recording, `(L,)`.
        begin: Of the gap, in seconds.
        end: Of the gap, in seconds.
        sampling: How.
        n: How many.
        look: Is shown the sounds after each step.
        progress: Show a bar.
        cond: Conditions by name, and fields of `Sampling`.

    Raises:
        UsageError: The gap is not within the recording, or is all of it.
    """
    kind, window = _window(pipeline)
    seconds = len(x) / kind.rate
    sound = 0 <= begin < end < seconds + 1  # false for what is not a number, too
    first, last = (round(begin * kind.rate), round(end * kind.rate)) if sound else (0, 0)
    if not 0 <= first < last <= len(x):
        raise UsageError(
            f"a gap from {begin:g} to {end:g} s does not lie within the recording, which lasts "
            f"{seconds:.3g} s"
        )
    if last - first == len(x):
        raise UsageError(
            f"a gap from {begin:g} to {end:g} s is all of the recording; leave some of it"
        )
    context = round(CONTEXT * window)
    if len(x) <= window:
        begins = [0]
    elif last - first <= context:  # in the middle of one window
        begins = [min(max(0, (first + last - window) // 2), len(x) - window)]
    else:
        until = min(len(x), last + context // 2)
        found = windows(max(0, first - context), until, pipeline)
        begins = [*found[:-1], min(found[-1], len(x) - window)]
    keep = (np.arange(len(x)) < first) | (np.arange(len(x)) >= last)
    score = Score(np.asarray(x, np.float32) * keep, keep, begins, silent=True)
    return _performed(pipeline, score, sampling, n, None, look, progress, cond)


def restyled(
    pipeline: "Pipeline",
    x: np.ndarray,
    strength: float = 0.6,
    sampling: Sampling | None = None,
    *,
    n: int = 1,
    look: Look | None = None,
    progress: bool = False,
    **cond: Any,
) -> Float32[np.ndarray, "n 1 l"]:
    """Sounds that keep of a recording what noise of some strength leaves (SDEdit).

    Args:
        pipeline: A model of sounds.
        x: The recording, `(L,)`.
        strength: Time at which sampling begins, from 0, which gives the recording back, to 1.
        sampling: How.
        n: How many.
        look: Is shown the sounds after each step.
        progress: Show a bar.
        cond: Conditions by name, and fields of `Sampling`.

    References:
        Meng et al. 2022 (SDEdit), arXiv:2108.01073, algorithm 1.

    Raises:
        UsageError: The strength is not between 0 and 1.
    """
    _window(pipeline)
    if not 0 <= strength <= 1:
        raise UsageError(f"strength = {strength:g}: give a number from 0 (keep) to 1 (anew)")
    there = np.asarray(x, np.float32)
    if strength == 0:
        return np.repeat(there[None, None], n, 0)
    score = Score(there, np.zeros(len(x), bool), windows(0, len(x), pipeline), strength)
    return _performed(pipeline, score, sampling, n, None, look, progress, cond)


def given_by(pipeline: "Pipeline") -> str | None:
    """The condition by which the network is told what is given; None: it never learned it."""
    for name, condition in pipeline.conditioner.conditions.items():
        if isinstance(condition, GivenPart):
            return name
    return None


def given_to_later(pipeline: "Pipeline", count: int) -> bool:
    """Whether sounds of `count` samples take more than one window, of which the next is given."""
    return len(windows(0, count, pipeline)) > 1


def windows(first: int, end: int, pipeline: "Pipeline") -> list[int]:
    """Where windows begin that fill the samples from `first` to `end`.

    Each is told `CONTEXT` of its length; the last samples of the one before are made once more,
    since its spectra end there.
    """
    _, window = _window(pipeline)
    step = window - round(CONTEXT * window) - _reach(pipeline, window)
    step = max(window // pipeline.state_shape[-1], step)  # one state at least
    begins = [first]
    while begins[-1] + window < end:
        begins.append(begins[-1] + step)
    return begins


def _performed(
    pipeline: "Pipeline",
    score: Score,
    sampling: Sampling | None,
    n: int,
    to: Mapping[str, Any] | None,
    look: Look | None,
    progress: bool,
    cond: Mapping[str, Any],
) -> Float32[np.ndarray, "n 1 l"]:
    """All windows, one after another."""
    kind, window = _window(pipeline)
    how, cond = parted(sampling, cond)
    if to is not None and len(score.begins) < 2:
        raise UsageError(
            f"what is asked for changes from window to window, and this is one of "
            f"{window / kind.rate:.3g} s; ask for more seconds"
        )
    length, end = len(score.x), max(len(score.x), score.begins[-1] + window)
    there = torch.zeros(n, 1, end)
    there[..., :length] = torch.from_numpy(score.x)
    known = torch.full((end,), score.silent)
    known[:length] = torch.from_numpy(score.keep)
    bar = tqdm(score.begins, unit="window", disable=not progress, leave=False)
    for number, begin in enumerate(bar):
        here, last = slice(begin, begin + window), number == len(score.begins) - 1
        x, keep = there[..., here].clone(), known[here].clone()
        if bool(keep.all()):
            continue

        def shown(z: Tensor, x: Tensor = x, keep: Tensor = keep, here: slice = here) -> None:
            assert look is not None
            page = there[: len(z)].clone()
            seen = torch.from_numpy(np.array(_preview(pipeline, z)))
            page[..., here] = torch.where(keep, x[: len(z)], seen)
            look(page[..., :length].numpy())

        made = _made(
            pipeline, x, keep, replace(how, seed=seeds_of(how, pipeline, number)), score.strength,
            cond, to, number / max(1, len(score.begins) - 1), None if look is None else shown,
        )  # fmt: skip
        # What is heard by spectra beyond the end is made once more by the next window.
        done = window - (0 if last else _reach(pipeline, window))
        there[..., begin : begin + done] = made[..., :done]
        known[begin : begin + done] = True
        if look is not None:
            look(there[..., :length].numpy())
    return np.ascontiguousarray(there[..., :length].numpy())


@torch.no_grad()
def _made(
    pipeline: "Pipeline",
    x: Tensor,
    keep: Tensor,
    how: Sampling,
    strength: float,
    cond: Mapping[str, Any],
    to: Mapping[str, Any] | None,
    share: float,
    look: Callable[[Tensor], None] | None,
) -> Tensor:
    """One window of sounds `(n, 1, L)`, of which some samples are kept."""
    codec, device, n = pipeline.codec, pipeline.device, len(x)
    count = pipeline.state_shape[-1]
    anew = (~told_of(keep, codec, count)).float()
    kept = torch.where(keep, x, 0.0)
    clean = codec.encode(mirrored(x, keep, len(keep) // count * REACH).to(device))
    begun: dict[str, Any] = {}
    if strength < 1:
        begun = {"init": x.numpy(), "start": strength}
    name = given_by(pipeline)
    part = {name: (clean.cpu(), anew)} if name is not None and bool((anew == 0).any()) else {}
    plan = pipeline.plan(n, how, **begun, **{**cond, **part})
    if plan.then is not None:
        raise UsageError("a refiner is not told what is there already; leave it out for sounds")
    other = None if to is None else pipeline.plan(n, how, **begun, **{**cond, **to, **part})
    one = Window(plan, clean, anew.to(device), name is not None, other, share)
    z = one.states(look)
    if not bool(keep.any()):
        return torch.from_numpy(pipeline.decode(z))
    made = codec.decode_around(z.float(), kept.to(device), keep.to(device)).cpu()
    return joined(made, x, keep, max(1, round(FADE * modalities.of(pipeline).rate)))  # type: ignore[attr-defined]


def parted(sampling: Sampling | None, cond: Mapping[str, Any]) -> tuple[Sampling, dict[str, Any]]:
    """How to sample, and conditions; without any there is nothing to guide to."""
    how, rest = split(sampling, cond)
    if how.guidance is None and not any(value is not None for value in rest.values()):
        how = replace(how, guidance=1.0)
    return how, rest


def seeds_of(sampling: Sampling, pipeline: "Pipeline", window: int) -> Any:
    """The seeds of a window: those asked for in the first one, others in each that follows."""
    seed = sampling.over(pipeline.defaults).over(STANDARD).seed
    if window == 0 or seed is None:
        return seed

    def own(seed: int) -> int:
        digest = hashlib.blake2b(f"{seed}/window/{window}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1

    return own(seed) if isinstance(seed, int) else tuple(map(own, seed))


def _preview(pipeline: "Pipeline", z: Tensor) -> np.ndarray:
    return pipeline.codec.preview(z.float()).cpu().numpy()


def _reach(pipeline: "Pipeline", window: int) -> int:
    """Samples before a place that are heard differently by states that see beyond it."""
    return REACH * window // pipeline.state_shape[-1]


def _count(seconds: float, rate: int) -> int:
    if not 0 < seconds <= 3600:
        raise UsageError(f"seconds = {seconds:g}: give more than 0, and at most an hour")
    return max(1, round(seconds * rate))


def _window(pipeline: "Pipeline") -> tuple[Sounds, int]:
    """The model's kind of data, and how many samples it makes at once.

    Raises:
        UsageError: It makes no sounds.
    """
    kind = modalities.of(pipeline)
    if not isinstance(kind, Sounds):
        raise UsageError(f"recordings and seconds are of sounds, and this model makes {kind.name}")
    return kind, pipeline.shape[1]
