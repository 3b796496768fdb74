"""A model and data that train in no time."""

import numpy as np
import pytest
import torch

from demist.config import TrainConfig, update
from demist.data import Dataset

CONFIG = update(
    TrainConfig(),
    {
        "channels_per_level": [8, 16],
        "attention_levels": [],
        "head_dim": 8,
        "norm_groups": 2,
        "patch": 2,
        "dropout": 0.1,
        "flip": True,
        "batch_size": 8,
        "lr": 1e-3,
        "warmup": 5,
        "precision": "fp32",
        "steps": 6,
        "log_every": "100",
        "sample_steps": 2,
        "sample_count": 4,
    },
)


@pytest.fixture(autouse=True)
def one_thread(_reproducible):
    """Tensors this small gain nothing from two threads, and lose much on a busy machine."""
    torch.set_num_threads(1)


def pictures(n=20, classes=("a", "b", "c"), size=8):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % len(classes)
    x = rng.integers(0, 20, (n, 1, size, size)) + 100 * labels[:, None, None, None]
    return Dataset(x.astype(np.uint8), labels, tuple(classes), name="tiny", source="made up")


def points(n=64):
    x = np.random.default_rng(0).normal([3, -1], 0.5, (n, 2)).astype(np.float32)
    return Dataset(x, name="dots")
