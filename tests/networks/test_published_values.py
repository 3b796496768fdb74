"""Published networks give the numbers that they gave when they were equal to diffusers'.

`test_published_parity.py` compares the two where diffusers is installed; here are numbers of that
day, for weights and inputs that a formula gives.
"""

import pytest
import torch

from demist.networks import published

SMALL = {"block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1}
SD = {
    **SMALL,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 10 + 6 * 8,
}
DDPM = {
    **SMALL,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 4,
}
SD3 = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "num_layers": 2,
    "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 12,
    "caption_projection_dim": 16, "pooled_projection_dim": 10, "pos_embed_max_size": 6,
    "dual_attention_layers": [0], "qk_norm": "rms_norm",
}  # fmt: skip
DIT = {
    "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "sample_size": 8,
    "num_embeds_ada_norm": 5, "out_channels": 8,
}  # fmt: skip
FLUX = {
    "in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 12,
    "num_attention_heads": 2, "joint_attention_dim": 12, "pooled_projection_dim": 10,
    "axes_dims_rope": [2, 4, 6], "guidance_embeds": True,
}  # fmt: skip
PIXART = {
    "num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "sample_size": 8,
    "cross_attention_dim": 24, "caption_channels": 12, "use_additional_conditions": True,
}  # fmt: skip
RARE_SD = {
    **{k: v for k, v in SD.items() if "addition" not in k and "projection" not in k},
    "timestep_post_act": "silu", "time_embedding_act_fn": "mish", "num_class_embeds": 7,
    "encoder_hid_dim": 12, "cross_attention_dim": 6, "layers_per_block": [2, 1],
    "transformer_layers_per_block": [[0, 2], 1],
    "reverse_transformer_layers_per_block": [1, [2, 1, 0]], "mid_block_only_cross_attention": True,
}  # fmt: skip
RARE_DDPM = {
    **DDPM, "mid_block_scale_factor": 1.5, "resnet_time_scale_shift": "scale_shift",
    "class_embed_type": "timestep",
}  # fmt: skip
CASES = {
    "UNet2D": (DDPM, (), [-0.34799, 1.86262, 1.83909, -1.8149]),
    "UNet2DCondition": (SD, ("states", "pooled", "sizes"), [0.05472, 0.64701, 0.43643, 0.27879]),
    "SD3Transformer": (SD3, ("states", "pooled"), [0.1, 1.67433, 2.44598, -1.41842]),
    "DiT2D": (DIT, ("label",), [0.57915, 200.53268, -257.77692, 112.5571]),
    "FluxTransformer": (
        FLUX,
        ("states", "pooled", "guidance"),
        [-0.03453, 2.94024, 2.16641, 3.9486],
    ),
    "PixArtTransformer": (
        PIXART,
        ("states", "mask", "sides"),
        [0.00223, 1.06756, -0.55603, 1.97052],
    ),
}


RARE = {
    "UNet2D": (RARE_DDPM, ("label",), [0.05433, 0.69585, -0.08014, 0.10461]),
    "UNet2DCondition": (RARE_SD, ("states", "label"), [0.01674, 0.9892, 0.98868, -0.33263]),
}


def waves(*shape, rate=0.7):
    return torch.cos(torch.arange(torch.Size(shape).numel()) * rate).reshape(shape)


INPUTS = {
    "states": waves(2, 5, 12),
    "pooled": waves(2, 10, rate=0.3),
    "sizes": 50 + 40 * waves(2, 6, rate=0.9),
    "label": torch.tensor([1, 5]),
    "guidance": torch.tensor([3.5, 1.0]),
    "sides": 50 + 40 * waves(2, 6, rate=0.9)[:, :2],
    "mask": torch.tensor([[1.0, 1, 1, 0, 0], [1, 0, 0, 0, 0]]),
}


@pytest.mark.parametrize(
    ("kind", "case"), [*CASES.items(), *RARE.items()], ids=[*CASES, *(f"{k}, rare" for k in RARE)]
)
def test_the_numbers_of_that_day(kind, case):
    config, names, recorded = case
    net = getattr(published, kind).from_json(config, "here").eval()
    net.load_state_dict({
        name: 0.2 * waves(*value.shape, rate=0.5 + 0.01 * i) + ("norm" in name)
        for i, (name, value) in enumerate(net.state_dict().items())
    })  # fmt: skip
    net.routes = {"sides": "sizes"}
    with torch.no_grad():
        y = net(waves(2, 4, 8, 8), torch.tensor([3.0, 700.0]), **{n: INPUTS[n] for n in names})
    found = [y.mean(), y.std(), y[0, 1, 2, 3], y[1, 3, 7, 0]]
    torch.testing.assert_close(torch.stack(found), torch.tensor(recorded), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("kind", CASES)
def test_in_bf16(kind):
    """Weights in bf16: so is the prediction, and it is that of the same weights in fp32."""
    config, names, _ = CASES[kind]
    net = getattr(published, kind).from_json(config, "here").eval()
    net.routes = {"sides": "sizes"}
    for parameter in net.parameters():
        parameter.data = parameter.data.bfloat16().float()
    x, t, cond = (
        waves(2, 4, 8, 8).bfloat16(),
        torch.tensor([3.0, 700.0]),
        {n: INPUTS[n] for n in names},
    )
    with torch.no_grad():
        exact = net(x.float(), t, **cond)
        found = net.bfloat16()(x, t, **cond)
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).std() < 0.03 * exact.std() + 1e-6
