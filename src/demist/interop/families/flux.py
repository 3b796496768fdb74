"""FLUX.1: T5's tokens, the vector of CLIP, and in dev a guidance scale that the network knows."""

from demist.conditions import Condition, EmbeddedGuidance, PromptStates
from demist.interop.codecs import read_codec
from demist.interop.families.assembly import Assembly, Opened

SCALE = 3.5
"""The guidance scale of dev where nobody says."""


def base(model: Opened) -> Assembly:
    """Images from prompts; dev if the network knows a guidance scale, schnell if not.

    Both predict in one evaluation what guidance would give.
    """
    source = model.source
    source.require(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    dev = bool(model.net.config["guidance_embeds"])
    model.net.routes = {
        "text.states": "states",
        "text.pooled": "pooled",
        "embedded_guidance": "guidance",
    }
    length = 512 if dev else 256
    text = PromptStates(
        (source.text_encoder("text_encoder", "tokenizer"),),
        tokens=False,
        pooled="last",
        long=source.text_encoder("text_encoder_2", "tokenizer_2", length),
        long_length=length,
    )
    conditions: dict[str, Condition] = {"text": text}
    if dev:
        conditions["embedded_guidance"] = EmbeddedGuidance(SCALE)
    return Assembly(read_codec(source, "vae"), conditions, {"guidance": 1.0})
