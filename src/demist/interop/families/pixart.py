"""PixArt-alpha and PixArt-sigma: T5's tokens, padding hidden, and in alpha the image's size."""

from demist.conditions import Condition, PromptStates, Sizes
from demist.interop.codecs import read_codec
from demist.interop.families.assembly import Assembly, Opened
from demist.networks.published import PixArtTransformer


def alpha(model: Opened) -> Assembly:
    """Images from prompts of up to 120 tokens."""
    return _base(model, 120)


def sigma(model: Opened) -> Assembly:
    """Images from prompts of up to 300 tokens."""
    return _base(model, 300)


def _base(model: Opened, length: int) -> Assembly:
    source = model.source
    source.require(("vae", "text_encoder", "tokenizer"))
    model.net.routes = {"text.states": "states", "text.mask": "mask"}
    text = PromptStates(
        (),
        tokens=False,
        long=source.text_encoder("text_encoder", "tokenizer", length),
        long_length=length,
        masked=True,
        lower=True,
    )
    codec = read_codec(source, "vae")
    conditions: dict[str, Condition] = {"text": text}
    if isinstance(model.net, PixArtTransformer) and model.net.knows_sizes:
        _, height, width = codec.data_shape((model.net.channels[0], *model.sides))
        conditions["sizes"] = Sizes((height, width))
    return Assembly(codec, conditions, {"guidance": 4.5})
