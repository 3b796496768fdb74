"""Names of the transformers: diffusers' -> Stability's (SD 3) and Black Forest Labs' (Flux)."""

import re
from collections.abc import Collection, Mapping

from demist.interop.single.places import Place

Row = tuple[str, tuple[int, ...], int]
"""Name in the file, shares that are taken, of how many."""


def _whole(name: str) -> Row:
    return name, (0,), 1


def _fused(*keys: str, name: str) -> dict[str, Row]:
    return {key: (name, (i,), 3) for i, key in enumerate(keys)}


QKV, ADDED = ("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj")
SWAPPED = ((1, 0), 2)
"""Shift and scale of the last norms come in the other order."""

SD3_ENDS: Mapping[str, Row] = {
    "pos_embed": _whole(""),  # the table itself
    "pos_embed.proj": _whole("x_embedder.proj"),
    "time_text_embed.timestep_embedder.linear_1": _whole("t_embedder.mlp.0"),
    "time_text_embed.timestep_embedder.linear_2": _whole("t_embedder.mlp.2"),
    "time_text_embed.text_embedder.linear_1": _whole("y_embedder.mlp.0"),
    "time_text_embed.text_embedder.linear_2": _whole("y_embedder.mlp.2"),
    "context_embedder": _whole("context_embedder"),
    "norm_out.linear": ("final_layer.adaLN_modulation.1", *SWAPPED),
    "proj_out": _whole("final_layer.linear"),
}
SD3_BLOCK: Mapping[str, Row] = {
    "norm1.linear": _whole("x_block.adaLN_modulation.1"),
    "norm1_context.linear": _whole("context_block.adaLN_modulation.1"),
    **_fused(*(f"attn.{key}" for key in QKV), name="x_block.attn.qkv"),
    **_fused(*(f"attn2.{key}" for key in QKV), name="x_block.attn2.qkv"),
    **_fused(*(f"attn.{key}" for key in ADDED), name="context_block.attn.qkv"),
    "attn.norm_q": _whole("x_block.attn.ln_q"),
    "attn.norm_k": _whole("x_block.attn.ln_k"),
    "attn2.norm_q": _whole("x_block.attn2.ln_q"),
    "attn2.norm_k": _whole("x_block.attn2.ln_k"),
    "attn.norm_added_q": _whole("context_block.attn.ln_q"),
    "attn.norm_added_k": _whole("context_block.attn.ln_k"),
    "attn.to_out.0": _whole("x_block.attn.proj"),
    "attn2.to_out.0": _whole("x_block.attn2.proj"),
    "attn.to_add_out": _whole("context_block.attn.proj"),
    "ff.net.0.proj": _whole("x_block.mlp.fc1"),
    "ff.net.2": _whole("x_block.mlp.fc2"),
    "ff_context.net.0.proj": _whole("context_block.mlp.fc1"),
    "ff_context.net.2": _whole("context_block.mlp.fc2"),
}

FLUX_ENDS: Mapping[str, Row] = {
    "time_text_embed.timestep_embedder.linear_1": _whole("time_in.in_layer"),
    "time_text_embed.timestep_embedder.linear_2": _whole("time_in.out_layer"),
    "time_text_embed.text_embedder.linear_1": _whole("vector_in.in_layer"),
    "time_text_embed.text_embedder.linear_2": _whole("vector_in.out_layer"),
    "time_text_embed.guidance_embedder.linear_1": _whole("guidance_in.in_layer"),
    "time_text_embed.guidance_embedder.linear_2": _whole("guidance_in.out_layer"),
    "context_embedder": _whole("txt_in"),
    "x_embedder": _whole("img_in"),
    "norm_out.linear": ("final_layer.adaLN_modulation.1", *SWAPPED),
    "proj_out": _whole("final_layer.linear"),
}
FLUX_DOUBLE: Mapping[str, Row] = {
    "norm1.linear": _whole("img_mod.lin"),
    "norm1_context.linear": _whole("txt_mod.lin"),
    **_fused(*(f"attn.{key}" for key in QKV), name="img_attn.qkv"),
    **_fused(*(f"attn.{key}" for key in ADDED), name="txt_attn.qkv"),
    "attn.norm_q": _whole("img_attn.norm.query_norm"),
    "attn.norm_k": _whole("img_attn.norm.key_norm"),
    "attn.norm_added_q": _whole("txt_attn.norm.query_norm"),
    "attn.norm_added_k": _whole("txt_attn.norm.key_norm"),
    "attn.to_out.0": _whole("img_attn.proj"),
    "attn.to_add_out": _whole("txt_attn.proj"),
    "ff.net.0.proj": _whole("img_mlp.0"),
    "ff.net.2": _whole("img_mlp.2"),
    "ff_context.net.0.proj": _whole("txt_mlp.0"),
    "ff_context.net.2": _whole("txt_mlp.2"),
}
FLUX_SINGLE: Mapping[str, Row] = {
    "norm.linear": _whole("modulation.lin"),
    # One matrix for queries, keys, values and the inner layer, which is four times as wide.
    **{f"attn.{key}": ("linear1", (i,), 7) for i, key in enumerate(QKV)},
    "proj_mlp": ("linear1", (3, 4, 5, 6), 7),
    "attn.norm_q": _whole("norm.query_norm"),
    "attn.norm_k": _whole("norm.key_norm"),
    "proj_out": _whole("linear2"),
}


def sd3(names: Collection[str]) -> dict[str, Place]:
    """Places of an SD3Transformer2DModel.

    Args:
        names: Of its tensors.
    """
    last = max(int(n.split(".")[1]) for n in names if n.startswith("transformer_blocks."))
    found = _placed(names, SD3_ENDS, {"transformer_blocks": ("joint_blocks", SD3_BLOCK)})
    for kind in ("weight", "bias"):  # the prompt's stream ends here: a norm of the last kind
        name = f"transformer_blocks.{last}.norm1_context.linear.{kind}"
        found[name] = Place(found[name].name, *SWAPPED)
    return found


def flux(names: Collection[str]) -> dict[str, Place]:
    """Places of a FluxTransformer2DModel.

    Args:
        names: Of its tensors.
    """
    blocks = {
        "transformer_blocks": ("double_blocks", FLUX_DOUBLE),
        "single_transformer_blocks": ("single_blocks", FLUX_SINGLE),
    }
    found = _placed(names, FLUX_ENDS, blocks)
    return {  # what others call the weight of a norm of queries and keys is its scale here
        name: Place(re.sub(r"(_norm)\.weight$", r"\1.scale", place.name), place.take, place.of)
        for name, place in found.items()
    }


def _placed(
    names: Collection[str],
    ends: Mapping[str, Row],
    blocks: Mapping[str, tuple[str, Mapping[str, Row]]],
) -> dict[str, Place]:
    found = {}
    for name in names:
        module, _, last = name.rpartition(".")
        head, _, rest = module.partition(".")
        if head in blocks:
            number, _, inner = rest.partition(".")
            stem, table = blocks[head]
            before, (inside, take, of) = f"{stem}.{number}.", table[inner]
        else:
            before, (inside, take, of) = "", ends[module]
        found[name] = Place(f"{before}{inside}.{last}".lstrip("."), take, of)
    return found
