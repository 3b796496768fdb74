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
