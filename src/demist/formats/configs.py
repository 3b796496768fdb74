"""Configurations under diffusers' keys, derived from names and shapes of a part of a single file.

What shapes do not say is as it was published: 8 heads where attention begins with a convolution, 64
channels a head elsewhere, norms of 32 groups.
"""

import math
from collections.abc import Mapping
from typing import Any

from demist.formats.parts import Part, Shapes, count

Own = Mapping[str, tuple[int, ...]]
"""Name of a tensor without the part's prefix -> its shape."""
Config = dict[str, Any]


def unet(own: Own) -> Config:
    """UNet2DConditionModel.

    Raises:
        KeyError: A tensor is missing that every U-Net has.
    """
    channels, blocks, depths, n = list[int](), list[int](), list[int](), 1
    while (
        f"input_blocks.{n}.0.out_layers.3.weight" in own or f"input_blocks.{n}.0.op.weight" in own
    ):
        if f"input_blocks.{n}.0.op.weight" in own:
            blocks.append(0)
        else:
            blocks = blocks or [0]
            blocks[-1] += 1
            channels[len(blocks) - 1 :] = [own[f"input_blocks.{n}.0.out_layers.3.weight"][0]]
            depths[len(blocks) - 1 :] = [count(own, f"input_blocks.{n}.1.transformer_blocks.")]
        n += 1
    attends = [depth > 0 for depth in depths]
    layers = [depth or 1 for depth in depths]
    if not attends[-1]:
        layers[-1] = count(own, "middle_block.1.transformer_blocks.") or 1
    inner = "middle_block.1.transformer_blocks.0"
    linear = not own["middle_block.1.proj_in.weight"][2:]
    upscales = "label_emb.weight" in own
    config: Config = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": 64,
        "in_channels": own["input_blocks.0.0.weight"][1],
        "out_channels": own["out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": blocks,
        "down_block_types": ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]],
        "cross_attention_dim": own[f"{inner}.attn2.to_k.weight"][1],
        "transformer_layers_per_block": layers,
        "attention_head_dim": [max(1, c // 64) for c in channels] if linear and not upscales else 8,
        "use_linear_projection": linear,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }
    if "time_embedding.cond_proj.weight" in own:
        config["time_cond_proj_dim"] = own["time_embedding.cond_proj.weight"][1]
    if "label_emb.0.0.weight" in own:
        config |= {
            "sample_size": 128,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": own["label_emb.0.0.weight"][1],
        }
    if upscales:
        config |= {
            "sample_size": 128,
            "num_class_embeds": own["label_emb.weight"][0],
            "only_cross_attention": [a and c != config["cross_attention_dim"]
                                     for a, c in zip(attends, channels, strict=True)],
        }  # fmt: skip
    return config


def autoencoder(own: Own) -> Config:
    """AutoencoderKL; what its latents are multiplied by belongs to the model."""
    levels = count(own, "encoder.down.")
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": own["encoder.conv_in.weight"][1],
        "out_channels": own["decoder.conv_out.weight"][0],
        "block_out_channels": [
            own[f"encoder.down.{i}.block.0.conv2.weight"][0] for i in range(levels)
        ],
        "layers_per_block": count(own, "encoder.down.0.block."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "latent_channels": own["decoder.conv_in.weight"][1],
        "use_quant_conv": "quant_conv.weight" in own,
        "use_post_quant_conv": "post_quant_conv.weight" in own,
        "mid_block_add_attention": "decoder.mid.attn_1.q.weight" in own,
    }


def sd3(own: Own) -> Config:
    """SD3Transformer2DModel."""
    depth, block = count(own, "joint_blocks."), "joint_blocks.0.x_block.attn"
    width = own[f"{block}.proj.weight"][0]
    head = own.get(f"{block}.ln_q.weight", (64,))[0]
    patch = own["x_embedder.proj.weight"][2]
    dual = [i for i in range(depth) if f"joint_blocks.{i}.x_block.attn2.qkv.weight" in own]
    return {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": 128,
        "patch_size": patch,
        "in_channels": own["x_embedder.proj.weight"][1],
        "out_channels": own["final_layer.linear.weight"][0] // patch**2,
        "num_layers": depth,
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": own["context_embedder.weight"][1],
        "caption_projection_dim": width,
        "pooled_projection_dim": own["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(own["pos_embed"][1]),
        "dual_attention_layers": dual,
        "qk_norm": "rms_norm" if f"{block}.ln_q.weight" in own else None,
    }


def flux(own: Own) -> Config:
    """FluxTransformer2DModel."""
    block = "double_blocks.0.img_attn"
    head = own[f"{block}.norm.query_norm.scale"][0]
    return {
        "_class_name": "FluxTransformer2DModel",
        "patch_size": 1,
        "in_channels": own["img_in.weight"][1],
        "num_layers": count(own, "double_blocks."),
        "num_single_layers": count(own, "single_blocks."),
        "attention_head_dim": head,
        "num_attention_heads": own[f"{block}.proj.weight"][0] // head,
        "joint_attention_dim": own["txt_in.weight"][1],
        "pooled_projection_dim": own["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in own,
    }


def clip(own: Own) -> Config:
    """CLIPTextModel under the names of `transformers`."""
    layer = "text_model.encoder.layers."
    config = _clip(own["text_model.embeddings.token_embedding.weight"], count(own, layer))
    return config | {
        "intermediate_size": own[f"{layer}0.mlp.fc1.weight"][0],
        "max_position_embeddings": own["text_model.embeddings.position_embedding.weight"][0],
        "projection_dim": own.get("text_projection.weight", (config["hidden_size"],))[0],
    }


def openclip(own: Own) -> Config:
    """CLIPTextModel under OpenCLIP's names."""
    config = _clip(own["token_embedding.weight"], count(own, "transformer.resblocks."))
    return config | {
        "hidden_act": "gelu",
        "intermediate_size": own["transformer.resblocks.0.mlp.c_fc.weight"][0],
        "max_position_embeddings": own["positional_embedding"][0],
        "projection_dim": own.get("text_projection", (0, config["hidden_size"]))[1],
    }


def _clip(table: tuple[int, ...], layers: int) -> Config:
    words, width = table
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // 64),
        "hidden_act": "quick_gelu" if width == 768 else "gelu",  # OpenAI's own, or OpenCLIP's
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 1,
    }


def t5(own: Own) -> Config:
    """T5EncoderModel under the names of `transformers`."""
    block = "encoder.block.0.layer"
    heads = own[f"{block}.0.SelfAttention.relative_attention_bias.weight"]
    return _t5(
        own["shared.weight" if "shared.weight" in own else "encoder.embed_tokens.weight"],
        heads, own[f"{block}.0.SelfAttention.q.weight"][0],
        own[f"{block}.1.DenseReluDense.wi_0.weight"][0], count(own, "encoder.block."),
    )  # fmt: skip


def llama(own: Own) -> Config:
    """T5EncoderModel under the names of llama.cpp."""
    return _t5(
        own["token_embd.weight"], own["enc.blk.0.attn_rel_b.weight"],
        own["enc.blk.0.attn_q.weight"][0], own["enc.blk.0.ffn_gate.weight"][0],
        count(own, "enc.blk."),
    )  # fmt: skip


def _t5(
    table: tuple[int, ...], bias: tuple[int, ...], inner: int, wide: int, layers: int
) -> Config:
    return {
        "vocab_size": table[0],
        "d_model": table[1],
        "d_kv": inner // bias[1],
        "d_ff": wide,
        "num_layers": layers,
        "num_heads": bias[1],
        "relative_attention_num_buckets": bias[0],
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "is_encoder_decoder": False,
        "use_cache": False,
    }


CONFIGS = {
    "unet": unet,
    "autoencoder": autoencoder,
    "sd3": sd3,
    "flux": flux,
    "clip": clip,
    "openclip": openclip,
    "t5": t5,
    "llama": llama,
}
"""Style of a part -> its configuration."""


def config_of(part: Part, shapes: Shapes) -> Config:
    """The configuration of a part.

    Args:
        part: The part.
        shapes: Of all tensors of its file.

    Raises:
        KeyError: A tensor is missing that all of its kind have.
    """
    return CONFIGS[part.style](part.own(shapes))
