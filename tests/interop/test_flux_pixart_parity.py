"""Flux and PixArt folders that diffusers saves are sampled to the same latents and images.

Needs diffusers and transformers, on which the project does not depend.
"""

import json

import numpy as np
import pytest
import torch

from demist import Pipeline
from demist.errors import MissingError

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from .test_interop_parity import (  # noqa: E402  (it needs diffusers)
    PROMPTS,
    VAE,
    drawn,
    encoder,
    last,
    require_equal,
    times,
    tokenizer,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")

FLUX = {
    "in_channels": 16, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 12,
    "num_attention_heads": 2, "joint_attention_dim": 16, "pooled_projection_dim": 12,
    "axes_dims_rope": (2, 4, 6),
}  # fmt: skip
PIXART = {
    "num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "sample_size": 16,
    "cross_attention_dim": 24, "caption_channels": 16, "out_channels": 8,
}  # fmt: skip
ASKED = {"num_inference_steps": 5, "height": 32, "width": 48}


def t5(width=16):
    """A tiny encoder and its tokenizer: a vocabulary of letters."""
    config = transformers.T5Config(
        vocab_size=40, d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    words += [(chr(c), -3.0) for c in range(97, 123)] + [("▁ca", -1.0)]
    tokens = transformers.T5Tokenizer(vocab=words, extra_ids=0, model_max_length=512)
    return drawn(transformers.T5EncoderModel(config)), tokens


def require_same_images(plan, images):
    assert np.abs(plan.sample() / 255 - images.transpose(0, 3, 1, 2)).max() <= 0.51 / 255


def flux(folder, guided, scheduler):
    vae = drawn(diffusers.AutoencoderKL(**VAE, scaling_factor=0.36, shift_factor=0.12))
    net = drawn(diffusers.FluxTransformer2DModel(**FLUX, guidance_embeds=guided))
    long, long_tokens = t5()
    theirs = diffusers.FluxPipeline(
        scheduler, vae, encoder(transformers.CLIPTextModel, 12), tokenizer(folder / "t"), long,
        long_tokens, net,
    )  # fmt: skip
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(folder / "m")
    return theirs


def test_flux_dev(tmp_path):
    """The guidance scale goes to the network, and steps depend on the size of the image."""
    torch.manual_seed(0)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, shift=3.0, base_shift=0.5, max_shift=1.15
    )
    theirs = flux(tmp_path, True, scheduler)
    x = torch.randn(2, 4, 16, 24)
    packed = theirs._pack_latents(x, *x.shape)
    asked = {**ASKED, "guidance_scale": 2.0}
    latents = theirs(PROMPTS, latents=packed.clone(), output_type="latent", **asked).images
    images = theirs(PROMPTS, latents=packed.clone(), output_type="np", **asked).images
    pipeline = Pipeline.load(tmp_path / "m")
    assert pipeline.shape == (3, 256, 256)
    grid = theirs.scheduler.sigmas.tolist()
    plan = pipeline.plan(
        2, solver="euler", grid=grid, init=x, size=(32, 48), text=PROMPTS, embedded_guidance=2.0
    )
    require_equal(last(plan), theirs._unpack_latents(latents, 32, 48, 2))
    require_same_images(plan, images)
    usual = pipeline.plan(2, solver="euler", grid=grid, init=x, size=(32, 48), text=PROMPTS)
    assert (last(usual) - last(plan)).abs().max() > 0.01


def test_flux_schnell_with_guidance(tmp_path):
    torch.manual_seed(0)
    theirs = flux(tmp_path, False, diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0))
    x = torch.randn(2, 4, 16, 24)
    latents = theirs(
        PROMPTS, latents=theirs._pack_latents(x, *x.shape), output_type="latent", **ASKED,
        negative_prompt=["", ""], true_cfg_scale=3.0, max_sequence_length=256,
    ).images  # fmt: skip
    plan = Pipeline.load(tmp_path / "m").plan(
        2, solver="euler", grid=theirs.scheduler.sigmas.tolist(), init=x, size=(32, 48),
        text=PROMPTS, guidance=3.0,
    )  # fmt: skip
    require_equal(last(plan), theirs._unpack_latents(latents, 32, 48, 2))


def pixart(folder, kind, **options):
    long, tokens = t5()
    theirs = getattr(diffusers, kind)(
        tokens, long, drawn(diffusers.AutoencoderKL(**VAE)),
        drawn(diffusers.PixArtTransformer2DModel(**{**PIXART, **options})),
        diffusers.DDIMScheduler(clip_sample=False, steps_offset=1),
    )  # fmt: skip
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(folder / "m")
    return theirs


CASES = {
    "alpha": ("PixArtAlphaPipeline", {"sample_size": 128}),
    "alpha, small": ("PixArtAlphaPipeline", {}),
    "sigma": ("PixArtSigmaPipeline", {"interpolation_scale": 2}),
}


@pytest.mark.parametrize(("kind", "options"), CASES.values(), ids=CASES)
def test_pixart(tmp_path, kind, options):
    """Prompts of unequal length, upper case among them; alpha knows the size of the image."""
    torch.manual_seed(0)
    theirs = pixart(tmp_path, kind, **options)
    x, prompts = torch.randn(2, 4, 16, 24), ["A Cat on a mat", "dog"]
    asked = {
        **ASKED, "guidance_scale": 5.0, "use_resolution_binning": False, "clean_caption": False,
    }  # fmt: skip
    latents = theirs(prompts, latents=x.clone(), output_type="latent", **asked).images
    images = theirs(prompts, latents=x.clone(), output_type="np", **asked).images
    pipeline = Pipeline.load(tmp_path / "m")
    assert pipeline.denoiser.learn_variance
    assert ("sizes" in pipeline.conditioner.conditions) == ("sample_size" in options)
    plan = pipeline.plan(
        2, solver="ddim", grid=times(theirs.scheduler, 0.0), init=x, size=(32, 48), guidance=5.0,
        text=prompts,
    )  # fmt: skip
    require_equal(last(plan), latents)
    require_same_images(plan, images)


def test_a_missing_encoder_is_named(tmp_path):
    flux(tmp_path, False, diffusers.FlowMatchEulerDiscreteScheduler())
    index = tmp_path / "m/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"text_encoder_2": [None, None]}))
    with pytest.raises(MissingError, match="has no 'text_encoder_2', which a FluxPipeline needs"):
        Pipeline.load(tmp_path / "m")
