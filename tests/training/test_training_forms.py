"""Networks of published form learn here, with a table of noise levels and with shifted flow."""

import numpy as np
import pytest
from tiny import CONFIG, one_thread  # noqa: F401

from demist.config import update
from demist.data import Dataset
from demist.model.pipeline import Pipeline
from demist.runs import read_metrics
from demist.training.run import train

WAYS = {
    "sd": {"schedule": "ddpm-scaled-linear", "parameterization": "eps", "clock": "index",
           "times": "uniform", "weight": "simple"},
    "mmdit": {"schedule": "linear:shift=2", "parameterization": "velocity", "clock": "flow",
              "times": "logit-normal"},
}  # fmt: skip


def pages(n=32):
    """A dark or a light page, as its caption says."""
    light = np.arange(n) % 2
    x = np.broadcast_to(30 + 190 * light[:, None, None, None], (n, 1, 8, 8)).astype(np.uint8)
    return Dataset(x.copy(), texts=tuple(np.array(["dark", "light"])[light]), name="pages")


@pytest.mark.slow
@pytest.mark.parametrize("network", WAYS)
def test_words_are_learned_and_another_size_is_drawn(tmp_path, network):
    config = update(
        CONFIG,
        {"network": network, "runs": str(tmp_path), "flip": False, "width": 16, "depth": 2,
         "text_width": 32, "text_depth": 1, "steps": 60, "lr": 5e-3, "batch_size": 8, "ema": 0.9,
         "log_every": "10", "sample_count": 0, "head_dim": 8, "text_length": 2,
         **WAYS[network]},
    )  # fmt: skip
    run = train(config, data=pages(), quiet=True)
    found = [line["loss"] for line in read_metrics(run.metrics)]
    assert found[-1] < 0.25 * found[0]
    model = Pipeline.from_run(run)
    made = model.sample(4, text=["dark", "light"] * 2, steps=8, size=(8, 16))
    assert made.shape == (4, 1, 8, 16)
    means = made.reshape(4, -1).mean(1)
    assert means[0] < 110 < 150 < means[1]
