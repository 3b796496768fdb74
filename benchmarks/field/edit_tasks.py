"""The edits that are measured: what is edited, what does it, floors and ceilings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from demist.editing import (
    RESTYLE,
    SWAP,
    between,
    inpaint,
    instruct,
    outpaint,
    swap,
    upscale,
    vary,
    windowed,
)
from demist.editing.damage import Damage, to_unit
from demist.editing.restoring import planned
from demist.model import Sampling, open_model
from field import edit_figures as figures
from field.edit_figures import Figure, ground
from field.edit_work import (
    SIZE,
    Draw,
    Work,
    all_recoloured,
    joined,
    pairs_of,
    parts,
    redigited,
    side_by_side,
    two_ends,
)

Made = np.ndarray | tuple[np.ndarray, np.ndarray]
"""Images `(n, 3, h, w)` or `(n, k, 3, h, w)`; and what they were drawn from, if nobody gave it."""
Maker = Callable[..., Made]


@dataclass(frozen=True)
class Task:
    """One table.

    Attributes:
        title: What is done.
        draw: What is edited.
        makers: What does it; all have the ceilings as well.
        figures: What is measured.
        usual: The rows of the table, their settings chosen on the training split.
        n: Images, if nobody says.
    """

    title: str
    draw: Draw
    makers: Mapping[str, Maker]
    figures: Sequence[Figure]
    usual: Sequence[str]
    n: int = 200

    def maker(self, row: str) -> tuple[Maker, dict[str, Any]]:
        """What makes a row such as `inpaint jumps=4`, and its options."""
        name, how = parsed(row)
        return {**CEILINGS, **self.makers}[name], how


def parsed(row: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a row such as `inpaint jumps=4`."""
    words = row.split(" ")
    first = next((i for i, word in enumerate(words) if "=" in word), len(words))
    options = dict(word.split("=", 1) for word in words[first:])
    return " ".join(words[:first]), {key: _value(text) for key, text in options.items()}


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def target(work: Work) -> np.ndarray:
    return work.targets


def target_through_codec(work: Work) -> np.ndarray:
    return work.pipeline.decode(work.pipeline.encode(work.targets))


def source_unchanged(work: Work) -> np.ndarray:
    return work.sources


def hidden(work: Work, masks: np.ndarray) -> np.ndarray:
    """Background where a mask is 1."""
    flat = ground(work.targets).round().astype(np.uint8)
    return np.where(masks[:, None] > 0, flat, work.targets)


def hidden_hole(work: Work) -> np.ndarray:
    return hidden(work, work.holes)


def hidden_half(work: Work) -> np.ndarray:
    return hidden(work, work.right_halves)


def filled_in(work: Work, **how: Any) -> np.ndarray:
    """The named digit drawn anew in its hole."""
    return inpaint(
        work.pipeline, work.targets, work.holes, seed=work.seed, text=work.prompts, **how
    )


def again(work: Work, times: int = 10, **how: Any) -> np.ndarray:
    """Inpainted again and again, each time what the last one made."""
    x = work.targets
    for k in range(times):
        x = inpaint(
            work.pipeline, x, work.holes, seed=work.seed + 1000 * k, text=work.prompts, **how
        )
    return x


def extended(work: Work, **how: Any) -> np.ndarray:
    """The right half made from the left one."""
    left = work.targets[..., : SIZE // 2]
    return outpaint(
        work.pipeline, left, {"right": SIZE // 2}, seed=work.seed, text=work.prompts, **how
    )


def drawn_anew(work: Work, **how: Any) -> np.ndarray:
    """A new image of the new prompt."""
    return work.pipeline.sample(len(work), seed=work.seed, text=work.prompts, **how)


def swapped(work: Work, **how: Any) -> np.ndarray:
    """Prompt-to-prompt on given images."""
    return _swapped(work, images=work.sources, **how).images


def swapped_drawn(work: Work, **how: Any) -> Made:
    """Prompt-to-prompt on images that the model draws, which are those to be near to."""
    both = _swapped(work, **how)
    return both.images, both.source


def _swapped(work: Work, **how: Any) -> Any:
    names = ("words", "pixels", "features", "blend", "looks")
    following = replace(SWAP, **{name: how.pop(name) for name in names if name in how})
    return swap(
        work.pipeline, work.before, to=work.after, following=following, seed=work.seed, **how
    )  # fmt: skip


def restyled(
    work: Work, structure: float | None = None, caption: str = "no", pixels: float | None = None,
    features: float | None = None, **how: Any,
) -> np.ndarray:  # fmt: skip
    """`restyle` of each image with its own prompt, which `swap` does in one call.

    Args:
        work: The images.
        structure: As `--structure`: both of the next.
        caption: Whether it is said what they show: yes or no.
        pixels: See `Following`; None: as `RESTYLE` says.
        features: Likewise.
        how: Further arguments.
    """
    shares = {"pixels": structure or pixels, "features": structure or features}
    share = replace(RESTYLE, **{name: value for name, value in shares.items() if value})
    old = work.before if caption == "yes" else [""] * len(work)
    return swap(
        work.pipeline, old, to=work.prompts, images=work.sources, following=share,
        seed=work.seed, **how,
    ).images  # fmt: skip


def instructed(work: Work, model: str = "", **how: Any) -> np.ndarray:
    """By a model that learned to follow instructions."""
    words = [pair.instruction for pair in work.pairs]
    return instruct(open_model(model), work.sources, words, seed=work.seed, **how)


def bicubic(work: Work) -> np.ndarray:
    """The small image, made large without a model."""
    return np.stack([
        np.asarray(Image.fromarray(low.transpose(1, 2, 0)).resize(
            (SIZE, SIZE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        for low in work.beside("low")
    ])  # fmt: skip


def restored(
    work: Work, method: str = "pigdm", each: int = 8, noise: float = 0.01, **how: Any
) -> np.ndarray:
    """Samples of what a small image may come from, without its prompt: `(n, each, 3, s, s)`."""
    damage = Damage.of(work.pipeline, "sr:4", noise)
    y = damage.operator.measured(to_unit(work.beside("low")))
    seeds = range(work.seed, work.seed + len(y) * each)
    samples = planned(damage, y, method, list(seeds), Sampling(**how), {}).sample()
    return samples.reshape(len(y), each, *samples.shape[1:])


def upscaled(work: Work, model: str = "", each: int = 8, **how: Any) -> np.ndarray:
    """By a model that learned to: `(n, each, 3, s, s)`."""
    low = work.beside("low").repeat(each, 0)
    made = upscale(open_model(model), low, seed=work.seed, **how)
    return made.reshape(-1, each, *made.shape[1:])


def varied(work: Work, strength: float = 0.5, **how: Any) -> np.ndarray:
    """Noised and sampled from there, with the image's own prompt."""
    return vary(work.pipeline, work.targets, strength, seed=work.seed, text=work.prompts, **how)


def in_windows(
    work: Work, strength: float = 0.5, overlap: float = 0.5, **how: Any
) -> np.ndarray:  # fmt: skip
    """The wide image varied as one, in windows; nobody says what it shows."""
    larger, guide = windowed(work.pipeline, work.targets.shape[2:], overlap=overlap)
    return vary(larger, work.targets, strength, guide=guide, seed=work.seed, **how)


def two_edits(work: Work, strength: float = 0.5, **how: Any) -> np.ndarray:
    """Each half varied for itself."""
    made = vary(work.pipeline, parts(work.targets), strength, seed=work.seed, **how)
    return joined(made, work.across)


def squeezed(work: Work, strength: float = 0.5, **how: Any) -> np.ndarray:
    """The wide image resized for the model, varied, and resized back."""
    return vary(work.pipeline, work.targets, strength, seed=work.seed, **how)


def films(work: Work, frames: int = 24, **how: Any) -> np.ndarray:
    """From the first image to the last one: `(n, frames, 3, s, s)`."""
    ends = zip(work.sources, work.targets, strict=True)
    return np.stack([between(work.pipeline, a, b, frames, seed=work.seed, **how) for a, b in ends])


def faded(work: Work, frames: int = 24) -> np.ndarray:
    """One image laid over the other, more and more."""
    shares = np.linspace(0, 1, frames)[:, None, None, None]
    a, b = (x[:, None].astype(np.float32) for x in (work.sources, work.targets))
    return (a + shares * (b - a)).round().astype(np.uint8)


def cut(work: Work, frames: int = 24) -> np.ndarray:
    """The one image, and from the middle on the other."""
    late = np.arange(frames)[:, None, None, None] >= frames / 2
    return np.where(late, work.targets[:, None], work.sources[:, None])


def faded_latents(work: Work, frames: int = 24) -> np.ndarray:
    """The same of what the codec makes of them."""
    first, last = (work.pipeline.encode(x) for x in (work.sources, work.targets))
    rows = [
        work.pipeline.decode(first + share * (last - first)) for share in np.linspace(0, 1, frames)
    ]
    return np.stack(rows, axis=1)


CEILINGS: dict[str, Maker] = {"target": target, "target through the codec": target_through_codec}
MODELLESS = {target, hidden_hole, hidden_half, source_unchanged, bicubic, faded, cut}
"""What needs no model."""
SEPARATE, ONE = "two separate edits", "resized for the model"

BEFORE_LOOKS = "swap words=0.8 pixels=0.4 looks=1"
"""As the default was before it told changes of colour from those of shape."""

TASKS: dict[str, Task] = {
    "inpaint": Task(
        "A named digit drawn anew in its hole",
        pairs_of("hole"),
        {"background in the hole": hidden_hole, "inpaint": filled_in, "ten in a row": again},
        [figures.digits, figures.named, figures.near, figures.outside(lambda work: work.holes)],
        [*CEILINGS, "background in the hole", "inpaint", "inpaint jumps=4", "ten in a row"],
    ),
    "outpaint": Task(
        "The right half made from the left one",
        pairs_of("hole"),
        {"background on the right": hidden_half, "outpaint": extended},
        [figures.digits, figures.on_the_right, figures.near,
         figures.outside(lambda work: work.right_halves)],
        [*CEILINGS, "background on the right", "outpaint", "outpaint jumps=4"],
    ),
    "recolour": Task(
        "A digit of a given image in another colour",
        pairs_of("recolour"),
        {"source unchanged": source_unchanged, "drawn anew": drawn_anew, "swap": swapped,
         "instruct": instructed},
        [figures.digits, figures.named, figures.near],
        [*CEILINGS, "source unchanged", "drawn anew", BEFORE_LOOKS, "swap",
         "instruct model=recolour"],
    ),
    "swap (drawn)": Task(
        "Prompt-to-prompt on drawn images",
        pairs_of("recolour"),
        {"swap": swapped_drawn},
        [figures.digits, figures.named, figures.near],
        [BEFORE_LOOKS, "swap"],
    ),
    "swap digit (drawn)": Task(
        "A digit of a drawn image becomes another one",
        redigited,
        {"swap": swapped_drawn},
        [figures.digits, figures.named, figures.near],
        [BEFORE_LOOKS, "swap"],
    ),
    "swap digit": Task(
        "A digit of a given image becomes another one",
        redigited,
        {"source unchanged": source_unchanged, "swap": swapped},
        [figures.digits, figures.named, figures.near],
        ["source unchanged", BEFORE_LOOKS, "swap"],
    ),
    "restyle": Task(
        "The same digits, each in another colour",
        all_recoloured,
        {"source unchanged": source_unchanged, "drawn anew": drawn_anew, "restyle": restyled},
        [figures.digits, figures.colours, figures.near],
        [*CEILINGS, "source unchanged", "drawn anew", "restyle"],
    ),
    "upscale": Task(
        "Four times as large",
        pairs_of("low"),
        {"bicubic": bicubic, "restore": restored, "upscale": upscaled},
        [figures.digits, figures.of_the_mean, figures.near],
        [*CEILINGS, "bicubic", "restore", "upscale model=upscale"],
    ),
    "vary": Task(
        "Variations with the image's own prompt",
        pairs_of("hole"),
        {"drawn anew": drawn_anew, "vary": varied},
        [figures.digits, figures.near],
        [*CEILINGS, "drawn anew", *(f"vary strength={s}" for s in (0.3, 0.5, 0.7))],
    ),
    "windows": Task(
        "Two scenes side by side, varied as one image of twice the model's width",
        side_by_side,
        {"windows": in_windows, SEPARATE: two_edits, ONE: squeezed},
        [figures.digits, figures.near, figures.seam],
        [*CEILINGS, *(f"{row} strength=0.5" for row in (ONE, SEPARATE, "windows"))],
    ),
    "film": Task(
        "From one image to another in 24 frames",
        two_ends,
        {"cut": cut, "fade of the images": faded, "fade of the latents": faded_latents,
         "film": films},
        [figures.film],
        ["cut", "fade of the images", "fade of the latents", "film steps=40"],
        n=50,
    ),
}  # fmt: skip
