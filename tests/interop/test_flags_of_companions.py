"""`demist edit --ip-adapter` and `demist evaluate --control`: flags do what the functions do."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demist.cli import main
from demist.commands.sampling import ModelOptions
from demist.conditions import Control, ImageEncoder
from demist.data import load
from demist.editing import vary
from demist.evaluation.ruler import Ruler
from demist.interop.save import write_network
from demist.measuring import evaluate
from demist.measuring.candidate import Candidate
from demist.measuring.sets import bucket_seed
from demist.networks.published.image_prompt import ImageTokens

from .test_control import control_net, filled, image, pipeline  # noqa: F401 (a fixture)
from .test_ip_adapter import Vision, save, tensors_of


def draw(name, seed):
    Image.fromarray(image(seed).transpose(1, 2, 0)).save(name)


def seen(name):
    return np.asarray(Image.open(name)).transpose(2, 0, 1)


@pytest.fixture
def model(pipeline, tmp_path, monkeypatch):  # noqa: F811
    """The tiny model, whatever is asked for, in a folder with images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ModelOptions, "open", lambda *given: pipeline)
    for seed, name in enumerate(("photo.png", "style.png")):
        draw(name, seed)
    return pipeline


def test_an_edit_looks_at_the_image_of_a_flag(model, monkeypatch):
    save("style.safetensors", tensors_of(ImageTokens(3, 4, 12)))
    Path("encoder").mkdir()
    Path("encoder/config.json").write_text(json.dumps({"projection_dim": 3}))
    monkeypatch.setattr(ImageEncoder, "from_folder", lambda folder: ImageEncoder("here", Vision))
    line = ["edit", "m", "photo.png", "--prompt", "house", "--steps", "2", "--strength", "0.9"]

    def edited(name, given=None):
        more = () if given is None else ("--ip-adapter", f"style.safetensors={given}")
        encoder = () if given is None else ("--image-encoder", "encoder")
        assert main([*line, *more, *encoder, "--out", name]) == 0
        return seen(name)

    plain, led = edited("plain.png"), edited("led.png", "style.png:0.7")
    adapted = model.with_ip_adapter("style.safetensors", 0.7, "encoder")
    how = {"strength": 0.9, "steps": 2, "text": "house"}
    wanted = vary(adapted, image(), image_prompt=image(1), **how)
    assert (led == wanted[0]).all()
    assert (led != plain).mean() > 0.1
    assert (edited("none.png", "style.png:0") == plain).all()


def test_a_model_is_measured_with_its_control_image(model, monkeypatch, capsys):
    folder = Path("pages/train")
    folder.mkdir(parents=True)
    for i in range(4):
        draw(folder / f"{i}.png", 10 + i)
    write_network(Path("net"), filled(control_net()))
    data = load("pages")
    monkeypatch.setattr(evaluate, "ruler_for", lambda *given: Ruler(data, data))
    candidate = Candidate("m", Path("m"), model, "fp32", None, Path())
    monkeypatch.setattr(ModelOptions, "candidate", lambda *given: candidate)
    line = ["evaluate", "m", "--n", "2", "--seeds", "1", "--shard", "1/1", "--steps", "2"]

    def made(*flags):
        there = set(Path().glob("evaluation-*"))
        assert main([*line, "--batch-size", "1", *flags]) == 0, capsys.readouterr().err
        (new,) = set(Path().glob("evaluation-*")) - there
        return np.load(new / "0-00000.npy")

    plain, led = made(), made("--control", "net=style.png:0.7")
    how = {"steps": 2, "batch_size": 1, "seed": bucket_seed(0, 0)}
    wanted = model.controlled(["net"]).sample(2, control=Control(image(1), 0.7), **how)
    assert (plain == model.sample(2, **how)).all()
    assert (led == wanted).all()
    assert (led != plain).mean() > 0.1
    # Samples of another scale have a folder of their own.
    assert (made("--control", "net=style.png:0") == plain).all()
