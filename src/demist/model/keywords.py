"""What people pass to `Pipeline.sample`, checked: one sentence for what makes no sense."""

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from demist.conditions import Conditioner
from demist.errors import UsageError
from demist.parts import spec_of

ELSEWHERE = {
    "num_inference_steps": "steps", "num_steps": "steps", "n_steps": "steps", "nfe": "steps",
    "sampling_steps": "steps", "guidance_scale": "guidance", "cfg": "guidance",
    "cfg_scale": "guidance", "w": "guidance", "sampler": "solver", "scheduler": "solver",
    "method": "solver", "timesteps": "grid", "sigmas": "grid", "times": "grid",
    "time_grid": "grid", "num_images": "n", "num_samples": "n", "n_samples": "n",
    "num_images_per_prompt": "n", "generator": "seed", "seeds": "seed", "rng": "seed",
    "negative_prompt": "negative", "strength": "start", "denoising_strength": "start",
    "image": "init", "latents": "init", "x": "init", "height": "size", "width": "size",
    "shape": "size", "callback": "trajectory", "callback_on_step_end": "trajectory",
    "cls": "class", "class_": "class", "class_label": "class", "class_labels": "class",
    "classes": "class", "labels": "class", "y": "class", "caption": "prompt",
    "mask_image": "hole", "mask": "hole", "original_size": "original", "target_size": "target",
    "crops_coords_top_left": "crop", "aesthetic_score": "aesthetic",
}  # fmt: skip
"""What parameters are called in other libraries -> here; `class` and `prompt` are short forms."""

_SAID = {
    "negative": 'negative={"label": "3"}',
    "init": "init=images, start=0.6",
    "size": "size=(height, width)",
    "trajectory": "for frame in pipeline.trajectory(...), which is the callback",
}


_LISTS = {
    "grid": "a name such as 'angular', or times such as (1, 0.6, 0.2, 0)",
    "guidance_interval": "two times, the lower first, such as (0.1, 0.8)",
}
NOISES = ("seeded", "torch")
HUGE = 1e300
"""Whole numbers from here on are refused: no float holds them all."""
"""Ours, a function of the seed and the sample alone; and that of torch's generator on the CPU."""

_NAMES = {"solver": "heun", "guidance_rule": "apg"}


def require_known(names: Iterable[str], conditioner: Conditioner, options: Iterable[str]) -> None:
    """Raise UsageError if a keyword is neither a condition of the model nor an option.

    Args:
        names: Keywords that are no options.
        conditioner: The model's conditions.
        options: Names of all options, for the message.
    """
    known = list(conditioner.conditions)
    for name in names:
        if name in known:
            continue
        meant = _meant(name, conditioner, [*known, *options])
        has = ", ".join(known) or "none: it is unconditional"
        raise UsageError(
            f"this model has no condition {name!r}; it has {has}. Nor is it an option of sampling"
            + (f"; did you mean {meant}?" if meant else f", which are: {', '.join(options)}")
        )


def _meant(name: str, conditioner: Conditioner, known: list[str]) -> str:
    word = ELSEWHERE.get(name.lower(), "class" if name == "class" else name)
    word = conditioner.called(word) or word
    if word in _SAID:
        return _SAID[word]
    if word in known:
        return word
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1)), "")


def plain(value: Any) -> Any:
    """Numbers and arrays of other libraries as Python has them."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def whole(name: str, value: Any, low: int | None = None, such_as: str = "20") -> int:
    """A whole number from one of any type.

    Raises:
        UsageError: It is something else, or below `low`.
    """
    value = plain(value)
    if not _finite(value) or value != int(value):
        raise UsageError(f"{name} = {_short(value)}: give a whole number, such as {such_as}")
    if low is not None and value < low:
        raise UsageError(f"{name} = {value}: must be at least {low}")
    return int(value)


def number(name: str, value: Any, such_as: str = "2.0") -> float:
    """A finite number from one of any type.

    Raises:
        UsageError: It is something else.
    """
    value = plain(value)
    if not _finite(value):
        raise UsageError(f"{name} = {_short(value)}: give a number, such as {such_as}")
    return float(value) if isinstance(value, float) else int(value)


def _finite(value: Any) -> bool:
    """Whether it is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < HUGE


def _short(value: Any) -> str:
    huge = isinstance(value, int) and abs(value) >= HUGE
    return f"more than {HUGE:.0e}" if huge else repr(value)


def sides(value: Any) -> tuple[int, int]:
    """Height and width.

    Raises:
        UsageError: They are not two whole numbers.
    """
    value = plain(value)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise UsageError(f"size = {value!r}: give height and width, such as (32, 48)")
    return whole("size", value[0], None, "32"), whole("size", value[1], None, "32")


def checked(name: str, value: Any) -> Any:
    """A field of `Sampling` in its own type; numbers and arrays of other libraries are taken, too.

    Raises:
        UsageError: It is of another type, or out of range.
    """
    if name in ("steps", "batch_size", "best_of"):
        return whole(name, value, 1)
    if name == "guidance":
        return number(name, value)
    if name == "start":
        start = number(name, value, "0.6")
        if not 0 <= start <= 1:
            raise UsageError(
                f"start = {start:g}: a time from 0 (the data itself) to 1 (pure noise), such as 0.6"
            )
        return start
    if name == "stages":
        if not isinstance(value, Mapping):
            raise UsageError(
                f'stages = {value!r}: name the stage, stages={{"base": {{"steps": 30}}}}'
            )
        return value
    if name == "condition_noise":
        level = number(name, value, "0.2")
        if not 0 <= level <= 1:
            raise UsageError(f"condition_noise = {level:g}: a level from 0 to 1, such as 0.2")
        return level
    if name == "rewrite":
        if not isinstance(value, bool | np.bool_):
            raise UsageError(f"rewrite = {value!r}: give True or False")
        return bool(value)
    value = spec_of(plain(value))
    many = isinstance(value, list | tuple)
    if name == "seed":
        return tuple(whole(name, one, None, "0") for one in value) if many else whole(name, value)
    if name == "guidance_interval" or (name == "grid" and not isinstance(value, str)):
        if not many:
            raise UsageError(f"{name} = {value!r}: give {_LISTS[name]}")
        return tuple(number(name, one, "0.5") for one in value)
    if name == "noise" and value not in NOISES:
        raise UsageError(f"noise = {value!r}: choose one of {', '.join(NOISES)}")
    if name in ("solver", "grid", "guidance_rule") and not isinstance(value, str):
        raise UsageError(f"{name} = {value!r}: give a name, such as {_NAMES[name]!r}")
    return value


def by_name(what: str, value: Any) -> Mapping[str, Any]:
    """Conditions by name.

    Raises:
        UsageError: It is no mapping.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f'{what} = {value!r}: name the condition, {what}={{"label": {value!r}}}')
    return value
