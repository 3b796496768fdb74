"""A text-to-image model that was trained here, as a folder of diffusers' StableDiffusionPipeline.

Diffusers knows one prompt, which CLIP reads with its padding, and one number by which latents are
multiplied. So a model can be written whose prompts a tower of that form learned to read; shifts and
scales of its latents go into the weights of its autoencoder. The empty prompt is the null here as
there, so guidance is the same.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist import interop
from demist.codecs import KLAutoencoder, Pixels
from demist.conditions import ClipText
from demist.errors import UsageError
from demist.interop.save import VERSION
from demist.interop.source import INDEX
from demist.io.files import write_json
from demist.model.learned_clip import TEXT, WORDS, write_text_tower
from demist.networks import SDNetwork
from demist.networks.published import AutoencoderKL
from demist.networks.published.clip_text import ClipText as Tower

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

FACTOR = 0.18215
"""By what all who read Stable Diffusion multiply its latents, where no file says it."""
HOW = "`demist train --recipe sd` trains one that can be written for diffusers"


def write(pipeline: "Pipeline", folder: Path) -> None:
    """Write the model into an existing, empty folder.

    Args:
        pipeline: Of a network `sd`.
        folder: Where to.

    Raises:
        UsageError: Diffusers cannot say what this model is.
    """
    net = pipeline.denoiser.net
    assert isinstance(net, SDNetwork)
    name, text = _prompt(pipeline)
    codec = _codec(pipeline)
    scheduler = _scheduler(pipeline)
    tower = net.telling.parts[name].get_submodule("reader")
    assert isinstance(tower, Tower)
    _, height, width = pipeline.state_shape
    size = height if height == width else [height, width]
    interop.write_network(folder / "unet", net.net, {**net.net.config, "sample_size": size})
    interop.write_network(folder / "vae", interop.with_factor(codec, FACTOR))
    write_text_tower(folder, tower, text)
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": VERSION,
        "requires_safety_checker": False,
        "feature_extractor": [None, None],
        "safety_checker": [None, None],
        "scheduler": ["diffusers", scheduler["_class_name"]],
        TEXT: ["transformers", "CLIPTextModel"],
        WORDS: ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", net.net.kind],
        "vae": ["diffusers", AutoencoderKL.kind],
    }
    write_json(folder / INDEX, index)


def _prompt(pipeline: "Pipeline") -> tuple[str, ClipText]:
    """Name and condition of the only prompt."""
    conditions = pipeline.conditioner.conditions
    found = [
        (name, c) for name, c in conditions.items() if isinstance(c, ClipText) and c.tower == "clip"
    ]
    if len(found) != 1 or len(conditions) != 1:
        known = ", ".join(
            f"{name} ({getattr(c, 'tower', c.name)})" for name, c in conditions.items()
        )
        raise UsageError(
            f"a StableDiffusionPipeline is told one prompt that CLIP reads, and this model is told "
            f"{known or 'nothing'}; train it with --text-tower clip and without other conditions: "
            f"{HOW}"
        )
    return found[0]


def _codec(pipeline: "Pipeline") -> KLAutoencoder:
    codec = pipeline.codec
    if not isinstance(codec, KLAutoencoder) or not isinstance(codec.net, AutoencoderKL):
        inside = codec.net if isinstance(codec, KLAutoencoder) else codec
        raise UsageError(
            f"a StableDiffusionPipeline has the latents of an AutoencoderKL, and this model those "
            f"of a {type(inside).__name__}; train it with --codec kl: {HOW}"
        )
    if not isinstance(codec.pixels, Pixels):
        raise UsageError(
            f"diffusers spreads pixels over [-1, 1], and this model has {codec.pixels}; {HOW}"
        )
    return codec


def _scheduler(pipeline: "Pipeline") -> dict[str, Any]:
    """That of DDIM, which ends at the data as ours do."""
    denoiser = pipeline.denoiser
    if denoiser.learn_variance or denoiser.bounds is not None:
        raise UsageError(
            f"a StableDiffusionPipeline neither learns variances nor clamps latents, and this "
            f"model does (variance_steps, bounded); {HOW}"
        )
    described = interop.scheduler_of(denoiser, HOW)
    del described["variance_type"], described["clip_sample_range"]
    return described | {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": VERSION,
        "set_alpha_to_one": True,
        "steps_offset": 1,
    }
