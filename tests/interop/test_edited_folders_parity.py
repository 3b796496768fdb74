"""Edits by published models: the latents that diffusers makes of its own folders."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from demist.cli import main
from demist.core import Seeded
from demist.editing import Sheet, instruct, redraw
from demist.editing.instructing import instructed
from demist.editing.upscaling import enlarging
from demist.model import Sampling
from demist.model.plan import sample_seed

from .test_interop_parity import PROMPTS, diffusers, last, require_equal, times
from .test_pipelines_parity import ASKED, a_mask, holes, picture, sd

pytestmark = pytest.mark.filterwarnings("ignore")


def ddim(theirs, **further):
    theirs.scheduler.set_timesteps(5)
    return Sampling(solver="ddim", grid=times(theirs.scheduler, 1 / 1000), **further)


def begun(plan):
    """The latents with which a plan begins, for the other side."""
    return next(iter(plan.states())).x.clone()


def test_a_hole_is_filled_as_diffusers_fills_it(tmp_path):
    cls = diffusers.StableDiffusionInpaintPipeline
    theirs, pipeline = sd(cls, tmp_path / "m", 9, tmp_path / "t")
    image, mask = picture(), a_mask()
    sheets = [Sheet.whole(x, m[0].astype(np.float32)) for x, m in zip(image, mask, strict=True)]
    edit = redraw(pipeline, sheets, ddim(theirs, guidance=5.0), text=PROMPTS)
    latents = begun(edit.plan)
    expected = theirs(PROMPTS, latents=latents, **holes(theirs, image, mask), **ASKED).images
    require_equal(last(edit.plan), expected)
    for before, after, m in zip(image, edit.sample(), mask, strict=True):
        assert np.array_equal(before[:, m[0] == 0], after[:, m[0] == 0])


@pytest.mark.parametrize("scale", [None, 1.2, 5.0])
def test_instructions_are_followed_as_by_diffusers(tmp_path, scale):
    cls = diffusers.StableDiffusionInstructPix2PixPipeline
    theirs, pipeline = sd(cls, tmp_path / "m", 8, tmp_path / "t")
    image = picture()
    sheets = [Sheet.whole(x) for x in image]
    how, told = instructed(pipeline, sheets, PROMPTS[0], ddim(theirs, guidance=5.0), scale)
    edit = redraw(pipeline, sheets, how, **told)
    expected = theirs(
        [PROMPTS[0]] * 2, image=torch.from_numpy(image) / 255, latents=begun(edit.plan),
        image_guidance_scale=1.5 if scale is None else scale, **ASKED,
    ).images  # fmt: skip
    require_equal(last(edit.plan), expected)
    if scale == 5.0:  # equal scales: plain guidance
        plain = redraw(pipeline, sheets, ddim(theirs, guidance=5.0, guidance_rule="cfg"), **told)
        require_equal(last(plain.plan), expected)


@pytest.mark.parametrize("level", [None, 350])
def test_small_images_become_large_as_by_diffusers(tmp_path, monkeypatch, level):
    low = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    theirs, pipeline = sd(
        diffusers.StableDiffusionUpscalePipeline, tmp_path / "m", 7, tmp_path / "t",
        low_res_scheduler=low, net={"num_class_embeds": 400},
    )  # fmt: skip
    image = picture(16)
    plan = enlarging(
        pipeline, list(image), ddim(theirs, guidance=5.0, seed=4), level=level,
        text=PROMPTS,
    )  # fmt: skip
    noise = Seeded([sample_seed(4, i) for i in range(2)], field="image")
    module = importlib.import_module(type(theirs).__module__)
    monkeypatch.setattr(module, "randn_tensor", lambda shape, **_: noise(torch.empty(*shape)))
    expected = theirs(
        PROMPTS, image=torch.from_numpy(image) / 255, noise_level=level or 20,
        latents=begun(plan), **ASKED,
    ).images  # fmt: skip
    require_equal(last(plan), expected)


def test_the_command_instructs(tmp_path, monkeypatch, capsys):
    cls = diffusers.StableDiffusionInstructPix2PixPipeline
    _, pipeline = sd(cls, tmp_path / "m", 8, tmp_path / "t")
    image = picture(32, 1)[0]
    monkeypatch.chdir(tmp_path)
    Image.fromarray(image.transpose(1, 2, 0)).save("a.png")
    line = "edit m a.png --instruct cat --image-guidance 1.2 --steps 3 --seed 2"
    assert main(line.split()) == 0
    expected = instruct(pipeline, image, "cat", image_guidance=1.2, steps=3, seed=(2,))
    with Image.open("edited.png") as made:
        assert np.array_equal(np.asarray(made).transpose(2, 0, 1), expected[0])
    assert main(["edit", "m", "a.png", "--upscale"]) == 64
    assert "makes no small image large" in capsys.readouterr().err
