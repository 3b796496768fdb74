"""Bits per dimension of a tiny, untrained model through the command's function."""

import numpy as np
import pytest
import torch

import demist
from demist.config import TrainConfig, update
from demist.data import Dataset
from demist.errors import DemistError, UsageError
from demist.measuring.likelihood import measure_likelihood, settled
from demist.training.build import build

TINY = {"channels_per_level": (8,), "attention_levels": (), "mid_attention": False, "patch": 2,
        "head_dim": 8, "precision": "fp32"}  # fmt: skip


def images(n=6):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)
    return Dataset(x, np.arange(n) % 2, ("a", "b"))


@pytest.mark.slow
def test_bits_per_dimension_of_a_model_that_predicts_nothing():
    """At first the network outputs 0, so both numbers follow from the formula of the loss."""
    data = images()
    pipeline = build(update(TrainConfig(), TINY), data).pipeline
    report = measure_likelihood(pipeline, data, 4, seed=0)
    again = measure_likelihood(pipeline, data, 4, seed=0)
    assert report == again
    found = report.to_json()
    assert found["images"] == 4
    # Velocity 0 means x_t does not move: the density is that of the prior, N(0, 1) on [-1, 1].
    bits = (0.5 * np.log(2 * np.pi) + 0.5 / 3 - np.log(2 / 255)) / np.log(2)
    assert found["bits_per_dim_ode"] == pytest.approx(bits, abs=0.1)
    assert found["bits_per_dim_bound"] > 8
    assert "4 test images" in str(report)


@pytest.mark.slow
def test_the_function_finds_model_and_data(tmp_path, monkeypatch):
    """A saved model and data on the disk give the same as both in memory."""
    data = images(40)
    pipeline = build(update(TrainConfig(), TINY), data).pipeline
    monkeypatch.chdir(tmp_path)
    pipeline.save("model")
    np.savez("data.npz", x=data.x)
    found = demist.likelihood("model", n=2, data="data.npz", seed=1)
    _, test = demist.data.train_and_test("data.npz")
    assert len(test) == 4
    assert found == measure_likelihood(pipeline, test, 2, seed=1)
    with pytest.raises(UsageError, match="does not say where its data is"):
        demist.likelihood("model")


def test_points_have_no_bits_per_dimension():
    data = Dataset(np.zeros((8, 2), dtype=np.float32) + np.arange(8, dtype=np.float32)[:, None])
    pipeline = build(update(TrainConfig(), {"width": 8, "depth": 1}), data).pipeline
    with pytest.raises(UsageError, match="this model makes points"):
        measure_likelihood(pipeline, data, 4, seed=0)


def test_what_is_not_settled_is_not_printed():
    fine, bits = torch.tensor([-100.0, -120.0]), np.log(2) * 64
    assert settled(fine, fine + 0.01 * bits, 64) == pytest.approx(0.01, rel=1e-4)
    with pytest.raises(DemistError, match=r"changes it by 0.1 bits per dimension, more than 0.02"):
        settled(fine, fine - 0.1 * bits, 64)
    with pytest.raises(DemistError, match="nan"):
        settled(fine, fine * float("nan"), 64)
