"""Names of text encoders: those of `transformers` -> OpenCLIP's, or llama.cpp's (T5 in GGUF)."""

from collections.abc import Collection, Mapping

from demist.interop.single.places import Place

OPENCLIP_ENDS = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
}
OPENCLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
FUSED = {"self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2}
T5_LAYER = {
    "layer.0.SelfAttention.q": "attn_q",
    "layer.0.SelfAttention.k": "attn_k",
    "layer.0.SelfAttention.v": "attn_v",
    "layer.0.SelfAttention.o": "attn_o",
    "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
    "layer.0.layer_norm": "attn_norm",
    "layer.1.DenseReluDense.wi_0": "ffn_gate",
    "layer.1.DenseReluDense.wi_1": "ffn_up",
    "layer.1.DenseReluDense.wo": "ffn_down",
    "layer.1.layer_norm": "ffn_norm",
}
T5_ENDS = {
    "shared.weight": "token_embd.weight",
    "encoder.final_layer_norm.weight": "enc.output_norm.weight",
}


def plain(names: Collection[str]) -> dict[str, Place]:
    """Places of what has the same names."""
    return {name: Place(name) for name in names}


def openclip(names: Collection[str]) -> dict[str, Place]:
    """Places of a CLIPTextModel, with or without its projection.

    Args:
        names: Of its tensors.
    """
    found = {}
    for name in names:
        module, _, kind = name.rpartition(".")
        if name == "text_projection.weight":
            found[name] = Place("text_projection", turned=True)
        elif name in OPENCLIP_ENDS:
            found[name] = Place(OPENCLIP_ENDS[name])
        else:
            number, _, inner = module.removeprefix("text_model.encoder.layers.").partition(".")
            block = f"transformer.resblocks.{number}"
            if inner in FUSED:
                found[name] = Place(f"{block}.attn.in_proj_{kind}", (FUSED[inner],), 3)
            else:
                found[name] = Place(f"{block}.{OPENCLIP_LAYER[inner]}.{kind}")
    return found


def llama(names: Collection[str]) -> dict[str, Place]:
    """Places of a T5EncoderModel in a GGUF file.

    Args:
        names: Of its tensors.
    """
    found = {}
    for name in names:
        number, _, inner = name.removeprefix("encoder.block.").rpartition(".")[0].partition(".")
        found[name] = Place(
            T5_ENDS[name] if name in T5_ENDS else f"enc.blk.{number}.{T5_LAYER[inner]}.weight"
        )
    return found


def clip_names(layers: int, projected: bool) -> list[str]:
    """Names of the tensors of a CLIPTextModel of so many layers."""
    blocks = [f"text_model.encoder.layers.{i}" for i in range(layers)]
    inner = (*OPENCLIP_LAYER, *FUSED)
    found = list(OPENCLIP_ENDS)
    found += [f"{b}.{module}.{kind}" for b in blocks for module in inner for kind in KINDS]
    return found + ["text_projection.weight"] * projected


def t5_names(layers: int) -> list[str]:
    """Names of the tensors of a T5EncoderModel of so many layers."""
    found = list(T5_ENDS)
    for i in range(layers):
        inner = [m for m in T5_LAYER if i == 0 or not m.endswith("relative_attention_bias")]
        found += [f"encoder.block.{i}.{module}.weight" for module in inner]
    return found


KINDS = ("weight", "bias")
STYLES: Mapping[str, str] = {"clip": "clip", "openclip": "clip", "t5": "t5", "llama": "t5"}
"""How the names of an encoder are written -> what it is."""
