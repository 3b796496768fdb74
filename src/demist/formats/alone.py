"""What a file is that holds no model that makes images by itself, and what it is good for."""

from collections.abc import Mapping
from dataclasses import dataclass

from demist.formats.parts import Part, Shapes, parts_of


@dataclass(frozen=True)
class Alone:
    """What a file is.

    Attributes:
        title: "LoRA", "autoencoder alone", ...
        use: How it is used, in the words of the command line; "" where it is not.
    """

    title: str
    use: str = ""


ENDINGS: Mapping[str, Alone] = {
    ".hada_w1_a": Alone("LoHa"),
    ".lokr_w1": Alone("LoKr"),
    ".lokr_w1_a": Alone("LoKr"),
    ".oft_diag": Alone("OFT"),
    ".lora_down.weight": Alone("LoRA", "demist sample MODEL --lora {}"),
    ".lora_A.weight": Alone("LoRA", "demist sample MODEL --lora {}"),
    ".lora.down.weight": Alone("LoRA", "demist sample MODEL --lora {}"),
    "_lora.down.weight": Alone("LoRA", "demist sample MODEL --lora {}"),
    ":up": Alone("LoRA", "demist sample MODEL --lora {}"),
}
"""How a tensor's name ends -> what the file is."""
NAMES: Mapping[str, Alone] = {
    "emb_params": Alone("textual inversion", "demist sample MODEL --embedding {}"),
    "clip_g": Alone("textual inversion", "demist sample MODEL --embedding {}"),
    "image_proj.proj.weight": Alone("IP-Adapter", "demist sample MODEL --ip-adapter {}"),
    "image_proj.latents": Alone("IP-Adapter", "demist sample MODEL --ip-adapter {}"),
    "image_proj.proj.0.weight": Alone("IP-Adapter", "demist sample MODEL --ip-adapter {}"),
    "control_model.input_blocks.0.0.weight": Alone("ControlNet"),
    "input_hint_block.0.weight": Alone("ControlNet"),
    "controlnet_cond_embedding.conv_in.weight": Alone("ControlNet"),
    "decoder.mid_block.resnets.0.norm1.weight": Alone(
        "autoencoder under diffusers' names", "give its folder, with config.json, not the file"
    ),
    "down_blocks.0.resnets.0.norm1.weight": Alone(
        "U-Net under diffusers' names", "give its folder, with config.json, not the file"
    ),
    "transformer_blocks.0.norm1.linear.weight": Alone(
        "transformer under diffusers' names", "give its folder, with config.json, not the file"
    ),
}
"""A tensor's name -> what the file is."""
PARTS: Mapping[str, Alone] = {
    "autoencoder": Alone("autoencoder alone", "demist sample MODEL --part vae={}"),
    "clip": Alone("CLIP text encoder alone", "demist sample MODEL --part text={}"),
    "openclip": Alone("OpenCLIP text encoder alone", "demist sample MODEL --part text={}"),
    "t5": Alone("T5 text encoder alone", "demist sample MODEL --part text={}"),
    "llama": Alone("T5 text encoder alone", "demist sample MODEL --part text={}"),
}
"""Style of a part -> what a file of it is."""


def alone_of(shapes: Shapes, parts: list[Part] | None = None) -> Alone | None:
    """What a file is that has no network; None: nobody knows.

    Args:
        shapes: Of its tensors.
        parts: See `parts_of`.
    """
    for ending, what in ENDINGS.items():
        if any(name.endswith(ending) for name in shapes):
            return what
    for name, what in NAMES.items():
        if name in shapes:
            return what
    found = parts_of(shapes) if parts is None else parts
    if found:
        return PARTS.get(found[0].style)
    if len(shapes) == 1 and all(s[1:] and not s[2:] for s in shapes.values()):
        return NAMES["emb_params"]
    return None
