"""Edits: the laws of strength, masks and seeds, and the command on files and folders."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demist.cli import main
from demist.codecs import KLAutoencoder, Pixels
from demist.conditions import Conditioner, Label, LowResolution, Masked
from demist.core import Denoiser, Linear, Velocity
from demist.drawing import read_metadata
from demist.editing import (
    Box,
    Sheet,
    extended,
    inpaint,
    masks,
    outpaint,
    upscale,
    vary,
    with_jumps,
    with_known,
)
from demist.editing.redrawing import filled
from demist.editing.sources import seed_of
from demist.errors import UsageError
from demist.model import Pipeline, Sampling
from demist.networks import Autoencoder, UNet


def made(net, codec, *rest):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return Pipeline(Denoiser(net, Linear(), Velocity()), codec, *rest)


@pytest.fixture(scope="module")
def model():
    net = UNet(channels=(16,), norm_groups=4, head_dim=16, num_classes=2, patch=2)
    label = Conditioner({"label": Label(("cat", "dog"))})
    return made(net, Pixels(), label, (1, 8, 8), Sampling(steps=4, guidance=2.0))


@pytest.fixture(scope="module")
def latent():
    torch.manual_seed(0)
    coder = Autoencoder(in_channels=1, latent_channels=2, channels=(8,), norm_groups=4)
    net = UNet(in_channels=2, channels=(16,), norm_groups=4, head_dim=16, patch=1)
    codec = KLAutoencoder(coder)
    assert codec.state_shape((1, 8, 8)) == (2, 4, 4)
    return made(net, codec, Conditioner(), (1, 8, 8), Sampling(steps=4))


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)


@pytest.fixture
def hole():
    mask = np.zeros((8, 8), np.float32)
    mask[3:7, 1:5] = 1
    return mask


@pytest.mark.parametrize("kind", ["model", "latent"])
def test_no_strength_keeps_all_and_full_strength_is_sampling(request, photos, kind):
    pipeline = request.getfixturevalue(kind)
    assert np.array_equal(vary(pipeline, photos, 0.0), photos)
    assert np.array_equal(vary(pipeline, photos, 1.0, seed=3), pipeline.sample(3, seed=3))
    some = vary(pipeline, photos, 0.5, seed=3)
    start = pipeline.sample(3, seed=3, init=photos, start=0.5)
    assert np.array_equal(some, start)
    assert not np.array_equal(some, photos)


@pytest.mark.parametrize("kind", ["model", "latent"])
@pytest.mark.parametrize("jumps", [0, 2])
def test_outside_of_a_mask_not_a_byte_changes(request, photos, hole, kind, jumps):
    pipeline, x = request.getfixturevalue(kind), photos
    for seed in range(10):
        x = inpaint(pipeline, x, hole, seed=seed, jumps=jumps, strength=0.9)
    outside = hole == 0
    assert np.array_equal(x[..., outside], photos[..., outside])
    assert (x[..., ~outside] != photos[..., ~outside]).any((1, 2)).all()


@pytest.mark.parametrize("kind", ["model", "latent"])
def test_masks_of_zeros_and_of_ones(request, photos, kind):
    pipeline = request.getfixturevalue(kind)
    empty, full = np.zeros((8, 8)), np.ones((8, 8))
    assert np.array_equal(inpaint(pipeline, photos, empty, seed=1), photos)
    assert np.array_equal(inpaint(pipeline, photos, full, seed=1), pipeline.sample(3, seed=1))


def test_an_image_is_edited_alike_in_any_company(model, photos, hole):
    many = inpaint(model, photos, hole, seed=(5, 6, 7), jumps=1)
    for i in range(3):
        alone = inpaint(model, photos[i], hole, seed=5 + i, jumps=1)
        assert np.array_equal(alone[0], many[i])


def test_what_is_kept_is_seen_by_the_network(photos, hole, model):
    """Two images that differ outside of the mask are filled differently, from one seed."""
    a, b = inpaint(model, np.stack([photos[0], 255 - photos[0]]), hole, seed=(1, 1))
    assert not np.array_equal(a[:, hole == 1], b[:, hole == 1])


def test_jumps_take_each_step_again_but_the_one_from_noise():
    grid = torch.tensor([1.0, 0.6, 0.3, 0.0])
    assert with_jumps(grid, 0, Linear()).tolist() == grid.tolist()
    again = with_jumps(grid, 1, Linear())
    assert again.tolist() == torch.tensor([1, 0.6, 0.3, 0.6, 0.3, 0, 0.3, 0]).tolist()


def test_a_pixel_is_kept_until_the_time_falls_below_its_strength(model, photos):
    """Of a mask of 0.4 the states are the image's, noised, down to the first time below."""
    plan = model.plan(3, grid=(1.0, 0.7, 0.5, 0.3, 0.0), seed=2)
    mask = np.full((3, 8, 8), 0.4, np.float32)
    kept = with_known(plan, photos, mask)
    noised = with_known(plan, photos, np.zeros((3, 8, 8), np.float32))
    for point, own in zip(kept.states(), noised.states(), strict=True):
        assert torch.equal(point.x, own.x) == (float(point.t) >= 0.4)


def test_a_model_that_is_told_masks_is_told_this_one(photos, hole):
    conditioner = Conditioner({"masked": Masked((1, 8, 8))})
    net = UNet(channels=(16,), norm_groups=4, head_dim=16, patch=2, inlets=conditioner.specs())
    pipeline = made(net, Pixels(), conditioner, (1, 8, 8), Sampling(steps=3))
    told = (photos, np.broadcast_to(hole, (3, 1, 8, 8)).astype(np.uint8))
    expected = np.where(hole == 1, pipeline.sample(3, seed=4, masked=told), photos)
    assert np.array_equal(inpaint(pipeline, photos, hole, seed=4), expected)
    with pytest.raises(UsageError, match="black and white"):
        inpaint(pipeline, photos, hole / 2)
    with pytest.raises(UsageError, match="jumps are for models that know nothing of masks"):
        inpaint(pipeline, photos, hole, jumps=1)


def test_outpainting_keeps_the_image_in_its_place(model, photos):
    left = photos[:, :, :, :5]
    out = outpaint(model, left, {"right": 2, "left": 1}, seed=1)
    assert out.shape == (3, 1, 8, 8)
    assert np.array_equal(out[..., 1:6], left)
    with pytest.raises(UsageError, match="no edge 'up'"):
        extended(photos[0], {"up": 3})


def test_the_window_around_a_mask(hole):
    image = np.arange(40 * 60, dtype=np.uint32).astype(np.uint8).reshape(1, 40, 60)
    mask = np.zeros((40, 60), np.float32)
    mask[30:34, 2:10] = 1
    sheet = Sheet.around(image, mask, 4, (8, 8))
    assert sheet.window == Box(0, 24, 16, 16)
    made = np.zeros((1, 8, 8), np.uint8)
    back = sheet.put_back(made)
    assert np.array_equal(back[0][mask == 0], image[0][mask == 0])
    assert (back[0][mask == 1] == 0).all()
    blended = sheet.put_back(made, blend=1)
    assert np.array_equal(blended[0][mask == 0], image[0][mask == 0])
    assert (blended[0, 31:33, 3:9] == 0).all()
    assert blended[0, 30, 5] == np.rint(image[0, 30, 5] / 2)


def test_shapes_of_masks():
    mask = masks.of_boxes([Box(2, 1, 3, 2), Box(-4, -4, 5, 5)], (6, 7))
    assert mask.sum() == 7
    assert mask[1:3, 2:5].all()
    assert mask[0, 0] == 1
    grown = masks.shaped(mask, grow=1)
    assert grown[0:4, 1:6].all()
    assert masks.shaped(grown, grow=-1)[1:3, 2:5].all()
    assert np.array_equal(masks.shaped(mask, invert=True), 1 - mask)
    soft = masks.shaped(mask, blur=1.0)
    assert not masks.is_hard(soft)
    assert 0 < soft[3, 3] < soft[2, 3] < 1
    assert masks.is_hard(masks.shaped(soft, threshold=0.5))
    with pytest.raises(UsageError, match="lies outside of the image, which is 7 pixels wide"):
        masks.of_boxes([Box(7, 0, 2, 2)], (6, 7))
    with pytest.raises(UsageError, match="write x,y,width,height"):
        masks.parse_box("1,2,3")
    one = np.zeros((1, 8, 8), np.float32)
    one[0, 3, 5] = 1
    state = masks.of_states(one, (4, 2, 2))
    assert state.tolist() == [[[[0, 1], [0, 0]]]]


def test_holes_filled_with_the_mean(photos, hole):
    x = filled(photos[:1], hole[None], "mean")
    kept = photos[0, 0][hole == 0]
    assert (x[0, 0][hole == 1] == np.rint(kept.mean())).all()
    assert np.array_equal(x[0, 0][hole == 0], kept)


def test_small_images_become_large(photos):
    small = LowResolution((1, 8, 8), 2)
    conditioner = Conditioner({"low": small})
    net = UNet(channels=(16,), norm_groups=4, head_dim=16, patch=2, inlets=conditioner.specs())
    pipeline = made(net, Pixels(), conditioner, (1, 8, 8), Sampling(steps=3))
    tiny = photos[:, :, ::2, ::2]
    assert np.array_equal(upscale(pipeline, tiny, seed=1), pipeline.sample(3, seed=1, low=tiny))
    with pytest.raises(UsageError, match="this model makes 4x4 2 times larger"):
        upscale(pipeline, photos)


@pytest.fixture
def folder(tmp_path, monkeypatch, model, photos, hole):
    monkeypatch.chdir(tmp_path)
    replace(model, facts={}).save("m")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name, x in zip(("a", "deep/b", "c"), photos, strict=True):
        Image.fromarray(x[0]).save(f"in/{name}.png")
    Image.fromarray((255 * hole).astype(np.uint8)).save("mask.png")
    return tmp_path


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def test_one_image_on_the_command_line(folder, model, photos, hole, capsys):
    line = "edit m in/a.png --mask mask.png --class dog --seed 5 --n 2 --jumps 1"
    assert main(line.split()) == 0
    assert capsys.readouterr().out.split() == ["edited-1.png", "edited-2.png"]
    x = inpaint(model, photos[0], hole, n=2, seed=(5, 6), label="dog", jumps=1)
    assert np.array_equal(read("edited-2.png"), x[1, 0])
    facts = read_metadata("edited-2.png")
    assert facts["sampling"]["seed"] == 6
    assert facts["sampling"]["edit"] == {"mask": "mask.png", "jumps": 1}
    assert facts["command"].startswith("demist edit m in/a.png")


def test_a_folder_goes_on_where_it_stopped(folder, model, photos, capsys):
    line = ["edit", "m", "in", "--strength", "0.5", "--out", "done"]
    assert main(line) == 0
    names = [p.relative_to(folder / "done").as_posix() for p in (folder / "done").rglob("*.png")]
    assert sorted(names) == ["a.png", "c.png", "deep/b.png"]
    seed = seed_of(0, "deep/b.png")
    assert np.array_equal(read("done/deep/b.png"), vary(model, photos[1], 0.5, seed=seed)[0, 0])
    first = {p: read(p).tobytes() for p in (folder / "done").rglob("*.png")}
    (folder / "done" / "a.png").unlink()
    assert main(line) == 73
    assert "add --resume" in capsys.readouterr().err
    assert main([*line, "--resume"]) == 0
    assert {p: read(p).tobytes() for p in first} == first
    assert main([*line, "--steps", "3", "--resume"]) == 73
    assert "made otherwise (steps differ" in capsys.readouterr().err
    assert json.loads((folder / "done" / "edit.json").read_text())["sampling"]["n"] == 1


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("m in/a.png --mask small.png", 64, "small.png has 4x4 pixels and its image 8x8"),
        ("m in/a.png --mask black.png", 64, "the mask of a.png is empty"),
        ("m in/a.png --mask none.png", 66, "there is no mask none.png"),
        ("m in/none.png", 66, "there is no image in/none.png"),
        ("m empty", 66, "there are no images in empty"),
        ("m in --out full", 73, "full holds other files"),
        ("m in/a.png --prompt cat", 64, "reads no prompt"),
        ("m in/a.png --jumps 2", 64, "--jumps is for what a mask says"),
        ("m in/a.png --grow 2", 64, "there is no mask to invert, grow"),
        ("m in/a.png --extend up=2", 64, "there is no edge 'up'"),
        ("m in/a.png --extend left=x", 64, "write left=32,right=32"),
        ("m in/a.png --strength 2", 64, "strength = 2: give a number from 0"),
        ("m in/a.png --box 9,9,2,2", 64, "lies outside of the image"),
        ("m in/a.png --out in/c.png", 73, "exists already"),
        ("m in/a.png --upscale --instruct x", 64, "--instruct and --upscale are different edits"),
        ("m in/a.png --instruct x", 64, "one image as a condition; this one is shown no image"),
        ("m in/a.png --upscale", 64, "makes no small image large"),
        ("m in/a.png --level 3", 64, "--level goes with --upscale"),
        ("m in/a.png --resume", 64, "--resume goes on with a folder"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(folder, capsys, line, code, words):
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save("small.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("black.png")
    (folder / "empty").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "x.txt").write_text("x")
    assert main(["edit", *line.split()]) == code
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_a_damaged_image_of_a_folder_is_told_and_the_others_are_made(folder, capsys):
    (folder / "in" / "bad.png").write_bytes(b"no image")
    assert main(["edit", "m", "in", "--out", "done"]) == 65
    err = capsys.readouterr().err
    assert "bad.png is left out" in err
    assert "1 of 4 images were not edited" in err
    assert (folder / "done" / "deep" / "b.png").is_file()


def test_a_mask_of_another_size_is_resized_where_that_is_asked(folder, capsys):
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save("small.png")
    assert main(["edit", "m", "in/a.png", "--mask", "small.png", "--resize-mask"]) == 0
    assert "the mask is resized" in capsys.readouterr().err


def test_another_size_is_told(folder, capsys):
    Image.fromarray(np.zeros((16, 24), np.uint8)).save("large.png")
    assert main(["edit", "m", "large.png"]) == 0
    assert read("edited.png").shape == (16, 24)
    assert "24x16 pixels of the image are resized to that, out of" in capsys.readouterr().err


def test_the_page_runs_as_printed():
    page = (Path(__file__).parents[2] / "docs" / "editing.md").read_text()
    block = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[0]
    exec(compile(block.replace("steps=10", "steps=2"), "editing.md", "exec"), {})
