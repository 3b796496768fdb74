"""Nearest training items of samples of a run: copies are seen, and held-out items are natural."""

import json

import numpy as np
import pytest
import torch

from demist import runs
from demist.codecs import Standardize
from demist.conditions import Conditioner, Label
from demist.config import TrainConfig, update
from demist.core import AngleClock, Denoiser, Linear, Velocity
from demist.data import Dataset
from demist.errors import UsageError
from demist.model import Pipeline
from demist.networks import MLP
from demist.studio.jobs import nearest
from demist.studio.telling import CancelledError, Tell
from demist.training.conditions import examples


@pytest.fixture
def images(tmp_path):
    """Sixty small images, of which ten are held out."""
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=x[:50], x_test=x[50:])
    return x


def pipeline_of(shape):
    codec = Standardize((0.0,) * int(np.prod(shape)), 1.0)
    net = MLP(features=shape[0], width=8, depth=1)
    return Pipeline(
        Denoiser(net, Linear(), Velocity(), clock=AngleClock()).eval(), codec, Conditioner({}),
        shape, facts={"step": 7},
    )  # fmt: skip


def made(tmp_path, monkeypatch, path, shape, samples):
    """What the job says of samples of a run on data at `path`."""
    root, out = tmp_path / "runs", tmp_path / "out"
    out.mkdir()
    runs.create(root, "some", update(TrainConfig(), {"path": str(path)}))
    monkeypatch.setenv("DEMIST_STUDIO_RUNS", str(root))
    monkeypatch.setattr(nearest, "open_model", lambda place: pipeline_of(shape))
    monkeypatch.setattr(nearest, "drawn", lambda pipeline, data, count, tell: samples)
    steps = []
    tell = Tell("000001-nearest", out, lambda header, data: steps.append(header))
    settings = nearest.Settings(run="0001-some", count=len(samples), pairs=4)
    nearest.run(settings, out, tell)
    assert steps[-1]["step"] == steps[-1]["of"]
    text = (out / "nearest.json").read_text()
    json.loads(text, parse_constant=pytest.fail)
    return json.loads(text), out


def test_copies_are_seen(images, tmp_path, monkeypatch):
    found, out = made(tmp_path, monkeypatch, tmp_path / "data.npz", (1, 8, 8), images[20:30])
    assert (found["train"], found["held_out"], found["samples"], found["step"]) == (50, 10, 10, 7)
    assert (found["ratio"], found["closer"]) == (0, 1)
    assert [pair["items"][0] for pair in found["pairs"]] == [20, 21, 22, 23]
    assert all(pair["nearer_than"] == 1 for pair in found["pairs"])
    apart = np.square(images[50:, None].astype(float) - images[:50]).mean(axis=(2, 3, 4))
    assert found["natural"] == pytest.approx(np.sort(np.sqrt(apart.min(axis=1))))
    assert (out / "nearest.png").stat().st_size > 500


def test_what_was_held_out_is_natural(images, tmp_path, monkeypatch):
    found, _ = made(tmp_path, monkeypatch, tmp_path / "data.npz", (1, 8, 8), images[50:])
    assert (found["ratio"], found["closer"]) == (1, 0.5)
    assert found["near"] == found["natural"]


def test_points_are_told_as_numbers(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    np.save(tmp_path / "points.npy", x)
    samples = x[:5] + np.array([[3e-3, 4e-3]], np.float32)
    found, out = made(tmp_path, monkeypatch, tmp_path / "points.npy", (2,), samples)
    assert (found["held_out"], found["closer"], found["train"]) == (0, None, 30)  # too few
    for pair in found["pairs"]:
        assert pair["distances"][0] == pytest.approx(5e-3, rel=1e-3)
        assert pair["near"][0] == x[pair["sample"]].tolist()
    assert not (out / "nearest.png").exists()


def test_a_share_that_training_left_out_is_held_out(tmp_path):
    x = np.arange(400, dtype=np.float32).reshape(200, 2)
    np.save(tmp_path / "points.npy", x)
    options = update(TrainConfig(), {"path": str(tmp_path / "points.npy")}).data
    train, test = nearest.learned_and_left(options)
    assert (len(train), len(test)) == (180, 20)
    together = np.concatenate([train.x, test.x])
    assert np.array_equal(together[together[:, 0].argsort()], x)


def test_samples_are_those_of_the_run_s_own_pages(tmp_path):
    net = MLP(width=8, depth=1, inlets={"label": {"route": "vector", "classes": 2}})
    denoiser = Denoiser(net, Linear(), Velocity(), clock=AngleClock()).eval()
    label = Label(("a", "b"), 0.1)
    pipeline = Pipeline(denoiser, Standardize((0.0, 0.0), 1.0), Conditioner({"label": label}), (2,))
    torch.manual_seed(0)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = np.zeros((40, 2), np.float32)
    data = Dataset(x, labels=np.arange(40) % 2, classes=("a", "b"))
    tell = Tell("1", tmp_path, lambda header, data: None)
    found = nearest.drawn(pipeline, data, 12, tell)
    assert np.array_equal(found, pipeline.sample(12, **examples(pipeline.conditioner, data, 12)))
    tell.cancel()
    with pytest.raises(CancelledError):
        nearest.drawn(pipeline, data, 12, tell)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"path": "hf:someone/data"}, "fetches nothing"), ({"buckets": "8x8,8x16"}, "several shapes")],
)
def test_data_elsewhere_and_of_several_shapes_is_refused(options, words, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(UsageError, match=words):
        nearest.require_near(update(TrainConfig(), options).data, "0001-some")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    nearest.require_near(update(TrainConfig(), {"path": "hf:someone/data"}).data, "0001-some")


@pytest.mark.parametrize("settings", [{"pairs": 0}, {"count": 4}, {"count": 513}])
def test_settings_out_of_range_are_said(settings, tmp_path):
    tell = Tell("1", tmp_path, lambda header, data: None)
    with pytest.raises(UsageError, match="1 to 16 pairs"):
        nearest.run(nearest.Settings(run="0001-some", **settings), tmp_path, tell)
