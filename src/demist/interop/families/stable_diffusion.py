"""Stable Diffusion 1 and 2: one text encoder, all 77 tokens attended to; and their editors."""

from dataclasses import replace

from demist.codecs import ChannelScale
from demist.conditions import Condition, InLatents, NoisyImage, Picture, PromptStates
from demist.core import Table
from demist.errors import DataError
from demist.interop.codecs import read_codec
from demist.interop.families import pieces
from demist.interop.families.assembly import Assembly, Opened
from demist.interop.schedulers import read_scheduler

LOW = "low_res_scheduler"


def base(model: Opened) -> Assembly:
    """Images from prompts."""
    conditions = _prompts(model)
    return Assembly(read_codec(model.source, "vae"), conditions, {"guidance": 5.0})


def inpaint(model: Opened) -> Assembly:
    """Images whose hole is filled as a prompt says."""
    plain = base(model)
    return replace(plain, conditions={**plain.conditions, **pieces.hole(model, plain.codec)})


def instruct(model: Opened) -> Assembly:
    """Images changed as a prompt says (InstructPix2Pix). Their latents are not scaled."""
    conditions, codec = _prompts(model), read_codec(model.source, "vae")
    state = pieces.state_channels(model)
    pieces.require_further(model, state, "the latents of an image")
    model.net.routes |= {"image": "beside"}
    picture = Picture(codec.data_shape((state, *model.sides)))
    unscaled = replace(codec, scale=ChannelScale())
    conditions["image"] = InLatents(picture, unscaled, hidden=True)
    return Assembly(codec, conditions, {"guidance": 7.5, "guidance_rule": "dual"})


def upscale(model: Opened) -> Assembly:
    """Small images made large (x4). The scale of their latents is the published one, always."""
    conditions, source = _prompts(model), model.source
    codec = replace(read_codec(source, "vae"), scale=ChannelScale(scale=0.08333))
    pieces.require_further(model, 3, "a small image")
    model.net.routes |= {"image.image": "beside", "image.level": "label"}
    table = read_scheduler(source.scheduler(LOW), source.where(LOW)).schedule
    classes, most = model.net.config["num_class_embeds"], model.index.get("max_noise_level", 350)
    if not isinstance(table, Table) or not isinstance(most, int) or most < 0 or not classes:
        raise DataError(f"{source.place} does not say which levels of noise its images may have")
    bar = tuple(table.alpha_bar.tolist())
    most = min(most, classes - 1, len(bar) - 1)
    factor = codec.net.downsample
    conditions["image"] = NoisyImage((3, *model.sides), factor, bar, min(20, most), most)
    return Assembly(codec, conditions, {"guidance": 9.0})


def _prompts(model: Opened) -> dict[str, Condition]:
    """The prompt, and the guidance scale where the network is given it."""
    model.source.require(("vae", "text_encoder", "tokenizer"))
    model.net.routes = {"text": "states"}
    text = PromptStates((model.source.text_encoder("text_encoder", "tokenizer"),))
    return {"text": text, **pieces.embedded_guidance(model)}
