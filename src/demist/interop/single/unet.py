"""Names of the U-Net and the autoencoder: diffusers' -> CompVis'."""

from collections.abc import Collection

from demist.interop.single.places import Place, renamed

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "time_embedding.cond_proj": "time_embedding.cond_proj",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "class_embedding": "label_emb",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
KEY_VALUE = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out", "group_norm": "norm"}


def unet(names: Collection[str]) -> dict[str, Place]:
    """Places of a UNet2DConditionModel, whose blocks CompVis numbers through.

    Args:
        names: Of its tensors.
    """
    modules, levels, n = dict(ENDS), _count(names, "down_blocks."), 1
    for i in range(levels):
        for j in range(_count(names, f"down_blocks.{i}.resnets.")):
            modules[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{n}.0"
            modules[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{n}.1"
            n += 1
        modules[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{n}.0.op"
        n += 1
    n = 0
    for i in range(levels):
        attends = _count(names, f"up_blocks.{i}.attentions.") > 0
        for j in range(_count(names, f"up_blocks.{i}.resnets.")):
            modules[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{n}.0"
            modules[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{n}.1"
            n += 1
        last = f"output_blocks.{n - 1}.{1 + attends}.conv"
        modules[f"up_blocks.{i}.upsamplers.0.conv"] = last
    return renamed(names, modules, RESNET)


def autoencoder(names: Collection[str]) -> dict[str, Place]:
    """Places of an AutoencoderKL, whose levels CompVis numbers by their size on both ways.

    Args:
        names: Of its tensors.
    """
    modules = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for half, blocks, way in (("encoder", "down_blocks", "down"), ("decoder", "up_blocks", "up")):
        for end in ("conv_in", "conv_out"):
            modules[f"{half}.{end}"] = f"{half}.{end}"
        modules[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        for j in range(2):
            modules[f"{half}.mid_block.resnets.{j}"] = f"{half}.mid.block_{j + 1}"
        modules[f"{half}.mid_block.attentions.0"] = f"{half}.mid.attn_1"
        levels = _count(names, f"{half}.{blocks}.")
        for i in range(levels):
            here = f"{half}.{way}.{i if way == 'down' else levels - 1 - i}"
            for j in range(_count(names, f"{half}.{blocks}.{i}.resnets.")):
                modules[f"{half}.{blocks}.{i}.resnets.{j}"] = f"{here}.block.{j}"
                modules[f"{half}.{blocks}.{i}.attentions.{j}"] = f"{here}.attn.{j}"
            modules[f"{half}.{blocks}.{i}.{way}samplers.0.conv"] = f"{here}.{way}sample.conv"
    places = renamed(names, modules, {"conv_shortcut": "nin_shortcut", **KEY_VALUE})
    matrices = [f".{key}.weight" for key in KEY_VALUE if key != "group_norm"]
    return {
        name: Place(place.name, pixels=name.endswith(tuple(matrices)))
        for name, place in places.items()
    }


def _count(names: Collection[str], prefix: str) -> int:
    """How many numbers follow a prefix."""
    heads = {name[len(prefix) :].partition(".")[0] for name in names if name.startswith(prefix)}
    return len(heads)
