"""The parts of a file of tensors, told by names alone: networks, autoencoders, text encoders."""

from collections.abc import Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""


@dataclass(frozen=True)
class Part:
    """A part of a file.

    Attributes:
        style: How its names are written: a row of `MARKS`.
        prefix: What stands before them.
    """

    style: str
    prefix: str = ""

    def own(self, shapes: Shapes) -> dict[str, tuple[int, ...]]:
        """Its tensors by their names without the prefix."""
        n = len(self.prefix)
        return {k[n:]: v for k, v in shapes.items() if k.startswith(self.prefix)}


MARKS: Mapping[str, str] = {
    "unet": "input_blocks.0.0.weight",
    "sd3": "joint_blocks.0.x_block.attn.qkv.weight",
    "flux": "double_blocks.0.img_attn.qkv.weight",
    "autoencoder": "decoder.mid.block_1.norm1.weight",
    "clip": "text_model.embeddings.token_embedding.weight",
    "openclip": "transformer.resblocks.0.attn.in_proj_weight",
    "t5": "encoder.block.0.layer.0.SelfAttention.q.weight",
    "llama": "enc.blk.0.attn_q.weight",
}
"""Style -> the end of a name that only it has."""

NETWORKS = ("unet", "sd3", "flux")
ENCODERS = ("clip", "openclip", "t5", "llama")
BEFORE = ("", "model.diffusion_model.", "diffusion_model.")
"""What may stand before the names of a network that makes images."""


def parts_of(shapes: Shapes) -> list[Part]:
    """The parts that a file has, in the order of their names."""
    found = []
    for name in sorted(shapes):
        for style, mark in MARKS.items():
            if name.endswith(mark):
                part = Part(style, name[: -len(mark)])
                foreign = style in NETWORKS and part.prefix not in BEFORE
                if not foreign and not part.prefix.endswith("visual."):
                    found.append(part)
    return found


def count(own: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    """How many numbers follow a prefix in names."""
    heads = {name[len(prefix) :].partition(".")[0] for name in own if name.startswith(prefix)}
    return len([head for head in heads if head.isdecimal()])
