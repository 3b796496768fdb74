"""A classifier of noisy images: learns, is kept, and leads samples to its class."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import one_thread  # noqa: F401

from demist.cli import main
from demist.codecs import Pixels
from demist.conditions import Conditioner, Label
from demist.core import VP, Denoiser, Linear
from demist.core.exact import Exact, points
from demist.core.parameterization import X0
from demist.data import Dataset
from demist.drawing import read_metadata
from demist.errors import DataError, MissingError, UsageError
from demist.guidance import Classifier
from demist.model.noisy_classifier import NoisyClassifier
from demist.model.pipeline import Pipeline
from demist.networks import UNet
from demist.samplers import sample, uniform
from demist.studio.recipes import restored
from demist.training.noisy_classifier import accuracy_at, train_noisy_classifier


def shades(n=64):
    """Dark images and light images."""
    labels = np.arange(n) % 2
    x = np.random.default_rng(0).integers(0, 40, (n, 1, 8, 8)) + 200 * labels[:, None, None, None]
    return Dataset(x.astype(np.uint8), labels, ("dark", "light"), name="shades")


@pytest.fixture(scope="module")
def pipeline():
    net = UNet(channels=(16,), norm_groups=4, head_dim=16)
    return Pipeline(Denoiser(net, VP(), X0(), input_std=0.8), Pixels(), Conditioner(), (1, 8, 8))


@pytest.fixture(scope="module")
def trained(pipeline):
    torch.set_num_threads(1)
    *_, last = train_noisy_classifier(pipeline, shades(), steps=40, batch_size=32)
    return last.model.eval()


def test_learns_through_noise_but_not_through_all_of_it(trained, pipeline):
    assert accuracy_at(trained, pipeline, shades(200), 0.1) > 0.97
    assert accuracy_at(trained, pipeline, shades(200), 0.4) > 0.9
    assert accuracy_at(trained, pipeline, shades(200), 1.0) < 0.75
    p = trained(torch.randn(3, 1, 8, 8), torch.tensor([0.1, 0.5, 0.9]))
    torch.testing.assert_close(p.exp().sum(1), torch.ones(3))


def test_leads_an_unconditional_model_to_its_class(trained):
    """The exact denoiser of the data set gives both classes; guided, only one."""

    class AsPictures:
        schedule = VP()
        inner = Exact(points(torch.from_numpy(shades().x / 127.5 - 1).flatten(1)), VP())

        def __call__(self, x, t, **cond):
            p = self.inner(x.flatten(1), t)
            x0, eps = (c.reshape(x.shape) for c in (p.x0, p.eps))
            return type(p)(x0, eps, p.alpha, p.sigma)

    x = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    light = sample(AsPictures(), x, uniform(16)).mean((1, 2, 3)) > 0
    assert 4 < light.sum() < 20
    for name, share in (("light", 1.0), ("dark", 0.0)):
        guided = Classifier(AsPictures(), trained.towards(name), 3.0)
        light = sample(guided, x, uniform(16)).mean((1, 2, 3)) > 0
        assert abs(float(light.double().mean()) - share) < 0.1


def test_kept_and_read_back(trained, tmp_path):
    path = tmp_path / "c.safetensors"
    trained.save(path)
    again, x = NoisyClassifier.load(path), torch.randn(2, 1, 8, 8)
    assert torch.equal(again(x, torch.tensor(0.3)), trained(x, torch.tensor(0.3)))
    assert again.classes == ("dark", "light")
    with pytest.raises(UsageError, match="no class 'red'"):
        again.towards("red")
    with pytest.raises(MissingError, match="no classifier at"):
        NoisyClassifier.load(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="no classifier of noisy images"):
        NoisyClassifier.load(tmp_path / "text")


def test_guides_only_the_model_it_was_made_for(trained, pipeline):
    trained.require_fits(pipeline)
    other = replace(pipeline, denoiser=Denoiser(pipeline.denoiser.net, Linear(), X0()))
    with pytest.raises(UsageError, match=r"noise of another schedule.*--noise-of"):
        trained.require_fits(other)
    for shape in ((3, 8, 8), (1, 7, 8)):
        with pytest.raises(UsageError, match=r"images of 1 channels in patches of 2, the model"):
            trained.require_fits(replace(pipeline, shape=shape))


def test_from_the_command_line(pipeline, tmp_path, monkeypatch, capsys):
    """Learned from a folder of pictures, and then leading a model that is told nothing else."""
    monkeypatch.chdir(tmp_path)
    data = shades(40)
    for i, (x, label) in enumerate(zip(data.x, data.labels, strict=True)):
        Path(data.classes[label]).mkdir(exist_ok=True)
        Image.fromarray(x[0]).save(Path(data.classes[label]) / f"{i}.png")
    for name in data.classes:
        Path("data").mkdir(exist_ok=True)
        Path(name).rename(Path("data") / name)
    told = Conditioner({"label": Label(data.classes)})
    net = UNet(channels=(16,), norm_groups=4, head_dim=16, num_classes=2)
    replace(pipeline, denoiser=Denoiser(net, VP(), X0()), conditioner=told).save("model")
    short = partial(train_noisy_classifier, steps=3)
    monkeypatch.setattr("demist.training.noisy_classifier.train_noisy_classifier", short)
    line = "classifier data --channels 1 --noise-of model --out c.safetensors"
    assert main(line.split()) == 0
    assert "recognises held-out images through the noise" in capsys.readouterr().out

    def drawn(more):
        line = f"sample model --n 2 --steps 2 --out x.png --arrays x.npy --force {more}"
        assert main(line.split()) == 0
        return np.load("x.npy")

    led = "--classifier c.safetensors --classifier-scale 50 --classifier-class"
    light, dark = drawn(f"{led} light"), drawn(f"{led} dark")
    assert not np.array_equal(light, dark)
    recipe = read_metadata("x.png")["sampling"]
    assert "label" not in recipe
    told = recipe["classifier"]
    assert (told["file"], told["class"], told["scale"]) == ("c.safetensors", "dark", 50)
    said = restored({"model": {}, "sampling": recipe}, [])["missing"]
    assert "It was given a classifier that guided it, which the studio does not know." in said
    drawn(f"{led} light --class dark")
    assert read_metadata("x.png")["sampling"]["label"] == ["dark", "dark"]
    line = "sample model --classifier c.safetensors --classifier-class red"
    assert main(line.split()) == 64
    assert "no class 'red'. There are: dark, light" in capsys.readouterr().err


def test_data_that_does_not_fit_is_refused(pipeline):
    with pytest.raises(UsageError, match="no classes"):
        next(train_noisy_classifier(pipeline, Dataset(shades().x)))
    big = Dataset(np.zeros((4, 1, 16, 16), np.uint8), np.arange(4) % 2, ("a", "b"))
    with pytest.raises(UsageError, match="the data has"):
        next(train_noisy_classifier(pipeline, big))
