"""Stable Diffusion XL: two text encoders side by side, the vector of the second, and numbers.

The numbers are the size of the image before it was cropped, where it was cropped, and its size
after; of the refiner, which has the second encoder only, a score in place of the last.
"""

from dataclasses import replace

from demist.conditions import Condition, PromptStates, Score, Sizes
from demist.errors import DataError, DemistError
from demist.interop.codecs import read_codec
from demist.interop.families import pieces
from demist.interop.families.assembly import Assembly, Opened


def base(model: Opened) -> Assembly:
    """Images from prompts and sizes in pixels: the base model, or the refiner."""
    source = model.source
    encoders = (1, 2) if source.has("text_encoder") else (2,)
    names = [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")][-len(encoders) :]
    source.require(("vae", *(name for pair in names for name in pair)))
    text = PromptStates(
        tuple(source.text_encoder(*pair) for pair in names),
        layer=-2,
        pooled="last",
        zeros=bool(model.index.get("force_zeros_for_empty_prompt", True)),
    )
    codec = read_codec(source, "vae")
    _, height, width = codec.data_shape((1, *model.sides))
    numbers: dict[str, Condition] = {
        "original": Sizes((height, width)),
        "crop": Sizes((0, 0), crop=True),
    }
    if model.index.get("requires_aesthetics_score"):
        numbers["aesthetic"] = Score()
    else:
        numbers["target"] = Sizes((height, width))
    _require_numbers(model, 5 if "aesthetic" in numbers else 6)
    model.net.routes = {"text.states": "states", "text.pooled": "pooled"}
    model.net.routes |= dict.fromkeys(numbers, "sizes")
    conditions = {"text": text, **numbers, **pieces.embedded_guidance(model)}
    return Assembly(codec, conditions, {"guidance": 5.0})


def inpaint(model: Opened) -> Assembly:
    """Images whose hole is filled as a prompt says."""
    plain = base(model)
    return replace(plain, conditions={**plain.conditions, **pieces.hole(model, plain.codec)})


def _require_numbers(model: Opened, count: int) -> None:
    """Check that the network is given as many numbers as it takes.

    Raises:
        DataError: It takes others.
    """
    try:
        width = model.source.config("text_encoder_2").get("projection_dim")
    except DemistError:
        return  # the encoder is opened later, and says then what is wrong with it
    config = model.net.config
    taken, each = config["projection_class_embeddings_input_dim"], config["addition_time_embed_dim"]
    if not all(isinstance(number, int) for number in (width, taken, each)):
        return
    if taken != width + count * each:
        raise DataError(
            f"{model.source.where(model.name)} takes {taken} features, but {count} numbers of "
            f"{each} and the prompt's vector of {width} are {width + count * each}; the refiner "
            f"is one that says requires_aesthetics_score in its model_index.json"
        )
