"""Stable Diffusion 1 and 2: one text encoder, all 77 tokens attended to."""

from demist.conditions import PromptStates
from demist.interop.codecs import read_codec
from demist.interop.families.assembly import Assembly, Opened


def base(model: Opened) -> Assembly:
    """Images from prompts."""
    model.source.require(("vae", "text_encoder", "tokenizer"))
    model.net.routes = {"text": "states"}
    text = PromptStates((model.source.text_encoder("text_encoder", "tokenizer"),))
    return Assembly(read_codec(model.source, "vae"), {"text": text}, {"guidance": 5.0})
