"""Changing what is there: within masks, from data to noise and back, and by words."""

from demist.editing.direct import Missing, OfSource, missing_steps
from demist.editing.edit_friendly import CLOSE, NoiseMaps, Replay, noise_maps
from demist.editing.following import LARGEST, Follower, Now, Site, shaping
from demist.editing.inpainting import EDGES, extended, inpaint, outpaint, sheet_of
from demist.editing.instructing import RULE, instruct, instructed, shown_image
from demist.editing.invert import SETTLED, invert, slerp, undo, upwards
from demist.editing.inverting import INVERSIONS, followed, inverted
from demist.editing.known import ALWAYS, Fill, Known, with_jumps, with_known
from demist.editing.masks import Box, Mask
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
from demist.editing.redrawing import Edit, redraw
from demist.editing.restoring import Restored, restore, scores_of
from demist.editing.sheet import Sheet
from demist.editing.swap import STOCHASTIC, Swapped, between, restyle, swap, swap_plan
from demist.editing.tiles import Tiled, Wrapping, in_windows
from demist.editing.unclamped import unclamped
from demist.editing.upscaling import enlarged_by, enlarging, upscale
from demist.editing.varying import vary
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
    "ALWAYS",
    "CLOSE",
    "EDGES",
    "INVERSIONS",
    "ITERATIONS",
    "LARGEST",
    "RATE",
    "RESTYLE",
    "RULE",
    "SETTLED",
    "STOCHASTIC",
    "SWAP",
    "Both",
    "Box",
    "Correspondence",
    "Edit",
    "Fill",
    "Follower",
    "Following",
    "Known",
    "Mask",
    "Missing",
    "NoiseMaps",
    "Now",
    "NullText",
    "Nulls",
    "OfSource",
    "Offsets",
    "Replay",
    "Restored",
    "Rewriting",
    "Rewritten",
    "Sheet",
    "Site",
    "Swapped",
    "Tiled",
    "Wrapping",
    "aligned",
    "between",
    "correspondence",
    "damage",
    "editor",
    "enlarged_by",
    "enlarging",
    "extended",
    "followed",
    "in_windows",
    "inpaint",
    "instruct",
    "instructed",
    "invert",
    "inverted",
    "known",
    "masks",
    "missing_steps",
    "noise_maps",
    "nothing_added",
    "null_text",
    "number_of",
    "outpaint",
    "redraw",
    "redrawing",
    "restore",
    "restorer",
    "restoring",
    "restyle",
    "rewritten",
    "sampled",
    "scores_of",
    "shaping",
    "sheet",
    "sheet_of",
    "shown_image",
    "slerp",
    "sources",
    "split",
    "swap",
    "swap_plan",
    "swapped",
    "unclamped",
    "undo",
    "unguided",
    "upscale",
    "upwards",
    "vary",
    "weighed",
    "with_jumps",
    "with_known",
    "with_null",
]
