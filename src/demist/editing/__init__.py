"""Changing what is there: from data to noise and back."""

from demist.editing.direct import Missing, OfSource, missing_steps
from demist.editing.edit_friendly import CLOSE, NoiseMaps, Replay, noise_maps
from demist.editing.following import LARGEST, Follower, Now, Site, shaping
from demist.editing.invert import invert, slerp, upwards
from demist.editing.inverting import INVERSIONS, followed, inverted
from demist.editing.null_text import (
    ITERATIONS,
    RATE,
    Nulls,
    NullText,
    Offsets,
    nothing_added,
    null_text,
    unguided,
    with_null,
)
from demist.editing.prompt_to_prompt import (
    RESTYLE,
    SWAP,
    Both,
    Following,
    Rewriting,
    Rewritten,
    rewritten,
    sampled,
)
from demist.editing.swap import STOCHASTIC, Swapped, between, restyle, swap
from demist.editing.tiles import Tiled, Wrapping, in_windows
from demist.editing.unclamped import unclamped
from demist.editing.words import (
    Correspondence,
    aligned,
    correspondence,
    number_of,
    split,
    swapped,
    weighed,
)

__all__ = [
    "CLOSE",
    "INVERSIONS",
    "ITERATIONS",
    "LARGEST",
    "RATE",
    "RESTYLE",
    "STOCHASTIC",
    "SWAP",
    "Both",
    "Correspondence",
    "Follower",
    "Following",
    "Missing",
    "NoiseMaps",
    "Now",
    "NullText",
    "Nulls",
    "OfSource",
    "Offsets",
    "Replay",
    "Rewriting",
    "Rewritten",
    "Site",
    "Swapped",
    "Tiled",
    "Wrapping",
    "aligned",
    "between",
    "correspondence",
    "followed",
    "in_windows",
    "invert",
    "inverted",
    "missing_steps",
    "noise_maps",
    "nothing_added",
    "null_text",
    "number_of",
    "restyle",
    "rewritten",
    "sampled",
    "shaping",
    "slerp",
    "split",
    "swap",
    "swapped",
    "unclamped",
    "unguided",
    "upwards",
    "weighed",
    "with_null",
]
