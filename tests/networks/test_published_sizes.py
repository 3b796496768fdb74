"""Published files are predicted to the byte: names, shapes and types of every tensor are right."""

import json

import pytest
import torch

from demist.networks import published

SD1 = {"cross_attention_dim": 768, "layers_per_block": 2}
SD2 = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
XL = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SD35 = {
    "num_layers": 38,
    "num_attention_heads": 38,
    "caption_projection_dim": 2432,
    "pos_embed_max_size": 192,
    "qk_norm": "rms_norm",
}
FILES = {
    "sd 1.5": ("UNet2DCondition", SD1, "F32", 8, 3_438_167_536),
    "sd 2.1": ("UNet2DCondition", SD2, "F32", 1, 3_463_726_498),
    "sd 2 inpainting": ("UNet2DCondition", {**SD2, "in_channels": 9}, "F32", 1, 3_463_784_116),
    "sdxl": ("UNet2DCondition", XL, "F32", 8, 10_270_077_736),
    "sdxl in halves": ("UNet2DCondition", XL, "F16", 8, 5_135_149_760),
    "vae": ("AutoencoderKL", VAE, "F32", 8, 334_643_268),
    "control of sd 1.5": ("ControlNet", SD1, "F32", 8, 1_445_157_120),
}
"""Network, configuration, type, what the header's length was padded to, bytes of the file."""


def size_of(net, dtype, multiple):
    """Bytes of a safetensors file with the network's tensors."""
    width = {"F32": 4, "F16": 2, "BF16": 2}[dtype]
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, value in sorted(net.state_dict().items()):
        begin, end = end, end + width * value.numel()
        shape = list(value.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    length = len(json.dumps(header, separators=(",", ":")))
    return 8 + -(-length // multiple) * multiple + end


@pytest.mark.parametrize(("kind", "config", "dtype", "multiple", "size"), FILES.values(), ids=FILES)
def test_published_files_are_as_large_as_predicted(kind, config, dtype, multiple, size):
    with torch.device("meta"):
        net = getattr(published, kind).from_json(config, "here")
    assert size_of(net, dtype, multiple) == size


def test_sd_35_large():
    with torch.device("meta"):
        tensors = published.SD3Transformer.from_json(SD35, "here").state_dict()
    assert len(tensors) == 1227
    assert 2 * sum(value.numel() for value in tensors.values()) == 16_292_561_536


@pytest.mark.parametrize(
    ("kind", "config", "count"),
    [
        ("FluxTransformer", {"guidance_embeds": True}, 23_802_816_640 // 2),  # FLUX.1-dev
        ("FluxTransformer", {}, 23_782_357_120 // 2),  # FLUX.1-schnell
        ("PixArtTransformer", {"caption_channels": 4096, "sample_size": 64}, 610_856_096),
    ],
    ids=["flux dev", "flux schnell", "pixart sigma"],
)
def test_published_numbers_of_parameters(kind, config, count):
    """Flux by the bytes that the indices of its shards tell; PixArt by the numbers of its page."""
    with torch.device("meta"):
        tensors = getattr(published, kind).from_json(config, "here").state_dict()
    assert sum(value.numel() for value in tensors.values()) == count
