"""Stable Diffusion 3: two CLIP encoders side by side, widened with zeros, then T5's tokens."""

from demist.conditions import PromptStates
from demist.interop.codecs import read_codec
from demist.interop.families.assembly import Assembly, Opened

LONG = 256
"""Tokens of T5, or zeros in their place."""


def base(model: Opened) -> Assembly:
    """Images from prompts, with and without T5."""
    source = model.source
    source.require(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    model.net.routes = {"text.states": "states", "text.pooled": "pooled"}
    named = (model.index.get("text_encoder_3") or [None])[0] is not None
    if named:
        source.require(("text_encoder_3", "tokenizer_3"))
    text = PromptStates(
        (
            source.text_encoder("text_encoder", "tokenizer"),
            source.text_encoder("text_encoder_2", "tokenizer_2"),
        ),
        layer=-2,
        pooled="all",
        width=int(model.net.config["joint_attention_dim"]),
        long=source.text_encoder("text_encoder_3", "tokenizer_3", LONG) if named else None,
        long_length=LONG,
    )
    return Assembly(read_codec(source, "vae"), {"text": text}, {"guidance": 5.0})
