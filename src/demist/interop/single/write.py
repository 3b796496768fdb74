"""A published model written as one file, or as ComfyUI's parts; both open there and here.

```
single    NAME.safetensors
comfy     diffusion_models/NAME.safetensors, vae/NAME.safetensors, text_encoders/clip_l.safetensors,
          controlnet/controlnet.safetensors
```

The names are those of the tables that reading uses. Configurations that names and shapes do not
tell are kept in the metadata, where other programs do not look.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from demist.conditions import TextEncoder
from demist.errors import UsageError
from demist.interop.controls import is_control, kind_with
from demist.interop.single.held import PLACES
from demist.interop.single.places import Places, below, joined
from demist.interop.single.said import KEY
from demist.interop.single.sorting import TOKENIZERS, VAE
from demist.interop.single.vocabulary import MARKS, vocabulary
from demist.interop.source import Source
from demist.io.files import atomic
from demist.io.folders import atomic_folder
from demist.io.tensors import write_stream
from demist.networks.published import AutoencoderKL, Published

Form = Literal["single", "comfy"]
STYLES = {
    "UNet2DConditionModel": "unet",
    "SD3Transformer2DModel": "sd3",
    "FluxTransformer2DModel": "flux",
}
"""Class of a network -> how its names are written."""
NETWORK, LOW = "model.diffusion_model.", "low_res_scheduler"
Make = Callable[[], Tensor]
"""Gives a tensor of the file when it is written, so that one is held twice at a time."""
LONGEST = 2**18
"""Characters; a tokenizer that takes more is not kept in the metadata."""

CLIP_KEYS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
             "num_attention_heads", "hidden_act", "max_position_embeddings", "projection_dim",
             "layer_norm_eps", "bos_token_id", "eos_token_id", "pad_token_id")  # fmt: skip
T5_KEYS = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads",
           "feed_forward_proj", "relative_attention_num_buckets",
           "relative_attention_max_distance", "layer_norm_epsilon", "pad_token_id",
           "eos_token_id")  # fmt: skip
"""What a text encoder's configuration says of the network."""


@dataclass(frozen=True)
class Row:
    """Where a component goes in one file, and in ComfyUI's folders.

    Attributes:
        style: How its names are written in the one file.
        prefix: What stands before them.
        file: Its own file, below the folder; {} is the model's name.
    """

    style: str
    prefix: str
    file: str


def rows(source: Source, net: Published) -> dict[str, Row]:
    """Component -> where it goes.

    Args:
        source: What the model was read from.
        net: Its network.

    Raises:
        UsageError: There is no such form of it.
    """
    if net.kind not in STYLES or source.index.get("_class_name") == "DiTPipeline":
        raise UsageError(
            f"a {source.index['_class_name']} has no form as a single file that others read; "
            f"export it as diffusers"
        )
    style = STYLES[net.kind]
    flux = style == "flux"
    found = {
        net.folder: Row(style, NETWORK, "diffusion_models/{}.safetensors"),
        VAE: Row("autoencoder", "vae." if flux else "first_stage_model.", "vae/{}.safetensors"),
    }
    one, two, long = TOKENIZERS
    clip_l, clip_g, t5 = (f"text_encoders/{n}.safetensors" for n in ("clip_l", "clip_g", "t5xxl"))
    if style != "unet":
        found[one] = Row("clip", "text_encoders.clip_l.transformer.", clip_l)
        row = Row("t5", "text_encoders.t5xxl.transformer.", t5)
        found |= {two: row} if flux else {
            two: Row("clip", "text_encoders.clip_g.transformer.", clip_g), long: row,
        }  # fmt: skip
    elif source.has(two) and source.has(one):
        found[one] = Row("clip", "conditioner.embedders.0.transformer.", clip_l)
        found[two] = Row("openclip", "conditioner.embedders.1.model.", clip_g)
    elif source.has(two):
        found[two] = Row("openclip", "conditioner.embedders.0.model.", clip_g)
    elif net.config["use_linear_projection"]:
        clip_h = "text_encoders/clip_h.safetensors"
        found[one] = Row("openclip", "cond_stage_model.model.", clip_h)
    else:
        found[one] = Row("clip", "cond_stage_model.transformer.", clip_l)
    return found


def write_single(
    path: Path,
    form: Form,
    source: Source,
    networks: Mapping[str, nn.Module],
    encoders: Iterable[TextEncoder],
    say: Callable[[str], None],
    replace: bool = False,
) -> list[Path]:
    """Write a model as one file, or as a new folder of parts; all or nothing.

    Args:
        path: Of the file or the folder.
        form: Which of the two.
        source: What the model was read from, for what its weights do not say.
        networks: As they are now: the denoiser's network, and the autoencoder.
        encoders: Its text encoders; those that were not needed yet are opened.
        say: Called with what a reader of the file has to know.
        replace: Whether a folder that is there may be replaced.

    Returns:
        The files.

    Raises:
        UsageError: There is no such form of this model.
        OSError: Writing failed.
    """
    nets = [net for net in networks.values() if isinstance(net, Published)]
    net, vae = nets[0], next((n for n in nets if n.folder == VAE), None)
    places = rows(source, net)
    led = {name: one for name, one in networks.items() if is_control(one)}
    known = (net, vae, *led.values())
    others = [one.kind for one in nets if all(one is not other for other in known)]
    if others:
        raise UsageError(f"a single file has no place for a {others[0]}; leave it out")
    if not isinstance(vae, AutoencoderKL):
        raise UsageError(
            f"its autoencoder is a {vae.kind if vae else 'part of nothing'}, for which a single "
            f"file has no place; export the model as diffusers"
        )
    states: dict[str, Mapping[str, Tensor]] = {
        net.folder: net.state_dict(), VAE: vae.state_dict(),
    }  # fmt: skip
    plain = {k: v for k, v in source.index.items() if not isinstance(v, list) and k[:1] != "_"}
    said: dict[str, Any] = {
        "index": {**plain, "_class_name": kind_with(source.index["_class_name"], {})},
        "scheduler": source.scheduler(),
        net.folder: source.config(net.folder),
        VAE: source.config(VAE),
        **({LOW: source.scheduler(LOW)} if source.has(LOW) else {}),
    }
    for encoder in encoders:
        states[encoder.name] = _names_of_files(encoder.model.state_dict())
        said[encoder.name] = _config_of(encoder.model)
        said[TOKENIZERS[encoder.name]] = _tokenizer_of(encoder, say)
    header = {KEY: json.dumps({key: value for key, value in said.items() if value})}
    files: dict[str, dict[str, tuple[Tensor, Make]]] = {}
    for name, state in states.items():
        row = places[name]
        if form == "single":
            table = below(row.prefix, PLACES[row.style](state.keys()))
            file = path.name
        else:
            style = "clip" if row.style == "openclip" else row.style
            table = PLACES[style](state.keys())
            file = row.file.format(path.name)
        files.setdefault(file, {}).update(_made(table, state))
    if form == "single":
        if led:
            say(f"{', '.join(led)} left out: a control network has a file of its own elsewhere")
        with atomic(path) as temporary:
            _write(temporary, files[path.name], header)
        return [path]
    for name, control in led.items():  # ComfyUI reads diffusers' names
        held = control.state_dict()
        files[f"controlnet/{name}.safetensors"] = {
            k: (v, partial(held.__getitem__, k)) for k, v in held.items()
        }
    with atomic_folder(path, replace=replace) as folder:
        for file, tensors in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            _write(folder / file, tensors, header if file == next(iter(files)) else {})
    return [path / file for file in files]


def _made(table: Places, state: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Make]]:
    """The file's tensors: one of their type and shape without numbers, and what gives each."""
    sizes = {key: value.to("meta") for key, value in state.items()}
    likes = joined(table, sizes.__getitem__)
    return {key: (likes[key](), make) for key, make in joined(table, state.__getitem__).items()}


def _write(
    path: Path, tensors: Mapping[str, tuple[Tensor, Make]], header: Mapping[str, str]
) -> None:
    layout = {name: (like.dtype, tuple(like.shape)) for name, (like, _) in tensors.items()}
    write_stream(path, layout, lambda name: tensors[name][1](), header)


def _names_of_files(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A text encoder's tensors under the names that files have."""
    if "shared.weight" in state:
        # Published files hold it twice, and diffusers reads both.
        return {**state, "encoder.embed_tokens.weight": state["shared.weight"]}
    bare = not any(name.startswith("text_model.") for name in state)
    found = {f"text_model.{k}" if bare else k: v for k, v in state.items()}
    return {k: v for k, v in found.items() if not k.endswith("position_ids")}


def _config_of(model: nn.Module) -> dict[str, Any]:
    config: Any = model.config
    keys = T5_KEYS if hasattr(config, "d_model") else CLIP_KEYS
    return {key: getattr(config, key) for key in keys if hasattr(config, key)}


def _tokenizer_of(encoder: TextEncoder, say: Callable[[str], None]) -> dict[str, Any]:
    """What the metadata say of a tokenizer: only its padding, if it is CLIP's."""
    tokenizer = encoder.tokenizer
    if tokenizer.get_vocab() == vocabulary()[0]:
        return {"pad_token": tokenizer.pad_token}
    marks = {key: getattr(tokenizer, key) for key in MARKS if getattr(tokenizer, key, None)}
    whole = tokenizer.backend_tokenizer.to_str() if hasattr(tokenizer, "backend_tokenizer") else ""
    if not 0 < len(whole) <= LONGEST:
        name = TOKENIZERS[encoder.name]
        say(f"{encoder.name}'s tokenizer is not in the file; read it with --part {name}=FOLDER")
        return {}
    return {"json": whole, "model_max_length": int(tokenizer.model_max_length), **marks}
