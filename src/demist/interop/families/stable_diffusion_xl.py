"""Stable Diffusion XL: two text encoders side by side, the vector of the second, and sizes."""

from demist.conditions import PromptStates, Sizes
from demist.interop.codecs import read_codec
from demist.interop.families.assembly import Assembly, Opened


def base(model: Opened) -> Assembly:
    """Images from prompts and sizes in pixels."""
    source = model.source
    source.require(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    model.net.routes = {"text.states": "states", "text.pooled": "pooled", "sizes": "sizes"}
    text = PromptStates(
        (
            source.text_encoder("text_encoder", "tokenizer"),
            source.text_encoder("text_encoder_2", "tokenizer_2"),
        ),
        layer=-2,
        pooled="last",
        zeros=bool(model.index.get("force_zeros_for_empty_prompt", True)),
    )
    codec = read_codec(source, "vae")
    _, height, width = codec.data_shape((model.net.config["in_channels"], *model.sides))
    sizes = Sizes((height, width, 0, 0, height, width))
    return Assembly(codec, {"text": text, "sizes": sizes}, {"guidance": 5.0})
