"""Edits by words in one call: swap words of a prompt, restyle, walk from one image to another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from demist.editing.invert import slerp
from demist.editing.inverting import followed, inverted
from demist.editing.prompt_to_prompt import RESTYLE, SWAP, Following, rewritten, sampled
from demist.editing.words import split, swapped, weighed
from demist.errors import UsageError
from demist.model import Pipeline, Plan, Sampling
from demist.model.fits import unshifted
from demist.model.sampling import split as parted

Words = str | Sequence[str]
"""One text for all samples, or one for each."""

STOCHASTIC = "ddim:eta=1"
"""The solver of edit-friendly inversion, where nobody names one."""


@dataclass(frozen=True)
class Swapped:
    """Images before and after an edit by words.

    Attributes:
        images: Edited, `(n, C, H, W)`.
        source: As they were: those given, or those of the old prompt.
        places: Where the two may differ, as booleans `(n, H, W)`; None: everywhere.
        said: What was understood, a sentence each.
    """

    images: np.ndarray
    source: np.ndarray
    places: np.ndarray | None
    said: tuple[str, ...]


def swap(
    pipeline: Pipeline,
    prompt: Words,
    edit: Words = "",
    *,
    to: Words | None = None,
    weights: Mapping[str, float] | None = None,
    images: np.ndarray | None = None,
    n: int = 1,
    following: Following | None = None,
    inversion: str = "friendly",
    keep: bool = False,
    sampling: Sampling | None = None,
    **cond: Any,
) -> Swapped:
    """Change words of a prompt, and the image where they are: `swap(model, "a red 3", "3->5")`.

    Prompt-to-prompt (see `rewritten`) on images that the model makes of `prompt`, or on given ones,
    which are inverted first (see `inverted`).

    Args:
        pipeline: A model with a prompt.
        prompt: Says what the source shows: all of them, or a prompt for each.
        edit: `old->new`, several with commas; nothing after the arrow leaves words out. One for
            all, or one for each prompt.
        to: The whole new prompt instead. In it, or in `prompt` where nothing else changes,
            `{red:1.5}` weighs a word.
        weights: Words of the new prompts, and how much more they count, in all of them.
        images: Given ones, bytes `(n, C, H, W)` or `(C, H, W)`; None: the model makes `n`.
        n: How many it makes; of several prompts one each.
        following: How much of the source is taken over; None: `SWAP`.
        inversion: Of given images: one of `INVERSIONS`.
        keep: Outside the places that may change, the result has the bytes of the source, where
            else a decoder may change them a little; needs `following` with a blend.
        sampling: How; None, or a field that is None: the pipeline's defaults. `start` below 1
            keeps more of given images.
        cond: Fields of `Sampling`, and further conditions.

    Raises:
        UsageError: Words are not in the prompt, options do not go together, or the model cannot.
    """
    pairs, marks = _asked(prompt, edit, to)
    weights = {**marks, **(weights or {})}
    said = [f"the prompt {old!r} becomes {new!r}" for old, new in pairs if new != old]
    said += [f"{word!r} counts {weight:g} times as much" for word, weight in weights.items()]
    following = SWAP if following is None else following
    n = len(pairs) if len(pairs) > 1 else n
    if keep and not following.blend:
        raise UsageError("keep: all places may change; give a blend, such as 0.5")
    return _edited(
        pipeline, pairs, images, n, following, inversion, sampling, cond, weights, keep, said
    )


def swap_plan(
    pipeline: Pipeline,
    prompt: str,
    edit: str,
    images: np.ndarray,
    *,
    sampling: Sampling | None = None,
    **cond: Any,
) -> Plan:
    """The plan of `swap` for given images, edit-friendly and as far as `SWAP` says.

    Args:
        pipeline: A model with a prompt.
        prompt: Says what all of the images show.
        edit: `old->new`, several with commas.
        images: Bytes `(n, C, H, W)`.
        sampling: How.
        cond: Fields of `Sampling`, and further conditions.

    Raises:
        UsageError: As `swap`.
    """
    old, marked = weighed(prompt)
    new = swapped(old, edit)
    weights = {k: v for k, v in marked.items() if _has(new, k)}
    asked = (sampling or Sampling(), cond)
    return _plans(pipeline, len(images), asked, [(old, new)], images, "friendly", SWAP, weights)


def restyle_plan(
    pipeline: Pipeline,
    prompt: str,
    images: np.ndarray,
    *,
    caption: str = "",
    following: Following = RESTYLE,
    sampling: Sampling | None = None,
    **cond: Any,
) -> Plan:
    """The plan of `restyle` for given images, by edit-friendly inversion.

    Args:
        pipeline: A model with a prompt.
        prompt: What shall be shown.
        images: Bytes `(n, C, H, W)`.
        caption: What all of them show; "": nobody says.
        following: How much of them is taken over.
        sampling: How.
        cond: Fields of `Sampling`, and further conditions.

    Raises:
        UsageError: As `swap`.
    """
    asked = (sampling or Sampling(), cond)
    prompts = [(caption, prompt)]
    return _plans(pipeline, len(images), asked, prompts, images, "friendly", following, {})


def restyle(
    pipeline: Pipeline,
    prompt: str,
    *,
    images: np.ndarray | None = None,
    caption: str = "",
    n: int = 1,
    following: Following | None = None,
    inversion: str = "friendly",
    sampling: Sampling | None = None,
    **cond: Any,
) -> Swapped:
    """Draw what a new prompt says in the shapes of the source (plug-and-play).

    Args:
        pipeline: A model with a prompt.
        prompt: What shall be shown.
        images: As for `swap`.
        caption: What the source shows; "": nobody says.
        n: As for `swap`.
        following: How much of the source is taken over; None: `RESTYLE`.
        inversion: As for `swap`.
        sampling: As for `swap`.
        cond: As for `swap`.

    Raises:
        UsageError: As `swap`.
    """
    following = RESTYLE if following is None else following
    said = [f"the shapes of the source, drawn as {prompt!r}"]
    return _edited(
        pipeline,
        [(caption, prompt)],
        images,
        n,
        following,
        inversion,
        sampling,
        cond,
        {},
        False,
        said,
    )


def between(
    pipeline: Pipeline,
    a: np.ndarray,
    b: np.ndarray,
    frames: int = 24,
    *,
    sampling: Sampling | None = None,
    **cond: Any,
) -> np.ndarray:
    """Images on the way from one to another, for a film: the noises of both, interpolated.

    Both are inverted by the ODE, without guidance unless it is asked for, and the way between their
    noises is that of `slerp`. The first frame and the last are the two as the inversion gives them
    back: at the solver's order, see `inverted`.

    Args:
        pipeline: The model.
        a: Bytes `(C, H, W)`.
        b: The same.
        frames: How many, both ends included.
        sampling: How; its solver is deterministic.
        cond: Fields of `Sampling`, and conditions of all frames.

    Returns:
        Bytes `(frames, C, H, W)`.

    Raises:
        UsageError: There are less than two frames, the images do not fit, or the solver is
            stochastic.
    """
    if not 2 <= frames <= 10_000:
        raise UsageError(f"{frames} frames: a film between two images has 2 to 10000")
    how = (sampling or Sampling()).over(Sampling(guidance=1.0 if "guidance" not in cond else None))
    how, cond = parted(how, cond)
    how = unshifted(pipeline, how, both_ways=True)
    ends = inverted(pipeline.plan(2, how, **cond), np.stack([a, b]), "ddim")
    assert isinstance(ends.init, torch.Tensor)
    weights = torch.linspace(0, 1, frames, dtype=torch.float64)
    first, last = (end[None].expand(frames, *end.shape) for end in ends.init)
    start = slerp(first, last, weights)
    return replace(pipeline.plan(frames, how, **cond), init=start, model=ends.model).sample()


def _asked(
    prompt: Words, edit: Words, to: Words | None
) -> tuple[list[tuple[str, str]], dict[str, float]]:
    """Old and new prompts, and the words that count more in them."""
    given = [[x] if isinstance(x, str) else list(x) for x in (prompt, edit if to is None else to)]
    many = max(map(len, given))
    if any(len(each) not in (1, many) for each in given):
        raise UsageError(
            f"{len(given[0])} prompts and {len(given[1])} changes; give one of either, or as many"
        )
    pairs, marks = list[tuple[str, str]](), dict[str, float]()
    for text, change in zip(*(each * (many // len(each)) for each in given), strict=True):
        old, marked = weighed(text)
        new, further = weighed(
            change if to is not None else swapped(old, change) if change else old
        )
        pairs.append((old, new))
        marks |= {**(marked if to is None else {}), **further}
    return pairs, marks


def _edited(
    pipeline: Pipeline,
    prompts: Sequence[tuple[str, str]],
    images: np.ndarray | None,
    n: int,
    following: Following,
    inversion: str,
    sampling: Sampling | None,
    cond: Mapping[str, Any],
    weights: Mapping[str, float],
    keep: bool,
    said: Sequence[str],
) -> Swapped:
    if images is not None:
        images = images[None] if images.shape == pipeline.shape else images
        n, said = len(images), [*said, f"the image is inverted ({inversion})"]
    asked = (sampling or Sampling(), cond)
    made = sampled(_plans(pipeline, n, asked, prompts, images, inversion, following, weights))
    before = made.source if images is None else images
    places = _enlarged(made.places, before.shape[-2:])
    if made.looks is not None and made.looks.any():
        said = [*said, f"in {made.looks.sum()} of {n} only colours change, and no edges"]
    after = made.images
    if keep and places is not None:
        after = np.where(places[:, None], after, before)
    return Swapped(after, before, places, tuple(said))


def _plans(
    pipeline: Pipeline,
    n: int,
    asked: tuple[Sampling, Mapping[str, Any]],
    prompts: Sequence[tuple[str, str]],
    images: np.ndarray | None,
    inversion: str,
    following: Following,
    weights: Mapping[str, float],
) -> Plan:
    name = pipeline.conditioner.called("prompt")
    if name is None:
        raise UsageError("this model has no prompt, or several, so there are no words to edit")
    source, target = (
        _plan(pipeline, n, asked, name, texts if len(texts) > 1 else texts[0], images, inversion)
        for texts in map(list, zip(*prompts, strict=True))
    )
    if images is not None:
        source = inverted(source, images, inversion)
        target = followed(source, target)
    return rewritten(source, target, prompts, following, weights)


def _has(prompt: str, phrase: str) -> bool:
    return f" {' '.join(split(phrase))} " in f" {' '.join(split(prompt))} "


def _plan(
    pipeline: Pipeline,
    n: int,
    asked: tuple[Sampling, Mapping[str, Any]],
    name: str,
    prompt: Words,
    images: np.ndarray | None,
    inversion: str,
) -> Plan:
    sampling, cond = asked
    friendly = images is not None and inversion == "friendly"
    how = (
        sampling.over(Sampling(solver=STOCHASTIC))
        if friendly and "solver" not in cond
        else sampling
    )
    start = cond.get("start", sampling.start)
    init = images if start is not None and start < 1 else None
    how, cond = parted(how, cond)
    return pipeline.plan(
        n,
        unshifted(pipeline, how, both_ways=images is not None),
        init=init,
        **{**cond, name: prompt},
    )


def _enlarged(places: np.ndarray | None, sides: tuple[int, ...]) -> np.ndarray | None:
    """Places of states as places of pixels."""
    if places is None:
        return None
    height, width = (side // own for side, own in zip(sides, places.shape[1:], strict=True))
    return places.repeat(height, 1).repeat(width, 2) > 0
