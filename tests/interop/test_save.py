"""A published model that is saved opens again with the same bits, here and in diffusers."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demist import Pipeline
from demist.errors import CannotCreateError

from .test_folders import folder, write, write_net

__all__ = ["folder"]


def test_a_saved_folder_is_the_folder(folder, tmp_path):
    pipeline = Pipeline.load(folder)
    with torch.no_grad():
        next(pipeline.denoiser.net.parameters()).mul_(2)
    pipeline.save(tmp_path / "again")
    again = Pipeline.load(tmp_path / "again")
    np.testing.assert_array_equal(again.sample(2, steps=3), pipeline.sample(2, steps=3))
    before, after = (p.denoiser.net.state_dict() for p in (Pipeline.load(folder), again))
    assert sum(not torch.equal(before[k], after[k]) for k in before) == 1
    name = "unet/diffusion_pytorch_model.safetensors"
    assert load_file(tmp_path / "again" / name).keys() == load_file(folder / name).keys()
    index = json.loads((tmp_path / "again/model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DModel"]
    assert index["scheduler"] == ["diffusers", "DDPMScheduler"]
    with pytest.raises(CannotCreateError):
        pipeline.save(tmp_path / "again")


def test_a_flat_folder_is_saved_with_an_index(tmp_path):
    write_net(tmp_path / "flat")
    write(tmp_path / "flat/scheduler_config.json", {"_class_name": "DDIMScheduler"})
    pipeline = Pipeline.load(tmp_path / "flat")
    pipeline.save(tmp_path / "m")
    assert json.loads((tmp_path / "m/model_index.json").read_text())["_class_name"]
    again = Pipeline.load(tmp_path / "m")
    np.testing.assert_array_equal(again.sample(2, steps=3), pipeline.sample(2, steps=3))


@pytest.mark.filterwarnings("ignore")
def test_diffusers_opens_what_is_saved(tmp_path):
    diffusers, transformers = (pytest.importorskip(n) for n in ("diffusers", "transformers"))
    from .test_interop_parity import PATH, PROMPTS, SD, VAE, drawn, encoder, tokenizer

    torch.manual_seed(0)
    theirs = diffusers.StableDiffusionPipeline(
        drawn(diffusers.AutoencoderKL(**VAE)), encoder(transformers.CLIPTextModel, 12),
        tokenizer(tmp_path / "t"), drawn(diffusers.UNet2DConditionModel(**SD)),
        diffusers.DDIMScheduler(**PATH, clip_sample=False, steps_offset=1), None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    theirs.save_pretrained(tmp_path / "m")
    pipeline = Pipeline.load(tmp_path / "m")
    for net in pipeline.components().values():
        with torch.no_grad():
            next(net.parameters()).mul_(1.5)
    pipeline.save(tmp_path / "again")
    opened = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "again")
    for name, net in pipeline.components().items():
        found = getattr(opened, name).state_dict()
        assert all(torch.equal(found[k], v) for k, v in net.state_dict().items()), name
        assert not torch.equal(*(next(x.parameters()) for x in (net, getattr(theirs, name))))
    opened.set_progress_bar_config(disable=True)
    x = torch.randn(2, 4, 16, 16)
    asked = {"num_inference_steps": 3, "latents": x.clone(), "output_type": "latent"}
    images = opened(PROMPTS, **asked).images
    grid = [(t.item() + 1) / 1000 for t in opened.scheduler.timesteps] + [0.0]
    again = Pipeline.load(tmp_path / "again")
    plans = [p.plan(2, solver="ddim", grid=grid, init=x, guidance=7.5, text=PROMPTS)
             for p in (pipeline, again)]  # fmt: skip
    ends = [list(plan.states())[-1].x for plan in plans]
    assert torch.equal(*ends)
    assert (ends[0] - images).abs().max() / images.std() < 1e-5


def of_diffusers(kind, folder):
    """A tiny pipeline of each shape that a folder may have."""
    import diffusers
    import transformers

    from . import test_interop_parity as parity

    def kl(**options):
        return parity.drawn(diffusers.AutoencoderKL(**parity.VAE, **options))

    tokens = parity.tokenizer(folder)
    scheduler = diffusers.DDIMScheduler(**parity.PATH, clip_sample=False, steps_offset=1)
    plain, projected = transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection
    short, long = parity.encoder(plain, 12), parity.encoder(projected, 16, 10)
    if kind == "xl":
        net = parity.drawn(diffusers.UNet2DConditionModel(**parity.XL))
        return diffusers.StableDiffusionXLPipeline(
            kl(), short, long, tokens, tokens, net, scheduler, add_watermarker=False
        )
    if kind == "sd3":
        net = parity.drawn(diffusers.SD3Transformer2DModel(**parity.SD3))
        return diffusers.StableDiffusion3Pipeline(
            net, diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
            kl(scaling_factor=1.5, shift_factor=0.06), parity.encoder(projected, 12, 12), tokens,
            long, tokens, None, None,
        )  # fmt: skip
    if kind == "inpaint":
        net = parity.drawn(diffusers.UNet2DConditionModel(**{**parity.SD, "in_channels": 9}))
        return diffusers.StableDiffusionInpaintPipeline(
            kl(), short, tokens, net, scheduler, None, None, requires_safety_checker=False
        )
    if kind == "codes":
        codes = parity.drawn(diffusers.VQModel(**parity.VAE, num_vq_embeddings=9))
        return diffusers.LDMPipeline(
            codes, parity.drawn(diffusers.UNet2DModel(**parity.PLAIN)), scheduler
        )
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=2, sample_size=16,
        num_embeds_ada_norm=10, out_channels=8,
    )  # fmt: skip
    return diffusers.DiTPipeline(parity.drawn(net), kl(), scheduler)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["xl", "sd3", "inpaint", "codes", "dit"])
def test_diffusers_opens_every_shape_of_folder(tmp_path, kind):
    """All tensors and what the schedule says are as before, so what is sampled is, too."""
    diffusers, _ = (pytest.importorskip(n) for n in ("diffusers", "transformers"))
    torch.manual_seed(0)
    theirs = of_diffusers(kind, tmp_path / "t")
    theirs.save_pretrained(tmp_path / "m")
    Pipeline.load(tmp_path / "m").save(tmp_path / "again")
    absent = {name: None for name, part in theirs.components.items() if part is None}
    for place in ("m", "again"):  # diffusers wants to be given what a folder of its own lacks
        opened = diffusers.DiffusionPipeline.from_pretrained(tmp_path / place, **absent)
    assert type(opened) is type(theirs)
    said = [{k: v for k, v in p.scheduler.config.items() if k[0] != "_"} for p in (opened, theirs)]
    assert said[0] == said[1]
    networks = {k: v for k, v in theirs.components.items() if isinstance(v, torch.nn.Module)}
    assert len(networks) >= 2
    for name, net in networks.items():
        found = opened.components[name].state_dict()
        assert found.keys() == net.state_dict().keys(), name
        assert all(torch.equal(found[k], v) for k, v in net.state_dict().items()), name
