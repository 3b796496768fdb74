"""A folder in the layout of diffusers, by its `model_index.json`, as the parts of a pipeline."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from demist.codecs import Codec, Pixels
from demist.conditions import Condition, Conditioner, Label, PromptStates, Sizes
from demist.core import Denoiser
from demist.errors import DataError, DemistError, MissingError
from demist.interop.codecs import read_codec
from demist.interop.schedulers import read_scheduler
from demist.interop.weights import facts, open_network
from demist.io.files import read_json
from demist.io.untrusted import inside
from demist.networks.published import Published

INDEX = "model_index.json"

Conditions = dict[str, Condition]


def _pixels(folder: Path, index: Mapping[str, Any], net: Published) -> tuple[Codec, Conditions]:
    """DDPM and DDIM: images as they are, perhaps of classes."""
    count = net.config.get("num_class_embeds")
    return Pixels(), _classes(count) if count else {}


def _latents(folder: Path, index: Mapping[str, Any], net: Published) -> tuple[Codec, Conditions]:
    """Latent diffusion without a prompt: an autoencoder with a codebook, not scaled."""
    name = "vqvae" if "vqvae" in index else "vae"
    return read_codec(folder, name, scale=1.0), {}


def _prompts(folder: Path, index: Mapping[str, Any], net: Published) -> tuple[Codec, Conditions]:
    """Stable Diffusion 1 and 2: one text encoder, all 77 tokens attended to."""
    _require_parts(folder, index, ("vae", "text_encoder", "tokenizer"))
    net.routes = {"text": "states"}
    text = PromptStates(str(folder.resolve()), ("text_encoder",), ("tokenizer",))
    return read_codec(folder, "vae"), {"text": text}


def _two_prompts(
    folder: Path, index: Mapping[str, Any], net: Published
) -> tuple[Codec, Conditions]:
    """XL: two text encoders side by side, the vector of the second, and sizes in pixels."""
    parts = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    _require_parts(folder, index, parts)
    net.routes = {"text.states": "states", "text.pooled": "pooled", "sizes": "sizes"}
    text = PromptStates(
        str(folder.resolve()),
        ("text_encoder", "text_encoder_2"),
        ("tokenizer", "tokenizer_2"),
        layer=-2,
        pooled="last",
        zeros=bool(index.get("force_zeros_for_empty_prompt", True)),
    )
    codec = read_codec(folder, "vae")
    _, height, width = codec.data_shape((net.config["in_channels"], *_sides(folder, "unet")))
    return codec, {"text": text, "sizes": Sizes((height, width, 0, 0, height, width))}


def _classes_in_latents(
    folder: Path, index: Mapping[str, Any], net: Published
) -> tuple[Codec, Conditions]:
    """DiT: classes by number, or by the names in the index; the last row of the table is none."""
    count = int(net.config["num_embeds_ada_norm"])
    named = index.get("id2label")
    names = [str(i) for i in range(count)]
    if isinstance(named, dict):
        names = [str(named.get(str(i), i)).partition(",")[0] for i in range(count)]
        twice = {name for name in names if names.count(name) > 1}
        names = [f"{name} {i}" if name in twice else name for i, name in enumerate(names)]
    return read_codec(folder, "vae"), {"label": Label(tuple(names))}


def _three_prompts(
    folder: Path, index: Mapping[str, Any], net: Published
) -> tuple[Codec, Conditions]:
    """SD3: two CLIP encoders side by side, widened with zeros, then T5's tokens after them."""
    parts = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    _require_parts(folder, index, parts)
    net.routes = {"text.states": "states", "text.pooled": "pooled"}
    long = (index.get("text_encoder_3") or [None])[0] is not None
    text = PromptStates(
        str(folder.resolve()),
        ("text_encoder", "text_encoder_2"),
        ("tokenizer", "tokenizer_2"),
        layer=-2,
        pooled="all",
        width=int(net.config["joint_attention_dim"]),
        long=("text_encoder_3", "tokenizer_3") if long else (),
        long_length=256,
    )
    return read_codec(folder, "vae"), {"text": text}


PIPELINES: Mapping[str, Callable[..., tuple[Codec, Conditions]]] = {
    "DDPMPipeline": _pixels,
    "DDIMPipeline": _pixels,
    "LDMPipeline": _latents,
    "StableDiffusionPipeline": _prompts,
    "StableDiffusionXLPipeline": _two_prompts,
    "StableDiffusion3Pipeline": _three_prompts,
    "DiTPipeline": _classes_in_latents,
}
"""Class in `model_index.json` -> what its codec and conditions are."""


def is_published(folder: Path) -> bool:
    """Whether it is a folder of another maker: an index that is not ours, or a U-Net alone."""
    for name in (INDEX, "config.json"):
        if (folder / name).is_file():
            return "_demist_version" not in read_json(inside(folder, name))
    return False


def read(folder: Path) -> dict[str, Any]:
    """The arguments of `Pipeline` from a folder of another maker.

    Raises:
        MissingError: A file is not there.
        DataError: It is of a class that is not known, or damaged.
        RefusedError: Its weights are pickles, or a link leads out of it.
    """
    try:
        return _read(folder)
    except DemistError:
        raise
    except Exception as error:  # what a file says may make a part raise anything
        raise DataError(f"{folder} does not describe a model: {error}") from None


def _read(folder: Path) -> dict[str, Any]:
    flat = not (folder / INDEX).is_file()
    index = {"_class_name": "DDPMPipeline"} if flat else read_json(inside(folder, INDEX))
    kind = str(index.get("_class_name"))
    if kind not in PIPELINES:
        raise DataError(
            f"{folder} holds a {kind!r}, which is not known; known are {', '.join(PIPELINES)}"
        )
    place = "" if flat else "unet" if "unet" in index else "transformer"
    net = open_network(folder, place)
    scheduler = "scheduler_config.json" if flat else "scheduler/scheduler_config.json"
    scheduled = read_scheduler(read_json(inside(folder, scheduler)), str(folder / scheduler))
    codec, conditions = PIPELINES[kind](folder, index, net)
    outputs = int(net.config["out_channels"] or net.config["in_channels"])
    learned = outputs == 2 * int(net.config["in_channels"])
    denoiser = Denoiser(
        net,
        scheduled.schedule,
        scheduled.parameterization,
        clock=scheduled.clock,
        learn_variance=learned,
        bounds=scheduled.bounds if isinstance(codec, Pixels) else None,
    )
    if not all(math.isfinite(side) for side in scheduled.bounds or ()):
        raise DataError(f"{folder} clamps its samples to {scheduled.bounds}")
    state = (outputs // (1 + learned), *_sides(folder, place))
    return {
        "denoiser": denoiser.eval(),
        "codec": codec,
        "conditioner": Conditioner(conditions),
        "shape": codec.data_shape(state),
        "defaults": {"guidance": 5.0 if "text" in conditions else 4.0 if conditions else 1.0},
        "facts": {"maker": kind, **facts(net)},
        "bucket": 1,
    }


def _sides(folder: Path, place: str) -> tuple[int, int]:
    """Height and width of the state, from the network's configuration."""
    name = f"{place}/config.json" if place else "config.json"
    size = read_json(inside(folder, name)).get("sample_size")
    given = size if isinstance(size, list) else [size, size]
    sides = [side for side in given if isinstance(side, int) and 0 < side < 2**16]
    if len(given) != 2 or len(sides) != 2:
        raise DataError(f"{folder / name} has sample_size = {size!r}; it must be one side, or two")
    return sides[0], sides[1]


def _classes(count: int) -> Conditions:
    return {"label": Label(tuple(map(str, range(count))))}


def _require_parts(folder: Path, index: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(index.get(name), list) or not (folder / name).is_dir():
            raise MissingError(f"{folder} has no {name!r}, which a {index['_class_name']} needs")
