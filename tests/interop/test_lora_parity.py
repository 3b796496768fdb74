"""LoRA: what is merged here is what diffusers fuses, and what is written here it reads.

Needs diffusers, transformers and peft, on which the project does not depend.
"""

import pytest
import torch
from safetensors.torch import save_file

from demist import Pipeline
from demist.interop.adapters import LowRank, aliases_of, write_lora

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

from .test_interop_parity import PATH, SD, VAE, XL, drawn, encoder, tokenizer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def theirs(tmp_path):
    torch.manual_seed(0)
    made = diffusers.StableDiffusionPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        tokenizer(tmp_path / "t"), drawn(diffusers.UNet2DConditionModel(**SD)),
        diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1), None,
        None, requires_safety_checker=False,
    )  # fmt: skip
    made.save_pretrained(tmp_path / "m")
    return made


def layers(theirs, convolutions=True):
    """A change of every attention, and of some convolutions, in both networks."""
    made = {}
    for component, ends in (
        ("unet", ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.0.proj")),
        ("text_encoder", ("q_proj", "v_proj", "out_proj")),
    ):
        for name, layer in getattr(theirs, component).named_modules():
            taken = name.endswith(ends) or (convolutions and name.endswith(("conv1", "conv_in")))
            if taken and hasattr(layer, "weight"):
                out, inputs, *kernel = layer.weight.shape
                ones = [1] * len(kernel)
                down, up = torch.randn(2, inputs, *kernel), torch.randn(out, 2, *ones)
                made[f"{component}.{name}"] = LowRank(0.1 * down, 0.1 * up, None, 1.0)
    return made


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_merged_is_fused(tmp_path, theirs, form):
    made = layers(theirs, convolutions=form == "diffusers")
    assert len(made) > 20
    write_lora(tmp_path / "x.safetensors", made, form)
    before = Pipeline.load(tmp_path / "m")
    after = before.with_lora(tmp_path / "x.safetensors", 0.7)
    theirs.load_lora_weights(str(tmp_path), weight_name="x.safetensors")
    theirs.fuse_lora(lora_scale=0.7)
    theirs.unload_lora_weights()
    for name, new in after.components().items():
        if name == "vae":
            continue
        fused = getattr(theirs, name).state_dict()
        old = before.components()[name].state_dict()
        moved = 0
        for key, value in new.state_dict().items():
            torch.testing.assert_close(value, fused[key], atol=1e-6, rtol=0)
            moved += not torch.equal(value, old[key])
        assert moved == sum(key.startswith(f"{name}.") for key in made)


def test_peft_reads_its_folder(tmp_path, theirs):
    made = {k: v for k, v in layers(theirs).items() if k.startswith("unet.")}
    write_lora(tmp_path / "x", made, "peft")
    wrapped = peft.PeftModel.from_pretrained(theirs.unet, str(tmp_path / "x"))
    fused = wrapped.merge_and_unload().state_dict()
    after = Pipeline.load(tmp_path / "m").with_lora(tmp_path / "x")
    for key, value in after.denoiser.net.state_dict().items():
        torch.testing.assert_close(value, fused[key], atol=1e-6, rtol=0)


def test_what_diffusers_saves_is_read(tmp_path, theirs):
    config = peft.LoraConfig(
        r=3, lora_alpha=5, target_modules=["to_q", "to_k", "conv1"], init_lora_weights="gaussian",
        alpha_pattern={"mid_block.attentions.0.transformer_blocks.0.attn1.to_q": 2},
    )  # fmt: skip
    theirs.unet.add_adapter(config)
    for name, parameter in theirs.unet.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1)
    found = peft.get_peft_model_state_dict(theirs.unet)
    diffusers.StableDiffusionPipeline.save_lora_weights(
        tmp_path / "x", found,
        unet_lora_adapter_metadata={**theirs.unet.peft_config["default"].to_dict(),
                                    "target_modules": ["to_q", "to_k", "conv1"]},
    )  # fmt: skip
    after = Pipeline.load(tmp_path / "m").with_lora(tmp_path / "x")
    theirs.unet.fuse_lora()
    fused = {
        k.replace(".base_layer", ""): v
        for k, v in theirs.unet.state_dict().items()
        if ".lora_" not in k
    }
    for key, value in after.denoiser.net.state_dict().items():
        torch.testing.assert_close(value, fused[key], atol=1e-6, rtol=0)


def test_kohyas_names_of_sdxl(tmp_path):
    """Every attention and feed-forward layer under the names of single files."""
    torch.manual_seed(0)
    tokens = tokenizer(tmp_path / "t")
    options = {
        **XL, "block_out_channels": (8, 16, 16), "layers_per_block": 2,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 3), "attention_head_dim": (2, 4, 4),
    }  # fmt: skip
    theirs = diffusers.StableDiffusionXLPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        encoder(transformers.CLIPTextModelWithProjection, 16, 10), tokens, tokens,
        drawn(diffusers.UNet2DConditionModel(**options)), diffusers.DDIMScheduler(**PATH),
        add_watermarker=False,
    )  # fmt: skip
    theirs.save_pretrained(tmp_path / "m")
    before = Pipeline.load(tmp_path / "m")
    net, tensors = before.denoiser.net, {}
    for said, (target,) in aliases_of(net).items():
        out, *inputs = net.get_parameter(target.weights).shape
        if "transformer_blocks" in said and inputs:
            tensors[f"lora_unet_{said}.lora_down.weight"] = 0.1 * torch.randn(2, *inputs)
            tensors[f"lora_unet_{said}.lora_up.weight"] = torch.randn(out, 2)
            tensors[f"lora_unet_{said}.alpha"] = torch.tensor(1.0)
    save_file(tensors, tmp_path / "x.safetensors")
    after = before.with_lora(tmp_path / "x.safetensors", 0.7)
    theirs.load_lora_weights(str(tmp_path), weight_name="x.safetensors")
    theirs.fuse_lora(lora_scale=0.7)
    theirs.unload_lora_weights()
    fused, old, moved = theirs.unet.state_dict(), net.state_dict(), 0
    for key, value in after.denoiser.net.state_dict().items():
        torch.testing.assert_close(value, fused[key], atol=1e-6, rtol=0)
        moved += not torch.equal(value, old[key])
    assert moved == len(tensors) / 3 > 200
