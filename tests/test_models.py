"""The models that come with the package."""

import numpy as np
import pytest
from PIL import Image

from demist import Pipeline, data, zoo
from demist.cli import main
from demist.commands.sampling import ModelOptions


@pytest.mark.parametrize("name", zoo.NAMES)
def test_small_enough_to_come_along(name):
    files = [file for file in zoo.locate(name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3e6
    assert (zoo.locate(name) / "README.md").is_file()


def test_digits_are_what_was_asked_for():
    """Seven in ten by the nearest mean image, which tells four in five real digits right."""
    real = data.digits()
    means = np.stack([real.x[real.labels == k].mean(0) for k in range(10)]).reshape(10, -1)
    asked = [str(k) for k in range(10)] * 4
    made = Pipeline.load("digits").sample(40, label=asked, steps=8, guidance=2.0, seed=0)
    flat = made.reshape(40, 1, -1).astype(float)
    nearest = ((flat - means) ** 2).sum(-1).argmin(1)
    assert (nearest == np.array([int(k) for k in asked])).mean() > 0.7


def test_many_of_one_class_make_about_a_square(tmp_path):
    out = tmp_path / "threes.png"
    main(["sample", "digits", "--class", "3", "--n", "16", "--steps", "1", "--out", str(out)])
    with Image.open(out) as picture:
        width, height = picture.size
    assert 0.8 < width / height < 1.25


def test_a_folder_of_that_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert zoo.locate("digits").parent.name == "zoo"
    Pipeline.load("digits").save(tmp_path / "digits")
    assert zoo.locate("digits").resolve() == tmp_path / "digits"
    assert ModelOptions(device="cpu").open("digits").shape == (1, 28, 28)
