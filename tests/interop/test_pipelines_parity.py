"""Editors, upscaler and refiner: the latents that diffusers makes of its own folders.

Needs diffusers and transformers, on which the project does not depend.
"""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from demist import Pipeline
from demist.cli import main
from demist.core import Seeded
from demist.interop import Reading
from demist.model.plan import sample_seed

from .test_interop_parity import (
    PATH,
    PROMPTS,
    SD,
    VAE,
    XL,
    diffusers,
    drawn,
    encoder,
    last,
    require_equal,
    times,
    tokenizer,
    transformers,
)

pytestmark = pytest.mark.filterwarnings("ignore")

ASKED = {"num_inference_steps": 5, "guidance_scale": 5.0, "output_type": "latent"}


def scheduler():
    return diffusers.DDIMScheduler(
        **PATH, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )


def sd(cls, folder, channels, tokens, vae=None, **further):
    torch.manual_seed(0)
    net = diffusers.UNet2DConditionModel(
        **{**SD, "in_channels": channels, **further.pop("net", {})}
    )
    checker = {} if "Upscale" in cls.__name__ else {"requires_safety_checker": False}
    theirs = cls(
        vae=vae or drawn(diffusers.AutoencoderKL(**VAE)),
        text_encoder=encoder(transformers.CLIPTextModel, 12), tokenizer=tokenizer(tokens),
        unet=drawn(net), scheduler=scheduler(), safety_checker=None, feature_extractor=None,
        **checker, **further,
    )  # fmt: skip
    return saved(theirs, folder)


def saved(theirs, folder):
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(folder)
    return theirs, Pipeline.load(folder)


def picture(side=32, n=2):
    return np.random.default_rng(3).integers(0, 256, (n, 3, side, side), dtype=np.uint8)


def asked_of(theirs, pipeline, x, **cond):
    grid = times(theirs.scheduler, cond.pop("end", 1 / 1000))
    guidance = cond.pop("guidance", 5.0)
    return pipeline.plan(2, solver="ddim", grid=grid, init=x, guidance=guidance, **cond)


def holes(theirs, image, mask):
    """What diffusers is given: the mean of the latents, where it would draw."""
    shown = torch.from_numpy(image) / 127.5 - 1
    with torch.no_grad():
        mean = theirs.vae.encode(shown * (1 - torch.from_numpy(mask).float())).latent_dist.mode()
    return {
        "image": torch.from_numpy(image) / 255, "mask_image": torch.from_numpy(mask).float(),
        "masked_image_latents": mean * theirs.vae.config.scaling_factor, "strength": 1.0,
        "height": 32, "width": 32,
    }  # fmt: skip


def a_mask():
    mask = np.zeros((2, 1, 32, 32), np.uint8)
    mask[:, :, 5:20, 3:17] = 1
    return mask


def test_inpainting(tmp_path):
    cls = diffusers.StableDiffusionInpaintPipeline
    theirs, pipeline = sd(cls, tmp_path / "m", 9, tmp_path / "t")
    image, mask, x = picture(), a_mask(), torch.randn(2, 4, 16, 16)
    expected = theirs(PROMPTS, latents=x.clone(), **holes(theirs, image, mask), **ASKED).images
    plan = asked_of(theirs, pipeline, x, text=PROMPTS, hole=(image, mask))
    require_equal(last(plan), expected)


def test_instructions(tmp_path):
    cls = diffusers.StableDiffusionInstructPix2PixPipeline
    theirs, pipeline = sd(cls, tmp_path / "m", 8, tmp_path / "t")
    assert (pipeline.defaults.guidance, pipeline.defaults.guidance_rule) == (7.5, "dual")
    image, x = picture(), torch.randn(2, 4, 16, 16)
    given = {"image": torch.from_numpy(image) / 255, "latents": x.clone()}
    for scale, rule in ((1.5, None), (1.2, "dual:first_scale=1.2"), (5.0, "cfg")):
        expected = theirs(PROMPTS, **given, image_guidance_scale=scale, **ASKED).images
        plan = asked_of(theirs, pipeline, x, text=PROMPTS, image=image, guidance_rule=rule)
        require_equal(last(plan), expected)


@pytest.mark.parametrize("level", [20, 350])
def test_upscaling(tmp_path, monkeypatch, level):
    low = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    theirs, pipeline = sd(
        diffusers.StableDiffusionUpscalePipeline, tmp_path / "m", 7, tmp_path / "t",
        low_res_scheduler=low, net={"num_class_embeds": 400},
    )  # fmt: skip
    assert pipeline.shape == (3, 32, 32)
    image, x = picture(16), torch.randn(2, 4, 16, 16)
    noise = Seeded([sample_seed(4, i) for i in range(2)], field="image")
    module = importlib.import_module(type(theirs).__module__)
    monkeypatch.setattr(module, "randn_tensor", lambda shape, **_: noise(torch.empty(*shape)))
    expected = theirs(
        PROMPTS, image=torch.from_numpy(image) / 255, noise_level=level, latents=x.clone(), **ASKED
    ).images
    given = image if level == 20 else (image, level)
    plan = asked_of(theirs, pipeline, x, text=PROMPTS, image=given, seed=4)
    require_equal(last(plan), expected)


REFINER = {
    **XL, "projection_class_embeddings_input_dim": 10 + 5 * 8, "cross_attention_dim": 16,
}  # fmt: skip


def xl(cls, folder, tokens, net, refiner=False, **further):
    torch.manual_seed(int(refiner))
    tokens = tokenizer(tokens)
    first = {"text_encoder": None, "tokenizer": None} if refiner else {
        "text_encoder": encoder(transformers.CLIPTextModel, 12), "tokenizer": tokens,
    }  # fmt: skip
    score = {} if cls is diffusers.StableDiffusionXLPipeline else {
        "requires_aesthetics_score": refiner
    }  # fmt: skip
    theirs = cls(
        vae=drawn(diffusers.AutoencoderKL(**VAE)), **first,
        text_encoder_2=encoder(transformers.CLIPTextModelWithProjection, 16, 10),
        tokenizer_2=tokens, unet=drawn(diffusers.UNet2DConditionModel(**net)),
        scheduler=diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1),
        add_watermarker=False, **score, **further,
    )  # fmt: skip
    return saved(theirs, folder)


def test_xl_inpainting(tmp_path):
    cls = diffusers.StableDiffusionXLInpaintPipeline
    theirs, pipeline = xl(cls, tmp_path / "m", tmp_path / "t", {**XL, "in_channels": 9})
    image, mask, x = picture(), a_mask(), torch.randn(2, 4, 16, 16)
    expected = theirs(PROMPTS, latents=x.clone(), **holes(theirs, image, mask), **ASKED).images
    plan = asked_of(theirs, pipeline, x, text=PROMPTS, hole=(image, mask), end=0.0)
    require_equal(last(plan), expected)


def test_xl_with_other_sizes(tmp_path):
    cls = diffusers.StableDiffusionXLPipeline
    theirs, pipeline = xl(cls, tmp_path / "m", tmp_path / "t", XL)
    x = torch.randn(2, 4, 8, 24)
    told = {"original_size": (99, 70), "crops_coords_top_left": (7, 3)}
    given = {"original": (99, 70), "crop": (7, 3)}
    expected = theirs(PROMPTS, height=16, width=48, latents=x.clone(), **told, **ASKED).images
    plan = asked_of(theirs, pipeline.sized((16, 48)), x, text=PROMPTS, end=0.0, **given)
    require_equal(last(plan), expected)


def test_xl_image_to_image_and_the_refiner(tmp_path):
    cls = diffusers.StableDiffusionXLImg2ImgPipeline
    for refiner, net in ((False, XL), (True, REFINER)):
        place = tmp_path / str(refiner)
        theirs, pipeline = xl(cls, place, tmp_path / f"t{refiner}", net, refiner)
        x = torch.randn(2, 4, 16, 16)
        expected = theirs(
            PROMPTS, image=torch.zeros(2, 3, 32, 32), strength=1.0, latents=x.clone(), **ASKED
        ).images
        require_equal(last(asked_of(theirs, pipeline, x, text=PROMPTS, end=0.0)), expected)
    expected = theirs(
        PROMPTS, image=torch.zeros(2, 3, 32, 32), strength=1.0, latents=x.clone(), **ASKED,
        aesthetic_score=7.5, negative_aesthetic_score=1.0,
    ).images  # fmt: skip
    plan = asked_of(
        theirs, pipeline, x, text=PROMPTS, aesthetic=7.5, negative={"aesthetic": 1.0}, end=0.0
    )
    require_equal(last(plan), expected)


def test_the_refiner_after_the_base(tmp_path):
    """An ensemble of experts: the base down to 0.4 of the noise, then the refiner."""
    first, base = xl(diffusers.StableDiffusionXLPipeline, tmp_path / "b", tmp_path / "tb", XL)
    cls = diffusers.StableDiffusionXLImg2ImgPipeline
    second, refiner = xl(cls, tmp_path / "r", tmp_path / "tr", REFINER, True)
    x = torch.randn(2, 4, 16, 16)
    between = first(PROMPTS, latents=x.clone(), denoising_end=0.6, **ASKED).images
    expected = second(PROMPTS, image=between, denoising_start=0.6, **ASKED).images
    both = base.refined(refiner, 0.4)
    require_equal(last(asked_of(first, both, x, text=PROMPTS, end=0.0)), expected)
    asked = {"solver": "published", "grid": "published", "steps": 5, "guidance": 5.0}
    require_equal(last(both.plan(2, init=x, text=PROMPTS, **asked)), expected)


def test_inpainting_on_the_command_line(tmp_path, monkeypatch):
    cls = diffusers.StableDiffusionInpaintPipeline
    _, pipeline = sd(cls, tmp_path / "m", 9, tmp_path / "t")
    image, mask = picture(32, 1)[0], a_mask()[0]
    monkeypatch.chdir(tmp_path)
    Image.fromarray(image.transpose(1, 2, 0)).save("a.png")
    Image.fromarray(255 * mask[0]).save("mask.png")
    line = "sample m --prompt cat --cond hole=a.png,mask.png --n 2 --steps 3 --arrays x.npy"
    assert main(line.split()) == 0
    expected = pipeline.sample(2, text="cat", hole=(image, mask), steps=3)
    np.testing.assert_array_equal(np.load("x.npy"), expected)


def test_guidance_told_to_the_network(tmp_path):
    """A network of latent consistency: no guidance of ours, at any scale."""
    net = {"time_cond_proj_dim": 8}
    theirs, pipeline = sd(
        diffusers.StableDiffusionPipeline, tmp_path / "m", 4, tmp_path / "t", net=net
    )
    x = torch.randn(2, 4, 16, 16)
    expected = theirs(PROMPTS, latents=x.clone(), **ASKED).images
    require_equal(last(asked_of(theirs, pipeline, x, text=PROMPTS)), expected)


def test_latent_consistency_in_one_step(tmp_path):
    torch.manual_seed(0)
    scheduler = diffusers.LCMScheduler(**PATH)
    net = {**SD, "time_cond_proj_dim": 8}
    theirs = diffusers.LatentConsistencyModelPipeline(
        vae=drawn(diffusers.AutoencoderKL(**VAE)),
        text_encoder=encoder(transformers.CLIPTextModel, 12), tokenizer=tokenizer(tmp_path / "t"),
        unet=drawn(diffusers.UNet2DConditionModel(**net)), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    theirs, pipeline = saved(theirs, tmp_path / "m")
    assert pipeline.defaults.guidance == 8.5
    x = torch.randn(2, 4, 16, 16)
    asked = {**ASKED, "num_inference_steps": 1}
    for scale in (5.0, 8.5):
        asked |= {"guidance_scale": scale}
        expected = theirs(PROMPTS, latents=x.clone(), **asked).images
        plan = asked_of(theirs, pipeline, x, text=PROMPTS, end=0.0, guidance=scale)
        require_equal(last(plan), expected)


def test_a_tiny_autoencoder_beside_a_model(tmp_path):
    """Its folder in place of the own one, for images that go in and for those that come out."""
    vae = drawn(diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    ))  # fmt: skip
    cls = diffusers.StableDiffusionInstructPix2PixPipeline
    theirs, _ = sd(cls, tmp_path / "m", 8, tmp_path / "t")
    theirs.vae = vae
    vae.save_pretrained(tmp_path / "tiny")
    pipeline = Pipeline.load(tmp_path / "m", Reading(codec=str(tmp_path / "tiny")))
    image, x = picture(), torch.randn(2, 4, 16, 16)
    given = {"image": torch.from_numpy(image) / 255, "latents": x.clone()}
    expected = theirs(PROMPTS, **given, image_guidance_scale=1.5, **ASKED).images
    plan = asked_of(theirs, pipeline, x, text=PROMPTS, image=image)
    require_equal(last(plan), expected)
    images = theirs(
        PROMPTS, **given, image_guidance_scale=1.5, **{**ASKED, "output_type": "np"}
    ).images
    assert np.abs(plan.sample() / 255 - images.transpose(0, 3, 1, 2)).max() <= 0.51 / 255
