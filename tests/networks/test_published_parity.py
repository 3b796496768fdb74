"""Published networks compute what diffusers' compute from the same weights.

Needs diffusers, which the project does not depend on: `pip install diffusers` to run it.
"""

import pytest
import torch

from demist.networks import published

diffusers = pytest.importorskip("diffusers")

SMALL = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
DDPM = {
    **SMALL,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 4,
}
SD = {
    **SMALL,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}
XL = {
    **SD,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2),
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 10 + 6 * 8,
    "upcast_attention": True,
}
VAE = {
    **SMALL,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}
SD3 = {
    "sample_size": 16, "in_channels": 4, "out_channels": 4, "num_layers": 3,
    "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 12,
    "caption_projection_dim": 16, "pooled_projection_dim": 10, "pos_embed_max_size": 12,
}  # fmt: skip
TEXT = {"states": (2, 5, 12)}
CASES = {
    "ddpm": ("UNet2D", "UNet2DModel", DDPM, {}),
    "ddpm google": (
        "UNet2D", "UNet2DModel",
        {**DDPM, "attention_head_dim": None, "downsample_padding": 0, "flip_sin_to_cos": False,
         "freq_shift": 1, "norm_eps": 1e-6}, {},
    ),
    "classes": ("UNet2D", "UNet2DModel", {**DDPM, "num_class_embeds": 7}, {"label": 7}),
    "adm": (
        "UNet2D", "UNet2DModel",
        {**DDPM, "downsample_type": "resnet", "upsample_type": "resnet",
         "resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 4}, {},
    ),
    "fourier": ("UNet2D", "UNet2DModel", {**DDPM, "time_embedding_type": "fourier"}, {}),
    "a middle with a scale": ("UNet2D", "UNet2DModel", {**DDPM, "mid_block_scale_factor": 1.5}, {}),
    "a middle without a norm": (
        "UNet2D", "UNet2DModel", {**DDPM, "resnet_time_scale_shift": "scale_shift"}, {},
    ),
    "class as it is": (
        "UNet2D", "UNet2DModel", {**DDPM, "class_embed_type": "identity"}, {"label": (2, 32)},
    ),
    "no mid attention": ("UNet2D", "UNet2DModel", {**DDPM, "add_attention": False}, {}),
    "sd": ("UNet2DCondition", "UNet2DConditionModel", SD, TEXT),
    "sd 2": (
        "UNet2DCondition", "UNet2DConditionModel",
        {**SD, "use_linear_projection": True, "attention_head_dim": (2, 4)}, TEXT,
    ),
    "lcm": (
        "UNet2DCondition", "UNet2DConditionModel", {**SD, "time_cond_proj_dim": 6},
        {**TEXT, "scale": (2,)},
    ),
    "inpainting": (
        "UNet2DCondition", "UNet2DConditionModel", {**SD, "in_channels": 9},
        {**TEXT, "beside": (2, 5, 16, 16)},
    ),
    "upscaler": (
        "UNet2DCondition", "UNet2DConditionModel",
        {**SD, "num_class_embeds": 9, "in_channels": 7, "only_cross_attention": (True, False)},
        {**TEXT, "beside": (2, 3, 16, 16), "label": 9},
    ),
    "xl": (
        "UNet2DCondition", "UNet2DConditionModel", XL,
        {**TEXT, "pooled": (2, 10), "sizes": (2, 6)},
    ),
    "projected class": (
        "UNet2DCondition", "UNet2DConditionModel",
        {**SD, "class_embed_type": "projection", "projection_class_embeddings_input_dim": 5},
        {**TEXT, "label": (2, 5)},
    ),
    "activations after the time and the class": (
        "UNet2DCondition", "UNet2DConditionModel",
        {**SD, "timestep_post_act": "silu", "time_embedding_act_fn": "mish", "num_class_embeds": 7},
        {**TEXT, "label": 7},
    ),
    "wider states": (
        "UNet2DCondition", "UNet2DConditionModel",
        {**SD, "encoder_hid_dim": 12, "cross_attention_dim": 6,
         "mid_block_only_cross_attention": True}, TEXT,
    ),
    "depth of each block": (
        "UNet2DCondition", "UNet2DConditionModel",
        {**SD, "down_block_types": ("CrossAttnDownBlock2D",) * 2, "layers_per_block": (2, 1),
         "up_block_types": ("CrossAttnUpBlock2D",) * 2,
         "transformer_layers_per_block": ((0, 2), 1),
         "reverse_transformer_layers_per_block": (1, (2, 1, 0))}, TEXT,
    ),
    "adapter": (
        "UNet2DCondition", "UNet2DConditionModel", SD,
        {**TEXT, "inside": [(2, 8, 16, 16), (2, 16, 8, 8)]},
    ),
    "control": (
        "UNet2DCondition", "UNet2DConditionModel", SD,
        {**TEXT, "down": [(2, 8, 16, 16), (2, 8, 16, 16), (2, 8, 8, 8), (2, 16, 8, 8)],
         "mid": (2, 16, 8, 8)},
    ),
    "dit": (
        "DiT2D", "DiTTransformer2DModel",
        {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "sample_size": 16,
         "num_embeds_ada_norm": 5, "out_channels": 8}, {"label": 6},
    ),
    "sd3": ("SD3Transformer", "SD3Transformer2DModel", SD3, {**TEXT, "pooled": (2, 10)}),
    "sd3.5 medium": (
        "SD3Transformer", "SD3Transformer2DModel",
        {**SD3, "dual_attention_layers": (0,), "qk_norm": "rms_norm"}, {**TEXT, "pooled": (2, 10)},
    ),
    "kl": ("AutoencoderKL", "AutoencoderKL", VAE, {}),
    "kl of other activations": ("AutoencoderKL", "AutoencoderKL", {**VAE, "act_fn": "relu"}, {}),
    "kl without quantization": (
        "AutoencoderKL", "AutoencoderKL",
        {**VAE, "use_quant_conv": False, "use_post_quant_conv": False, "latent_channels": 16}, {},
    ),
    "vq": ("VQModel", "VQModel", {**VAE, "num_vq_embeddings": 9, "vq_embed_dim": 2}, {}),
    "tiny": (
        "AutoencoderTiny", "AutoencoderTiny",
        {"encoder_block_out_channels": (6, 6), "decoder_block_out_channels": (6, 6),
         "num_encoder_blocks": (1, 2), "num_decoder_blocks": (2, 1)}, {},
    ),
}  # fmt: skip
NAMES = {"states": "encoder_hidden_states", "label": "class_labels", "scale": "timestep_cond",
         "down": "down_block_additional_residuals", "mid": "mid_block_additional_residual",
         "inside": "down_intrablock_additional_residuals"}  # fmt: skip


def drawn(shape):
    if isinstance(shape, list):
        return [drawn(s) for s in shape]
    return torch.randint(0, shape, (2,)) if isinstance(shape, int) else torch.randn(shape)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("ours", "theirs", "options", "inputs"), CASES.values(), ids=CASES)
def test_same_weights_same_function(ours, theirs, options, inputs):
    cls = getattr(published, ours)
    other = getattr(diffusers, theirs)(**options).eval()
    net = cls.from_json(dict(other.config), "here").eval()
    mine, their = net.state_dict(), other.state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in their.items()}
    weights = {k: 0.2 * torch.randn_like(v) + ("norm" in k) for k, v in their.items()}
    net.load_state_dict(weights)
    other.load_state_dict(weights)
    if "Auto" in ours or ours == "VQModel":
        x = torch.rand(2, 3, 16, 16) * 2 - 1
        with torch.no_grad():
            found = other.encode(x)
            expected = found.latent_dist.mean if ours == "AutoencoderKL" else found.latents
            torch.testing.assert_close(net.encode(x)[0], expected, atol=1e-5, rtol=1e-5)
            z = torch.randn_like(expected)
            torch.testing.assert_close(net.decode(z), other.decode(z).sample, atol=1e-5, rtol=1e-5)
        return
    channels = net.config["in_channels"] - (inputs["beside"][1] if "beside" in inputs else 0)
    x, t = torch.randn(2, channels, 16, 16), torch.tensor([3.0, 700.0])
    cond = {name: drawn(shape) for name, shape in inputs.items()}
    given = {NAMES[k]: v for k, v in cond.items() if k in NAMES}
    if "scale" in cond:  # the pipeline makes features of it, here the network
        features = diffusers.StableDiffusionPipeline.get_guidance_scale_embedding
        given[NAMES["scale"]] = features(None, cond["scale"] - 1, options["time_cond_proj_dim"])
    if "inside" in cond:
        given[NAMES["inside"]] = [v.clone() for v in cond["inside"]]
    if ours == "SD3Transformer":
        given["pooled_projections"] = cond["pooled"]
    if "sizes" in cond:
        given["added_cond_kwargs"] = {"text_embeds": cond["pooled"], "time_ids": cond["sizes"]}
    whole = torch.cat([x, cond["beside"]], 1) if "beside" in cond else x
    with torch.no_grad():
        expected = other(whole, timestep=t, **given).sample
        torch.testing.assert_close(net(x, t, **cond), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sides", [(5, 7), (9, 16)])
def test_sides_that_cannot_be_halved(sides):
    other = diffusers.UNet2DConditionModel(**SD).eval()
    net = published.UNet2DCondition.from_json(dict(other.config), "here").eval()
    net.load_state_dict(other.state_dict())
    x, t, states = torch.randn(2, 4, *sides), torch.tensor([3.0, 700.0]), torch.randn(2, 5, 12)
    with torch.no_grad():
        expected = other(x, t, states).sample
        torch.testing.assert_close(net(x, t, states=states), expected, atol=1e-5, rtol=1e-5)
    assert net.multiple == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pools", [False, True])
@pytest.mark.parametrize("config", [SD, XL], ids=["sd", "xl"])
def test_control(config, pools):
    shared = {k: v for k, v in config.items() if k != "up_block_types"}
    shared["global_pool_conditions"] = pools
    options = {**shared, "conditioning_embedding_out_channels": (4, 6)}
    other = diffusers.ControlNetModel(**options).eval()
    net = published.ControlNet.from_json(dict(other.config), "here").eval()
    weights = {k: 0.2 * torch.randn_like(v) + ("norm" in k) for k, v in other.state_dict().items()}
    net.load_state_dict(weights)
    other.load_state_dict(weights)
    x, t, hint = torch.randn(2, 4, 16, 16), torch.tensor([3.0, 700.0]), torch.rand(2, 3, 32, 32)
    cond = {"states": torch.randn(2, 5, 12)}
    given = {}
    if config is XL:
        cond |= {"pooled": torch.randn(2, 10), "sizes": torch.rand(2, 6) * 99}
        given["added_cond_kwargs"] = {"text_embeds": cond["pooled"], "time_ids": cond["sizes"]}
    with torch.no_grad():
        down, mid = net.control(x, t, hint, strength=0.7, **cond)
        expected = other(x, t, cond["states"], hint, 0.7, **given)
    torch.testing.assert_close(down, list(expected.down_block_res_samples), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mid, expected.mid_block_res_sample, atol=1e-5, rtol=1e-5)
