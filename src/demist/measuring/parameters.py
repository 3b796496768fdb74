"""The line that A1111 writes into images, for models of other makers: many programs read it."""

from collections.abc import Mapping
from typing import Any

from demist.model.pipeline import Pipeline
from demist.model.values import PROMPT, name_of
from demist.version import __version__


def parameters_of(pipeline: Pipeline, options: Mapping[str, Any]) -> str | None:
    """Prompt, negative prompt and settings; None: the model is ours, or has no one prompt.

    Args:
        pipeline: The model.
        options: How it was sampled, as in the facts of a page.
    """
    name = name_of(pipeline, PROMPT)
    prompt, negative = options.get(name), (options.get("negative") or {}).get(name)
    if pipeline.origin is None or not isinstance(prompt, str):
        return None
    height, width = pipeline.shape[-2:]
    settings = {
        "Steps": options.get("steps"),
        "Sampler": options.get("solver"),
        "CFG scale": options.get("guidance"),
        "Seed": options.get("seed"),
        "Size": f"{width}x{height}",
        "Model": pipeline.origin.place.stem,
        "Version": f"demist {__version__}",
    }
    told = ", ".join(f"{key}: {value}" for key, value in settings.items() if value is not None)
    avoided = [f"Negative prompt: {negative}"] if isinstance(negative, str) and negative else []
    return "\n".join([prompt, *avoided, told])
