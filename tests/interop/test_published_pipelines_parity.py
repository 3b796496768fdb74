"""`solver="published", noise="torch"`: a seed gives the latents that diffusers' pipelines give.

Needs diffusers and transformers, on which the project does not depend.
"""

import pytest
import torch

from demist import Pipeline

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from .test_flux_pixart_parity import flux  # noqa: E402  (it needs diffusers)
from .test_interop_parity import (  # noqa: E402
    PATH,
    PLAIN,
    PROMPTS,
    SD,
    SD3,
    VAE,
    XL,
    drawn,
    encoder,
    last,
    require_equal,
    tokenizer,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")

SCALE = 2.0
"""Of guidance: at 5 the rounding of a random network alone comes to 1e-5, theirs as ours."""

THEIRS = {"solver": "published", "noise": "torch", "steps": 5}
ASKED = {"num_inference_steps": 5, "guidance_scale": SCALE, "output_type": "latent"}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def opened(theirs, folder):
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(folder)
    return Pipeline.load(folder)


def sd(tmp_path, scheduler, **net):
    torch.manual_seed(0)
    theirs = diffusers.StableDiffusionPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        tokenizer(tmp_path / "t"), drawn(diffusers.UNet2DConditionModel(**SD, **net)), scheduler,
        None, None, requires_safety_checker=False,
    )  # fmt: skip
    return theirs, opened(theirs, tmp_path / "m")


SCHEDULERS = {
    "pndm": lambda: diffusers.PNDMScheduler(**PATH, steps_offset=1, skip_prk_steps=True),
    "euler-ancestral": lambda: diffusers.EulerAncestralDiscreteScheduler(
        **PATH, steps_offset=1, timestep_spacing="leading"
    ),
    "karras": lambda: diffusers.DPMSolverMultistepScheduler(**PATH, use_karras_sigmas=True),
    "unipc": lambda: diffusers.UniPCMultistepScheduler(**PATH),
    "heun": lambda: diffusers.HeunDiscreteScheduler(**PATH),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_stable_diffusion(tmp_path, name):
    theirs, pipeline = sd(tmp_path, SCHEDULERS[name]())
    expected = theirs(PROMPTS, generator=generator(42), **ASKED).images
    plan = pipeline.plan(2, seed=42, guidance=SCALE, text=PROMPTS, batch_size=1, **THEIRS)
    require_equal(torch.cat([list(plan.states(rows))[-1].x for rows in ([0], [1])]), expected)
    again = pipeline.plan(2, plan.sampling, text=PROMPTS)
    require_equal(last(again), expected)


def test_one_generator_for_each_seed(tmp_path):
    theirs, pipeline = sd(tmp_path, SCHEDULERS["euler-ancestral"]())
    seeds = [7, 2**40]
    expected = theirs(PROMPTS, generator=[generator(s) for s in seeds], **ASKED).images
    plan = pipeline.plan(2, seed=seeds, guidance=SCALE, text=PROMPTS, **THEIRS)
    require_equal(last(plan), expected)


def test_ddim_with_noise(tmp_path):
    scheduler = diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1)
    theirs, pipeline = sd(tmp_path, scheduler)
    expected = theirs(PROMPTS, generator=generator(1), eta=0.6, **ASKED).images
    how = {**THEIRS, "solver": "published:eta=0.6"}
    require_equal(last(pipeline.plan(2, seed=1, guidance=SCALE, text=PROMPTS, **how)), expected)


def test_the_noise_itself(tmp_path):
    """What they call latents is our state at the start, times `Plan.scale` or our sigma."""
    z = torch.randn(2, 4, 16, 16)
    theirs, pipeline = sd(tmp_path, SCHEDULERS["pndm"]())
    expected = theirs(PROMPTS, latents=z.clone(), **ASKED).images
    plan = pipeline.plan(2, init=z, guidance=SCALE, text=PROMPTS, **THEIRS)
    assert plan.scale == 1
    require_equal(last(plan), expected)


def test_the_grid_with_a_solver_of_ours(tmp_path):
    """Euler's times and what the network is told there; the line of DDIM is Euler's."""
    scheduler = diffusers.EulerDiscreteScheduler(**PATH, use_karras_sigmas=True)
    theirs, pipeline = sd(tmp_path, scheduler)
    expected = theirs(PROMPTS, generator=generator(3), **ASKED).images
    how = {**THEIRS, "solver": "ddim", "grid": "published"}
    require_equal(last(pipeline.plan(2, seed=3, guidance=SCALE, text=PROMPTS, **how)), expected)


@pytest.mark.parametrize("strength", [0.6, 0.8])
def test_an_image_to_start_from(tmp_path, strength):
    """Their strength is our start; the noise of the image is drawn first."""
    scheduler = diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1)
    theirs, pipeline = sd(tmp_path, scheduler)
    x = torch.randn(2, 4, 16, 16)
    variant = diffusers.StableDiffusionImg2ImgPipeline(
        **{k: v for k, v in theirs.components.items() if k != "image_encoder"},
        requires_safety_checker=False,
    )
    variant.set_progress_bar_config(disable=True)
    asked = {**ASKED, "num_inference_steps": 10, "strength": strength}
    expected = variant(PROMPTS, image=x.clone(), generator=generator(3), **asked).images
    how = {**THEIRS, "steps": 10}
    plan = pipeline.plan(2, seed=3, guidance=SCALE, start=strength, init=x, text=PROMPTS, **how)
    alpha, sigma = pipeline.denoiser.schedule(plan.grid[0])
    noised = alpha * x + sigma * torch.randn(2, 4, 16, 16, generator=generator(3))
    plan = pipeline.plan(2, guidance=SCALE, start=strength, init=noised, text=PROMPTS, **how)
    assert plan.steps == int(10 * strength)
    require_equal(last(plan), expected)


def test_latent_consistency(tmp_path):
    theirs, pipeline = sd(tmp_path, diffusers.LCMScheduler(), time_cond_proj_dim=10)
    asked = {**ASKED, "num_inference_steps": 4}
    expected = theirs(PROMPTS, generator=generator(5), **asked).images
    how = {**THEIRS, "steps": 4, "seed": 5, "text": PROMPTS}
    plan = pipeline.plan(2, guidance=SCALE, **how)
    require_equal(last(plan), expected)
    require_equal(last(pipeline.plan(2, embedded_guidance=SCALE, **how)), expected)
    usual = pipeline.plan(2, **how)
    assert usual.sampling.guidance == 8.5
    assert (last(usual) - expected).abs().max() > 0.01


def test_xl(tmp_path):
    torch.manual_seed(0)
    tokens = tokenizer(tmp_path / "t")
    scheduler = diffusers.EulerDiscreteScheduler(**PATH, timestep_spacing="leading", steps_offset=1)
    theirs = diffusers.StableDiffusionXLPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        encoder(transformers.CLIPTextModelWithProjection, 16, 10), tokens, tokens,
        drawn(diffusers.UNet2DConditionModel(**XL)), scheduler, add_watermarker=False,
    )  # fmt: skip
    pipeline = opened(theirs, tmp_path / "m")
    expected = theirs(PROMPTS, generator=generator(42), **ASKED).images
    plan = pipeline.plan(2, seed=42, guidance=SCALE, text=PROMPTS, **THEIRS)
    require_equal(last(plan), expected)


@pytest.mark.parametrize("dynamic", [False, True])
def test_sd3(tmp_path, dynamic):
    torch.manual_seed(0)
    tokens = tokenizer(tmp_path / "t")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=dynamic)
    theirs = diffusers.StableDiffusion3Pipeline(
        drawn(diffusers.SD3Transformer2DModel(**SD3)), scheduler,
        drawn(diffusers.AutoencoderKL(**VAE, scaling_factor=1.5, shift_factor=0.06)),
        encoder(transformers.CLIPTextModelWithProjection, 12, 12), tokens,
        encoder(transformers.CLIPTextModelWithProjection, 16, 10), tokens, None, None,
    )  # fmt: skip
    pipeline = opened(theirs, tmp_path / "m")
    expected = theirs(PROMPTS, generator=generator(42), height=32, width=32, **ASKED).images
    plan = pipeline.plan(2, seed=42, guidance=SCALE, text=PROMPTS, **THEIRS)
    require_equal(last(plan), expected)


@pytest.mark.parametrize("dev", [False, True])
def test_flux(tmp_path, dev):
    torch.manual_seed(0)
    shift = {"use_dynamic_shifting": True, "shift": 3.0} if dev else {"shift": 1.0}
    theirs = flux(tmp_path, dev, diffusers.FlowMatchEulerDiscreteScheduler(**shift))
    asked = {**ASKED, "guidance_scale": 2.0, "height": 32, "width": 48}
    asked |= {} if dev else {"max_sequence_length": 256}
    latents = theirs(PROMPTS, generator=generator(42), **asked).images
    plan = Pipeline.load(tmp_path / "m").plan(
        2, seed=42, guidance=2.0 if dev else 1.0, size=(32, 48), text=PROMPTS, **THEIRS
    )
    require_equal(last(plan), theirs._unpack_latents(latents, 32, 48, 2))


def test_ddpm_on_pixels(tmp_path):
    """Clipped data, and a draw in every step but the last."""
    torch.manual_seed(0)
    net, scheduler = drawn(diffusers.UNet2DModel(**PLAIN)), diffusers.DDPMScheduler()
    theirs = diffusers.DDPMPipeline(net, scheduler)
    pipeline = opened(theirs, tmp_path / "m")
    expected = theirs(2, generator(9), num_inference_steps=5, output_type="np").images.transpose(
        0, 3, 1, 2
    )
    plan = pipeline.plan(2, seed=9, **THEIRS)
    found = (last(plan) / 2 + 0.5).clamp(0, 1).numpy()
    assert abs(found - expected).max() < 1e-5
    assert expected.std() > 0.1
