"""Single files of published models, by names and shapes alone: kinds, configurations, sizes.

The networks are made on the meta device, so that no weights are needed.
"""

import json
from functools import cache

import pytest
import torch
from tests.networks.test_published_sizes import SD1, SD2, SD35, VAE, XL

from demist.formats import alone_of, config_of, kind_of, parts_of
from demist.interop.single import PLACES
from demist.interop.single.places import Place, below
from demist.interop.single.text import clip_names, t5_names
from demist.networks import published
from demist.networks.published.config import read

REFINER = {
    "block_out_channels": [384, 768, 1536, 1536],
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 2, "UpBlock2D"],
    "cross_attention_dim": 1280,
    "attention_head_dim": [6, 12, 24, 24],
    "transformer_layers_per_block": 4,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2560,
}
UPSCALER = {
    "in_channels": 7,
    "block_out_channels": [256, 512, 512, 1024],
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 3],
    "up_block_types": [*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"],
    "cross_attention_dim": 1024,
    "attention_head_dim": 8,
    "use_linear_projection": True,
    "num_class_embeds": 1000,
    "only_cross_attention": [True, True, True, False],
}
SD3 = {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536,
       "pos_embed_max_size": 192}  # fmt: skip
MEDIUM = {**SD3, "pos_embed_max_size": 384, "qk_norm": "rms_norm",
          "dual_attention_layers": list(range(13))}  # fmt: skip
FLUX = {"guidance_embeds": True}
PREFIXES = {"unet": "model.diffusion_model.", "sd3": "model.diffusion_model.", "flux": "",
            "autoencoder": "first_stage_model."}  # fmt: skip
NETS = {
    "1": ("UNet2DCondition", "unet", SD1, "Stable Diffusion 1.x", "StableDiffusionPipeline"),
    "vae": ("AutoencoderKL", "autoencoder", VAE, "", ""),
    "2": ("UNet2DCondition", "unet", SD2, "Stable Diffusion 2.x", "StableDiffusionPipeline"),
    "upscaler": ("UNet2DCondition", "unet", UPSCALER, "Stable Diffusion x4 upscaler",
                 "StableDiffusionUpscalePipeline"),
    "xl": ("UNet2DCondition", "unet", XL, "Stable Diffusion XL", "StableDiffusionXLPipeline"),
    "refiner": ("UNet2DCondition", "unet", REFINER, "Stable Diffusion XL refiner",
                "StableDiffusionXLImg2ImgPipeline"),
    "3": ("SD3Transformer", "sd3", SD3, "Stable Diffusion 3 medium", "StableDiffusion3Pipeline"),
    "3.5 large": ("SD3Transformer", "sd3", SD35, "Stable Diffusion 3.5 large",
                  "StableDiffusion3Pipeline"),
    "3.5 medium": ("SD3Transformer", "sd3", MEDIUM, "Stable Diffusion 3.5 medium",
                   "StableDiffusion3Pipeline"),
    "flux": ("FluxTransformer", "flux", FLUX, "FLUX.1 dev", "FluxPipeline"),
}  # fmt: skip


def in_file(places, shapes):
    """Shapes of a file's tensors from those of a network."""
    found = {}
    for name, place in places.items():
        shape = [*shapes[name], 1, 1] if place.pixels else list(shapes[name])
        shape = shape[::-1] if place.turned else shape
        shape[:1] = [n // len(place.take) * place.of for n in shape[:1]]
        assert found.setdefault(place.name, tuple(shape)) == tuple(shape)
    return found


@cache
def of_net(name):
    """A network's tensors in a file, and under diffusers' names."""
    kind, style, config, *_ = NETS[name]
    with torch.device("meta"):
        net = getattr(published, kind).from_json(config, "here")
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    return in_file(below(PREFIXES[style], PLACES[style](shapes)), shapes), shapes


def clip_shapes(layers, width, projection=None):
    """Shapes of a CLIP text encoder under the names of transformers."""
    ends = {"token_embedding.weight": (49408, width), "position_embedding.weight": (77, width),
            "text_projection.weight": (projection, width), "fc1.weight": (4 * width, width),
            "fc1.bias": (4 * width,), "fc2.weight": (width, 4 * width)}  # fmt: skip
    found = {}
    for name in clip_names(layers, projection is not None):
        known = [shape for end, shape in ends.items() if name.endswith(end)]
        row = (width,) if "norm" in name or name.endswith("bias") else (width, width)
        found[name] = known[0] if known else row
    return found


def of_clip(style, prefix, *sizes):
    shapes = clip_shapes(*sizes)
    return in_file(below(prefix, PLACES[style](shapes)), shapes)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETS if name != "vae"])
def test_kind_and_configuration_are_told_by_names_and_shapes(name):
    kind, style, config, title, pipeline = NETS[name]
    held, shapes = of_net(name)
    found, part = kind_of(held, parts_of(held))
    assert (found.title, found.pipeline, part.style) == (title, pipeline, style)
    derived = config_of(part, held)
    with torch.device("meta"):
        net = getattr(published, kind).from_json(derived, "here")
    state = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert in_file(below(PREFIXES[style], PLACES[style](state)), state) == held
    assert state == shapes
    wanted = vars(read(getattr(published, kind).config_class, config, "here"))
    same = {k: v for k, v in wanted.items() if k not in SPELLED}
    assert {k: v for k, v in net.config.items() if k in same} == same
    if "attention_head_dim" in wanted:
        heads = [wanted["attention_head_dim"], net.config["attention_head_dim"]]
        levels = len(net.config.get("block_out_channels", "x"))
        rows = [list(h) if isinstance(h, list | tuple) else [h] * levels for h in heads]
        assert rows[0] == rows[1]


SPELLED = ("attention_head_dim", "layers_per_block", "transformer_layers_per_block",
           "only_cross_attention", "sample_size", "out_channels")  # fmt: skip
"""Keys that may be one value for all levels or a list."""

CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"
INPUTS = {
    ("1", 9): ("Stable Diffusion 1.x, inpainting", "StableDiffusionInpaintPipeline"),
    ("1", 8): ("Stable Diffusion 1.x, edited by instructions",
               "StableDiffusionInstructPix2PixPipeline"),
    ("2", 9): ("Stable Diffusion 2.x, inpainting", "StableDiffusionInpaintPipeline"),
    ("2", 5): ("Stable Diffusion 2.x, with depth", ""),
    ("xl", 9): ("Stable Diffusion XL, inpainting", "StableDiffusionXLInpaintPipeline"),
    ("xl", 6): ("Stable Diffusion XL", ""),
}  # fmt: skip


@pytest.mark.parametrize(("name", "inputs"), INPUTS)
def test_what_a_network_takes_in_tells_what_it_is_for(name, inputs):
    held = dict(of_net(name)[0])
    held[CONV_IN] = (320, inputs, 3, 3)
    found, part = kind_of(held, parts_of(held))
    assert (found.title, found.pipeline) == INPUTS[name, inputs]
    assert config_of(part, held)["in_channels"] == inputs
    assert not (found.asks and inputs != 4)


def test_further_tensors_are_options():
    held = dict(of_net("1")[0])
    held["model.diffusion_model.time_embedding.cond_proj.weight"] = (320, 256)
    _, part = kind_of(held, parts_of(held))
    assert config_of(part, held)["time_cond_proj_dim"] == 256
    schnell = {k: v for k, v in of_net("flux")[0].items() if "guidance_in" not in k}
    found, part = kind_of(schnell, parts_of(schnell))
    assert (found.title, found.scheduler["shift"]) == ("FLUX.1 schnell", 1.0)
    assert config_of(part, schnell)["guidance_embeds"] is False
    schnell["single_stream_modulation.lin.weight"] = (3, 3)
    assert kind_of(schnell, parts_of(schnell))[0].pipeline == ""


SD_VAE = of_net("vae")[0]
BUFFERS = [
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2",
]  # fmt: skip


def bytes_of_file(entries, multiple=1):
    """Bytes of a safetensors file whose tensors are in the order of their names."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, (kind, shape) in sorted(entries.items()):
        size = {"I64": 8, "F32": 4, "I32": 4, "F16": 2}[kind] * torch.Size(shape).numel()
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    return 8 + -(-len(json.dumps(header, separators=(",", ":"))) // multiple) * multiple + end


def test_the_file_of_stable_diffusion_15_to_the_byte():
    text = of_clip("clip", "cond_stage_model.transformer.", 12, 768)
    net, _ = of_net("1")
    entries = {name: ("F32", shape) for name, shape in {**net, **SD_VAE, **text}.items()}
    position = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    entries |= {position: ("I64", (1, 77)), **dict.fromkeys(BUFFERS, ("F32", (1000,)))}
    entries |= {"model_ema.decay": ("F32", ()), "model_ema.num_updates": ("I32", ())}
    assert bytes_of_file(entries) == 4_265_146_304


def test_the_file_of_stable_diffusion_xl_but_for_a_picture_in_its_header():
    """Its metadata hold a licence and a small picture, which names and shapes do not tell."""
    net, _ = of_net("xl")
    first = of_clip("clip", "conditioner.embedders.0.transformer.", 12, 768)
    second = of_clip("openclip", "conditioner.embedders.1.model.", 32, 1280, 1280)
    entries = {k: ("F16", v) for k, v in {**net, **SD_VAE, **first, **second}.items()}
    position = "conditioner.embedders.0.transformer.text_model.embeddings.position_ids"
    entries[position] = ("I64", (1, 77))
    entries["conditioner.embedders.1.model.logit_scale"] = ("F16", ())
    assert len(entries) == 2515
    assert 30_000 < 6_938_078_334 - bytes_of_file(entries, 8) < 40_000


def test_text_encoders_are_told_by_their_shapes():
    large = of_clip("openclip", "cond_stage_model.model.", 24, 1024)
    (part,) = parts_of(large)
    config = config_of(part, large)
    assert (part.style, part.prefix) == ("openclip", "cond_stage_model.model.")
    assert config["num_hidden_layers"] == 24
    assert (config["num_attention_heads"], config["hidden_act"]) == (16, "gelu")
    small = clip_shapes(12, 768)
    (part,) = parts_of(small)
    config = config_of(part, small)
    assert (config["num_attention_heads"], config["hidden_act"]) == (12, "quick_gelu")
    assert (config["vocab_size"], config["intermediate_size"]) == (49408, 3072)
    xxl = dict.fromkeys(t5_names(24), (4096, 4096))
    xxl |= {name: (32, 64) for name in xxl if name.endswith("attention_bias.weight")}
    xxl |= {name: (10240, 4096) for name in xxl if ".wi_" in name}
    xxl["shared.weight"] = (32128, 4096)
    for shapes in (xxl, in_file(PLACES["llama"](xxl), xxl)):
        (part,) = parts_of(shapes)
        config = config_of(part, shapes)
        assert (config["num_heads"], config["d_kv"], config["d_ff"]) == (64, 64, 10240)
        assert (config["num_layers"], config["vocab_size"]) == (24, 32128)


ALONE = {
    "LoRA": {"lora_unet_down_blocks_0.lora_down.weight": (4, 320)},
    "LoHa": {"lora_unet_mid.hada_w1_a": (4, 320)},
    "autoencoder alone": {n.removeprefix("first_stage_model."): s for n, s in SD_VAE.items()},
    "CLIP text encoder alone": clip_shapes(2, 768),
    "textual inversion": {"emb_params": (3, 768)},
    "ControlNet": {"control_model.input_blocks.0.0.weight": (320, 4, 3, 3)},
    "U-Net under diffusers' names": {"down_blocks.0.resnets.0.norm1.weight": (320,)},
}


@pytest.mark.parametrize("title", ALONE)
def test_other_files_are_known(title):
    assert kind_of(ALONE[title], parts_of(ALONE[title])) is None
    assert alone_of(ALONE[title]).title == title
    assert alone_of({"something.weight": (3, 3, 3)}) is None


def test_what_goes_where_in_the_files_of_transformers():
    """Shares of fused matrices, and the last norms, whose shift and scale change places."""
    first, last = (f"model.diffusion_model.joint_blocks.{i}.context_block." for i in (0, 23))
    names = of_net("3")[1]
    places = below(PREFIXES["sd3"], PLACES["sd3"](names))
    block = "transformer_blocks.{}.norm1_context.linear.bias"
    assert places[block.format(0)] == Place(f"{first}adaLN_modulation.1.bias")
    assert places[block.format(23)] == Place(f"{last}adaLN_modulation.1.bias", (1, 0), 2)
    key = "transformer_blocks.23.attn.add_k_proj.weight"
    assert places[key] == Place(f"{last}attn.qkv.weight", (1,), 3)
    final = "model.diffusion_model.final_layer.adaLN_modulation.1.weight"
    assert places["norm_out.linear.weight"] == Place(final, (1, 0), 2)
    places = PLACES["flux"](of_net("flux")[1])
    single = "single_transformer_blocks.37."
    assert places[f"{single}attn.to_v.bias"] == Place("single_blocks.37.linear1.bias", (2,), 7)
    assert places[f"{single}proj_mlp.weight"].take == (3, 4, 5, 6)
    norm = places["transformer_blocks.0.attn.norm_added_k.weight"]
    assert norm == Place("double_blocks.0.txt_attn.norm.key_norm.scale")
    assert places["norm_out.linear.bias"] == Place("final_layer.adaLN_modulation.1.bias", (1, 0), 2)
    part = of_net("xl")[1]
    places = PLACES["unet"](part)
    for name, file in {
        "down_blocks.1.downsamplers.0.conv.bias": "input_blocks.6.0.op.bias",
        "up_blocks.0.upsamplers.0.conv.bias": "output_blocks.2.2.conv.bias",
        "up_blocks.2.resnets.2.time_emb_proj.bias": "output_blocks.8.0.emb_layers.1.bias",
        "mid_block.resnets.1.conv2.weight": "middle_block.2.out_layers.3.weight",
        "add_embedding.linear_2.weight": "label_emb.0.2.weight",
    }.items():
        assert places[name] == Place(file)
