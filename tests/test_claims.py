"""The claims' own instruments: baselines that are what they say, and verdicts that follow."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

CLAIMS = Path(__file__).parents[1] / "benchmarks" / "claims"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(CLAIMS))
    pytest.importorskip("matplotlib")
    return importlib.import_module


def test_the_autoregressive_model_looks_only_back(module):
    made = module("baselines").MADE(5, 32, 7, -1.0, 1.0)
    x = torch.rand(1, 5) * 2 - 1
    jacobian = torch.autograd.functional.jacobian(lambda v: made(v)[0].sum(1), x)[:, 0]
    assert torch.equal(jacobian.triu(), torch.zeros(5, 5))
    assert (jacobian.tril(-1)[1:].abs().sum(1) > 0).all()


def test_its_bins_cover_the_range(module):
    made = module("baselines").MADE(2, 8, 4, -1.0, 1.0)
    assert made.bin(torch.tensor([-1.0, -0.51, -0.49, 0.0, 0.99, 1.0])).tolist() == [
        0,
        0,
        1,
        2,
        3,
        3,
    ]
    x = made.sample(500, 0)
    assert x.min() >= -1
    assert x.max() <= 1


def test_every_baseline_learns_two_points(module):
    """Data at (1, 1) and (-1, -1): the samples must be nearer to them than to the other corners."""
    b = module("baselines")
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], (2000, 1))
    data = (sign + 0.05 * rng.standard_normal((2000, 2))).astype(np.float32)
    rivals = {
        2000: lambda: b.GAN(2, 32, modern=True),  # an update costs four times as much
        1500: lambda: b.VAE(2, 32),
        400: lambda: b.MADE(2, 64, 32, -1.3, 1.3),
    }
    for updates, make in rivals.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = make()
            model.fit(data, 0, 128 * 3 * updates * b.parameters(model))
        x = model.sample(400, 0)
        assert (np.sign(x[:, 0]) == np.sign(x[:, 1])).mean() > 0.85, type(model)


def test_parameters_are_matched(module):
    b = module("baselines")
    for make in (lambda w: b.GAN(2, w), lambda w: b.VAE(2, w), lambda w: b.MADE(2, w, 64, -1, 1)):
        assert b.parameters(b.matched(make, 30_000)) == pytest.approx(30_000, rel=0.05)


def test_the_work_is_spent_and_no_more(module):
    b = module("baselines")
    model, seen = b.VAE(2, 8), []
    with torch.random.fork_rng():
        model.fit(np.zeros((10, 2), np.float32), 0, 1e6, lambda _, done: seen.append(done))
    step = 128 * 3 * b.parameters(model) / 1e6
    assert 1 <= seen[-1] < 1 + step
    assert len(seen) == int(np.ceil(1 / step))


def test_speedup_interpolates(module):
    ddim = module("ddim")
    ours, theirs = np.full(8, 4.0), np.array([32.0, 16.0, 8.0, 2.0, 1, 1, 1, 1])
    # From 8 at 20 steps to 2 at 50: 4 is half-way in the logarithms.
    assert ddim.speedup(ours, theirs) == pytest.approx(np.sqrt(20 * 50) / 10)
    assert ddim.speedup(ours, theirs + 10) == 100
    assert ddim.speedup(ours, theirs / 10) == 0.5


def test_verdicts_follow_from_the_numbers(module):
    modes = module("modes")

    def covered(diffusion, gan, modern):
        return {"diffusion": {"ring": [diffusion] * 2}, "GAN": {"ring": [gan] * 2},
                "R3GAN-style": {"ring": [modern] * 2}}  # fmt: skip

    assert modes.verdict(covered(8, 5, 6)) == "holds"
    assert modes.verdict(covered(8, 5, 8)) == "holds in part"
    assert modes.verdict(covered(8, 8, 8)) == "fails"


def test_the_table_has_a_row_for_every_claim(module):
    run = module("run")
    row = {"claim": "C", "verdict": "fails", "sentence": "S.", "figure": "f.png", "mode": "fast",
           "date": "d", "cpu": 1, "wall": 2, "machine": "m", "note": "shared"}  # fmt: skip
    text = run.table({"modes": row})
    assert "| iv | [C](modes.py) | **fails** | S. |" in text
    assert text.count("not measured yet") == 7
    assert "m; shared" in text
    assert "f.png" not in text  # there is no such figure
    assert all((CLAIMS / f"{name}.py").exists() for name in run.CLAIMS)
