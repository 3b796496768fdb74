"""A folder of diffusers that learned on here opens there, and makes the same latents.

Needs diffusers and transformers, on which the project does not depend.
"""

import numpy as np
import pytest
import torch

from demist import Pipeline
from demist.config import TrainConfig, update
from demist.data import Column, Dataset
from demist.editing import Sheet, redraw
from demist.editing.instructing import instructed
from demist.training.run import train

from .test_edited_folders_parity import begun, ddim
from .test_interop_parity import PROMPTS, diffusers, last, require_equal
from .test_pipelines_parity import ASKED, a_mask, holes, picture, sd
from .test_save import of_diffusers

pytestmark = pytest.mark.filterwarnings("ignore")

rng = np.random.default_rng(0)
X = rng.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
COLUMNS = {
    "instruction": Column("text", ("a cat", "dog") * 4),
    "source": Column("image", X[:, :, ::-1].copy()),
    "mask": Column("mask", (rng.random((8, 1, 32, 32)) > 0.5).astype(np.uint8) * 255),
}


def learned(tmp_path, column):
    """A Stable Diffusion that learned for two steps to be told an image more."""
    cls = diffusers.StableDiffusionPipeline
    theirs, _ = sd(cls, tmp_path / "m", 4, tmp_path / "t")
    given = {"start_from": str(tmp_path / "m"), "batch_size": 4, "lr": 1e-2, "warmup": 0,
             "precision": "fp32", "optimizer": "adamw", "sample_count": 0, "steps": 2,
             "conditions": f"instruction,{column}", "runs": str(tmp_path / "runs")}  # fmt: skip
    data = Dataset(X, columns={k: COLUMNS[k] for k in ("instruction", column)})
    run = train(update(TrainConfig(), given), data=data, quiet=True)
    pipeline = Pipeline.load(run.model)
    opened = diffusers.DiffusionPipeline.from_pretrained(
        run.model, safety_checker=None, feature_extractor=None
    )
    opened.set_progress_bar_config(disable=True)
    assert not torch.equal(opened.unet.conv_out.weight, theirs.unet.conv_out.weight)
    for name, net in pipeline.components().items():
        found = getattr(opened, name).state_dict()
        assert all(torch.equal(found[k], v) for k, v in net.state_dict().items()), name
    return pipeline, opened


def test_instructions_are_followed_there_as_here(tmp_path):
    pipeline, opened = learned(tmp_path, "source")
    assert type(opened) is diffusers.StableDiffusionInstructPix2PixPipeline
    image = picture()
    sheets = [Sheet.whole(x) for x in image]
    how, told = instructed(pipeline, sheets, PROMPTS[0], ddim(opened, guidance=5.0))
    edit = redraw(pipeline, sheets, how, **told)
    expected = opened(
        [PROMPTS[0]] * 2, image=torch.from_numpy(image) / 255, latents=begun(edit.plan),
        image_guidance_scale=1.5, **ASKED,
    ).images  # fmt: skip
    require_equal(last(edit.plan), expected)


def test_a_hole_is_filled_there_as_here(tmp_path):
    pipeline, opened = learned(tmp_path, "mask")
    assert type(opened) is diffusers.StableDiffusionInpaintPipeline
    image, mask = picture(), a_mask()
    sheets = [Sheet.whole(x, m[0].astype(np.float32)) for x, m in zip(image, mask, strict=True)]
    edit = redraw(pipeline, sheets, ddim(opened, guidance=5.0), text=PROMPTS)
    latents = begun(edit.plan)
    expected = opened(PROMPTS, latents=latents, **holes(opened, image, mask), **ASKED).images
    require_equal(last(edit.plan), expected)


@pytest.mark.parametrize("kind", ["xl", "sd3", "codes", "dit"])
def test_every_shape_of_folder_learns_on(tmp_path, kind):
    of_diffusers(kind, tmp_path / "t").save_pretrained(tmp_path / "m")
    base = Pipeline.load(tmp_path / "m")
    x = rng.integers(0, 256, (8, *base.shape), dtype=np.uint8)
    data = Dataset(x, np.arange(8) % 2, ("2", "0"), texts=("a cat", "dog") * 4)
    if kind != "dit":
        data = Dataset(x, texts=data.texts)
    given = {"start_from": str(tmp_path / "m"), "batch_size": 4, "warmup": 0, "precision": "fp32",
             "optimizer": "adamw", "sample_count": 0, "steps": 2,
             "runs": str(tmp_path / "runs")}  # fmt: skip
    same, moved = (
        Pipeline.load(train(update(TrainConfig(), given | {"lr": lr}), data=data, quiet=True).model)
        for lr in (0.0, 1e-2)
    )
    asked = {"xl": {"text": "dog"}, "sd3": {"text": "dog"}, "dit": {"label": "1"}, "codes": {}}
    expected = base.sample(2, steps=2, **asked[kind])
    assert expected.std() > 1
    assert np.array_equal(same.sample(2, steps=2, **asked[kind]), expected)
    assert not np.array_equal(moved.sample(2, steps=2, **asked[kind]), expected)
