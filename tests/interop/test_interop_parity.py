"""Folders that diffusers saves are sampled to the same latents: same start, prompts and guidance.

Needs diffusers and transformers, on which the project does not depend.
"""

import json
import os

import numpy as np
import pytest
import torch

from demist import Pipeline

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
VAE = {
    **SMALL,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}
PLAIN = {
    **SMALL,
    "sample_size": 16,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 4,
}
SD = {
    **SMALL,
    "sample_size": 16,
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
    "cross_attention_dim": 12 + 16,
}
PATH = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
PROMPTS = ["a cat", "dog"]


def drawn(net):
    """The network with weights that do something."""
    for parameter in net.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.1)
    return net.eval()


def tokenizer(folder):
    letters = [chr(c) for c in range(97, 123)]
    words = [*letters, *(f"{c}</w>" for c in letters), "ca", "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\n")
    paths = (str(folder / "vocab.json"), str(folder / "merges.txt"))
    return transformers.CLIPTokenizer(*paths, model_max_length=77)


def encoder(cls, width, projection=12):
    config = transformers.CLIPTextConfig(
        vocab_size=55, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3,
        num_attention_heads=2, projection_dim=projection, bos_token_id=53, eos_token_id=54,
        pad_token_id=54,
    )  # fmt: skip
    return cls(config).eval()


def times(scheduler, end):
    return [(t.item() + 1) / 1000 for t in scheduler.timesteps] + [end]


def last(plan):
    return list(plan.states())[-1].x


def require_equal(ours, theirs):
    """Check latents; `benchmarks/pretrained.py` has the differences written down."""
    difference = float((ours - theirs).abs().max() / theirs.std())
    if log := os.environ.get("DEMIST_PARITY_LOG"):
        with open(log, "a") as file:
            file.write(f"{os.environ['PYTEST_CURRENT_TEST'].split()[0]} {difference:.3g}\n")
    assert difference < 1e-5
    assert theirs.std() > 0.1


def test_ddim(tmp_path):
    torch.manual_seed(0)
    net = drawn(diffusers.UNet2DModel(**PLAIN))
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    diffusers.DDIMPipeline(net, scheduler).save_pretrained(tmp_path / "m")
    x = torch.randn(2, 3, 16, 16)
    scheduler.set_timesteps(5)
    state = x.clone()
    with torch.no_grad():
        for t in scheduler.timesteps:
            state = scheduler.step(net(state, t).sample, t, state).prev_sample
    pipeline = Pipeline.load(tmp_path / "m")
    plan = pipeline.plan(2, solver="ddim", grid=times(scheduler, 0.0), init=x)
    require_equal(last(plan), state)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_stable_diffusion(tmp_path, prediction):
    torch.manual_seed(0)
    scheduler = diffusers.DDIMScheduler(
        **PATH, clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        prediction_type=prediction,
    )  # fmt: skip
    theirs = diffusers.StableDiffusionPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        tokenizer(tmp_path / "t"), drawn(diffusers.UNet2DConditionModel(**SD)), scheduler, None,
        None, requires_safety_checker=False,
    )  # fmt: skip
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(tmp_path / "m")
    x = torch.randn(2, 4, 16, 16)
    asked = {"num_inference_steps": 5, "guidance_scale": 5.0}
    latents = theirs(PROMPTS, latents=x.clone(), output_type="latent", **asked).images
    images = theirs(PROMPTS, latents=x.clone(), output_type="np", **asked).images
    pipeline = Pipeline.load(tmp_path / "m")
    assert pipeline.shape == (3, 32, 32)
    grid = times(theirs.scheduler, 1 / 1000)
    plan = pipeline.plan(2, solver="ddim", grid=grid, init=x, guidance=5.0, text=PROMPTS)
    require_equal(last(plan), latents)
    assert np.abs(plan.sample() / 255 - images.transpose(0, 3, 1, 2)).max() <= 0.51 / 255


def test_long_prompts_are_chunks_side_by_side(tmp_path):
    """The same as diffusers given the embeddings of each chunk; the negative's second is empty."""
    torch.manual_seed(0)
    theirs = diffusers.StableDiffusionPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        tokenizer(tmp_path / "t"), drawn(diffusers.UNet2DConditionModel(**SD)),
        diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1), None,
        None, requires_safety_checker=False,
    )  # fmt: skip
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(tmp_path / "m")

    def read(*chunks):
        rows = [
            theirs.tokenizer(c, padding="max_length", max_length=77, return_tensors="pt").input_ids
            for c in chunks
        ]
        return torch.cat([theirs.text_encoder(row)[0] for row in rows], dim=1)

    first, second = " ".join("abcdefghijklmno" * 5), " ".join("klm" * 8)
    x = torch.randn(1, 4, 16, 16)
    with torch.no_grad():
        latents = theirs(
            prompt_embeds=read(first, second), negative_prompt_embeds=read("z", ""),
            latents=x.clone(), output_type="latent", num_inference_steps=3, guidance_scale=5.0,
        ).images  # fmt: skip
    grid = times(theirs.scheduler, 0.0)
    plan = Pipeline.load(tmp_path / "m").plan(
        1, solver="ddim", grid=grid, init=x, guidance=5.0, text=f"{first} {second}",
        negative={"text": "z"},
    )  # fmt: skip
    require_equal(last(plan), latents)


@pytest.mark.parametrize("zeros", [True, False])
def test_xl(tmp_path, zeros):
    torch.manual_seed(0)
    tokens = tokenizer(tmp_path / "t")
    theirs = diffusers.StableDiffusionXLPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        encoder(transformers.CLIPTextModelWithProjection, 16, 10), tokens, tokens,
        drawn(diffusers.UNet2DConditionModel(**XL)),
        diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1),
        force_zeros_for_empty_prompt=zeros, add_watermarker=False,
    )  # fmt: skip
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(tmp_path / "m")
    x = torch.randn(2, 4, 16, 16)
    latents = theirs(
        PROMPTS, latents=x.clone(), output_type="latent", num_inference_steps=5, guidance_scale=5.0
    ).images
    grid = times(theirs.scheduler, 0.0)
    asked = {"solver": "ddim", "grid": grid, "init": x, "guidance": 5.0, "text": PROMPTS}
    pipeline = Pipeline.load(tmp_path / "m")
    require_equal(last(pipeline.plan(2, **asked)), latents)
    empty = theirs(
        PROMPTS, negative_prompt=["", ""], latents=x.clone(), output_type="latent",
        num_inference_steps=5, guidance_scale=5.0,
    ).images  # fmt: skip
    require_equal(last(pipeline.plan(2, negative={"text": ""}, **asked)), empty)
    assert zeros != bool((empty - latents).abs().max() < 1e-6)


def test_latent_diffusion_with_a_codebook(tmp_path):
    torch.manual_seed(0)
    codes = drawn(diffusers.VQModel(**VAE, num_vq_embeddings=9))
    net = drawn(diffusers.UNet2DModel(**PLAIN))
    scheduler = diffusers.DDIMScheduler(**PATH, clip_sample=False)
    diffusers.LDMPipeline(codes, net, scheduler).save_pretrained(tmp_path / "m")
    x = torch.randn(2, 3, 16, 16)
    scheduler.set_timesteps(5)
    state = x.clone()
    with torch.no_grad():
        for t in scheduler.timesteps:
            state = scheduler.step(net(state, t).sample, t, state).prev_sample
        images = (codes.decode(state).sample / 2 + 0.5).clamp(0, 1)
    pipeline = Pipeline.load(tmp_path / "m")
    plan = pipeline.plan(2, solver="ddim", grid=times(scheduler, 0.0), init=x)
    require_equal(last(plan), state)
    # A latent that lies between two codes may fall to the other one.
    assert np.median(np.abs(plan.sample() / 255 - images.numpy())) <= 0.51 / 255


SD3 = {
    "sample_size": 16, "in_channels": 4, "out_channels": 4, "num_layers": 2,
    "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 32,
    "caption_projection_dim": 16, "pooled_projection_dim": 12 + 10, "pos_embed_max_size": 12,
}  # fmt: skip


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_sd3_without_t5(tmp_path, shift):
    torch.manual_seed(0)
    tokens = tokenizer(tmp_path / "t")
    vae = diffusers.AutoencoderKL(**VAE, scaling_factor=1.5, shift_factor=0.06)
    theirs = diffusers.StableDiffusion3Pipeline(
        drawn(diffusers.SD3Transformer2DModel(**SD3)),
        diffusers.FlowMatchEulerDiscreteScheduler(shift=shift), drawn(vae),
        encoder(transformers.CLIPTextModelWithProjection, 12, 12), tokens,
        encoder(transformers.CLIPTextModelWithProjection, 16, 10), tokens, None, None,
    )  # fmt: skip
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(tmp_path / "m")
    x = torch.randn(2, 4, 16, 16)
    asked = {"num_inference_steps": 5, "guidance_scale": 5.0, "height": 32, "width": 32}
    latents = theirs(PROMPTS, latents=x.clone(), output_type="latent", **asked).images
    images = theirs(PROMPTS, latents=x.clone(), output_type="np", **asked).images
    grid = theirs.scheduler.sigmas.tolist()
    plan = Pipeline.load(tmp_path / "m").plan(
        2, solver="euler", grid=grid, init=x, guidance=5.0, text=PROMPTS
    )
    require_equal(last(plan), latents)
    assert np.abs(plan.sample() / 255 - images.transpose(0, 3, 1, 2)).max() <= 0.51 / 255


def test_dit(tmp_path):
    torch.manual_seed(0)
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=2, sample_size=16,
        num_embeds_ada_norm=1000, out_channels=8,
    )  # fmt: skip
    vae, scheduler = drawn(diffusers.AutoencoderKL(**VAE)), diffusers.DDIMScheduler()
    theirs = diffusers.DiTPipeline(drawn(net), vae, scheduler)
    theirs.save_pretrained(tmp_path / "m")
    index = json.loads((tmp_path / "m/model_index.json").read_text())
    index["id2label"] = {str(i): f"thing {i}, object" for i in range(1000)}
    (tmp_path / "m/model_index.json").write_text(json.dumps(index))
    pipeline = Pipeline.load(tmp_path / "m")
    assert pipeline.denoiser.learn_variance
    x, label = torch.randn(2, 4, 16, 16), torch.tensor([3, 1000])
    with torch.no_grad():
        expected = net(x, timestep=torch.full((2,), 700), class_labels=label).sample[:, :4]
        cond = pipeline.conditioner.encode(2, {"label": ["thing 3", None]})
        found = pipeline.denoiser(x, torch.tensor(701 / 1000, dtype=torch.float64), **cond)
    require_equal(found.eps, expected)
