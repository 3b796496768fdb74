"""Edits as jobs: the pixels of `demist edit`, nothing changed outside of the mask, and cancels."""

import io
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demist import cli, data, editing
from demist.codecs import KLAutoencoder, Pixels
from demist.conditions import Conditioner, Masked, Picture, Text, learn_tokenizer
from demist.core import Denoiser, Linear, Velocity
from demist.data.images.decode import read_image
from demist.drawing import read_metadata
from demist.errors import MissingError, UsageError
from demist.io import files
from demist.model import Pipeline, Sampling, open_model
from demist.networks import Autoencoder, UNet
from demist.studio.jobs import edit
from demist.studio.telling import CancelledError, Tell
from demist.studio.uploaded import reencode

HOW = {"steps": 3, "seed": 5, "cond": {"label": "7"}}


class Desk:
    """A studio's folder, and jobs in it without a server."""

    def __init__(self, runs: Path):
        self.studio = runs / "studio"
        self.jobs = self.studio / "jobs"
        self.uploads = self.studio / "uploads"
        self.uploads.mkdir(parents=True)
        self.told, self.shown = [], {}

    def upload(self, pixels: np.ndarray) -> str:
        file = self.studio / "coming"
        Image.fromarray(pixels).save(file, "PNG")
        return reencode(file, self.uploads)

    def run(self, stop: int | None = None, **settings) -> Path:
        folder = self.jobs / f"{len(list(self.jobs.glob('*'))) + 1:06d}-edit"
        folder.mkdir(parents=True)
        self.told, self.shown = [], {}

        def send(event, content):
            if event["type"] == "preview":
                self.shown[event["name"]] = content
                return
            self.told.append((event["step"], event["of"]))
            if event["step"] == stop:
                tell.cancel()

        tell = Tell(folder.name, folder, send)
        edit.run(edit.Settings(**{"n": 2, **HOW, **settings}), folder, tell)
        return folder


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_STUDIO_RUNS", str(tmp_path))
    return Desk(tmp_path)


@pytest.fixture(scope="module")
def digits():
    return open_model("digits")


@pytest.fixture(scope="module")
def seven():
    return data.load("digits", split="test").x[0]


@pytest.fixture(scope="module")
def soft():
    """A mask with all greys: 0 in the upper part, then rising."""
    mask = np.zeros((28, 28), np.uint8)
    mask[12:, 4:24] = np.linspace(0, 255, 20).astype(np.uint8)
    return mask


def results(folder: Path) -> np.ndarray:
    names = files.read_json(folder / "about.json")["files"]
    return np.stack([read_image(str(folder / name), 1, None) for name in names])


def test_a_job_makes_what_the_library_makes_and_keeps_the_rest_byte_for_byte(
    desk, digits, seven, soft
):
    image, mask = desk.upload(seven[0]), desk.upload(soft)
    folder = desk.run(image=image, mask=mask)
    found = results(folder)
    expected = [
        editing.inpaint(digits, seven, soft / np.float32(255), steps=3, seed=(seed,), label="7")[0]
        for seed in (5, 6)
    ]
    assert np.array_equal(found, expected)
    kept = np.broadcast_to(soft == 0, found.shape)
    assert np.array_equal(found[kept], np.stack([seven] * 2)[kept])
    assert (found[0] != found[1]).any()
    assert desk.told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    now = np.asarray(Image.open(io.BytesIO(desk.shown["now-2.png"])))
    assert np.array_equal(now[soft == 0], seven[0][soft == 0])


def test_the_command_makes_the_same_file(desk, seven, soft, monkeypatch):
    image, mask = desk.upload(seven[0]), desk.upload(soft)
    folder = desk.run(
        image=image, mask=mask, strength=0.8, fill="mean", blend=1, jumps=1, guidance=2.0,
        threshold=0.5, only_masked=True, padding=4, guidance_interval="0.1:0.9", negative="3",
    )  # fmt: skip
    command = files.read_json(folder / "about.json")["command"]
    monkeypatch.chdir(desk.studio)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    cli.main(shlex.split(command)[1:])
    for name in ("edited-1.png", "edited-2.png"):
        same = [read_image(str(place / name), 1, None) for place in (folder, desk.studio)]
        assert np.array_equal(*same)
        ours, theirs = (read_metadata(place / name) for place in (folder, desk.studio))
        assert ours["command"] == command
        assert ours["sampling"] == theirs["sampling"]
        assert ours["model"] == theirs["model"]


def test_each_mode_of_a_model(desk, digits, seven):
    image = desk.upload(seven[0])
    drawn = desk.run(mode="draw")
    assert np.array_equal(results(drawn)[0], digits.sample(1, steps=3, seed=(5,), label="7")[0])
    varied = desk.run(mode="vary", image=image, strength=0.4)
    expected = editing.vary(digits, seven, 0.4, steps=3, seed=(5,), label="7")
    assert np.array_equal(results(varied)[0], expected[0])
    extend = {"left": 0, "right": 9, "top": 4}
    wider = desk.run(mode="outpaint", image=image, extend=extend)
    found = results(wider)
    assert np.array_equal(
        found[0], editing.outpaint(digits, seven, extend, steps=3, seed=(5,), label="7")[0]
    )
    assert found.shape == (2, 1, 32, 37)
    assert np.array_equal(found[1, :, 4:, :28], seven)
    about = files.read_json(wider / "about.json")
    assert (about["width"], about["height"], about["seeds"]) == (37, 32, [5, 6])
    assert "37x32 pixels of the image are resized" in " ".join(about["said"])
    # One goes on from a variant.
    on = desk.run(mode="vary", parent=wider.name, variant=2, strength=0.0, n=1)
    assert np.array_equal(results(on)[0], found[1])
    looked = files.read_json(desk.run(mode="look") / "about.json")
    assert looked == {
        "modes": ["draw", "vary", "inpaint", "outpaint"], "sides": [28, 28], "state": [28, 28],
        "told": False,
    }  # fmt: skip


def saved(place, codec, conditions, channels, patch):
    """A small model of grey images of 8 x 8 with random weights, as a folder."""
    torch.manual_seed(0)
    conditioner = Conditioner(conditions)
    net = UNet(
        in_channels=channels, channels=(16,), norm_groups=4, head_dim=16, patch=patch,
        inlets=conditioner.specs(),
    )  # fmt: skip
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    model = Pipeline(
        Denoiser(net, Linear(), Velocity()), codec, conditioner, (1, 8, 8), Sampling(steps=2)
    )
    model.save(place)
    return open_model(str(place))


@pytest.mark.slow
def test_a_model_of_instructions_follows_them_also_within_a_mask(desk, tmp_path, seven, soft):
    text = Text(learn_tokenizer(["make it red"]), 6, 32, 1)
    conditions = {"text": text, "source": Picture((1, 8, 8))}
    model = saved(tmp_path / "follows", Pixels(), conditions, 1, 2)
    how = {"model": "folder-follows", "mode": "instruct", "cond": {}, "instruct": "make it"}
    about = files.read_json(desk.run(**{**how, "mode": "look"}) / "about.json")
    assert (about["modes"][-1], about["told"]) == ("instruct", False)
    image = desk.upload(seven[0])
    found = results(desk.run(**how, image=image, image_guidance=2.0, guidance=3.0))
    expected = editing.instruct(
        model, seven, "make it", steps=3, seed=(5,), image_guidance=2.0, guidance=3.0
    )
    assert np.array_equal(found[0], expected[0])
    within = results(desk.run(**how, image=image, mask=desk.upload(soft)))
    assert np.array_equal(within[0, 0][soft == 0], seven[0][soft == 0])
    assert (within[0, 0] != seven[0]).any()
    with pytest.raises(UsageError, match="say what is to change"):
        desk.run(**{**how, "instruct": " "}, image=image)


@pytest.mark.slow
def test_a_model_in_latents_and_one_that_is_told_the_mask(desk, tmp_path, seven, soft):
    torch.manual_seed(0)
    coder = Autoencoder(in_channels=1, latent_channels=2, channels=(8,), norm_groups=4)
    latent = saved(tmp_path / "latent", KLAutoencoder(coder), {}, 2, 1)
    how = {"model": "folder-latent", "cond": {}, "image": desk.upload(seven[0])}
    about = files.read_json(desk.run(**how, mode="look") / "about.json")
    assert (about["sides"], about["state"]) == ([8, 8], [4, 4])
    found = results(desk.run(**how, mask=desk.upload(soft)))
    expected = editing.inpaint(latent, seven, soft / np.float32(255), steps=3, seed=(5,))
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1, 0][soft == 0], seven[0][soft == 0])
    assert len(desk.shown) == 2
    saved(tmp_path / "told", Pixels(), {"masked": Masked((1, 8, 8))}, 1, 2)
    how |= {"model": "folder-told", "mask": desk.upload(soft)}
    assert files.read_json(desk.run(**how, mode="look") / "about.json")["told"]
    with pytest.raises(UsageError, match="threshold"):
        desk.run(**how)
    found = results(desk.run(**how, threshold=0.5))
    assert np.array_equal(found[0, 0][soft < 128], seven[0][soft < 128])


def test_a_cancel_takes_effect_within_a_step(desk, seven, soft):
    image, mask = desk.upload(seven[0]), desk.upload(soft)
    with pytest.raises(CancelledError, match="after step 1 of 9"):
        desk.run(stop=1, image=image, mask=mask, steps=9)
    assert desk.told[-1] == (1, 9)
    assert not list(desk.jobs.glob("*/edited*.png"))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"image": "../../etc"}, MissingError, "no picture '../../etc'"),
        ({"image": "0" * 24}, MissingError, "upload it again"),
        ({"mask": "f" * 24}, MissingError, "upload it again"),
        ({"model": "run-none"}, MissingError, "no model 'run-none'"),
        ({"parent": "../x"}, MissingError, "no edit '../x'"),
        ({"parent": "000009-edit"}, MissingError, "no edit '000009-edit'"),
        ({"image": None}, UsageError, "no picture to edit"),
        ({"mask": None}, UsageError, "nothing is painted"),
        ({"n": 0}, UsageError, "give 1 to 32 variants"),
        ({"strength": 1.5}, UsageError, "from 0 (keep) to 1 (anew)"),
        ({"mode": "instruct"}, UsageError, "this model cannot instruct; it can draw"),
        ({"mode": "vary"}, UsageError, "mask is for a part of a picture"),
        ({"extend": {"left": 3}}, UsageError, "extend goes with outpaint"),
        ({"mode": "outpaint", "mask": None}, UsageError, "by how many pixels"),
        ({"extend": {"left": 10**9}, "mode": "outpaint"}, UsageError, "up to 4096 pixels"),
        ({"blend": 10**400}, UsageError, "give 0 to 4096"),
        ({"padding": -1, "only_masked": True}, UsageError, "padding = -1: give 0 to 4096"),
        ({"jumps": 10**9}, UsageError, "jumps = 1000000000: give 0 to 100"),
        ({"mode": "outpaint", "extend": {"up": 3}}, UsageError, "no edge 'up'"),
        ({"mask": "empty"}, UsageError, "nothing would be made anew"),
        ({"mask": "wide"}, UsageError, "give a mask of the image's size"),
        ({"cond": {"nothing": "1"}}, UsageError, "nothing"),
    ],
)
def test_what_makes_no_sense_is_said(desk, seven, soft, settings, error, words):
    ids = {
        "empty": desk.upload(np.zeros_like(soft)),
        "wide": desk.upload(np.full((28, 30), 255, np.uint8)),
    }
    given = {"image": desk.upload(seven[0]), "mask": desk.upload(soft), **settings}
    given["mask"] = ids.get(given["mask"], given["mask"])
    with pytest.raises(error) as found:
        desk.run(**given)
    assert words in str(found.value)
    assert json.dumps(str(found.value)).count("\\n") == 0
