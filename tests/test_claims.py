"""The claims' own instruments: baselines that are what they say, and verdicts that follow."""

import importlib
import json
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


@pytest.mark.slow
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


def test_a_cloud_over_the_modes_is_named(module):
    modes = module("modes")
    values = {name: {"8-ring": [8, 8]} for name in modes.NAMES}
    stray = {name: {"8-ring": [0.1, 0.2]} for name in modes.NAMES} | {"VAE": {"8-ring": [0.9, 0.8]}}
    said = modes.sentence(values, values, stray, 0.1)
    assert "VAE 8.0 ± 0.0 (KL 8.000 ± 0.000, stray 85 %)" in said
    assert said.endswith("the count says little: VAE on the 8-ring.")


def test_the_guidance_must_gain_more_than_chance(module):
    guidance = module("guidance")

    def verdict(*distances):
        rows = [[[d + seed, 0.5, 0.5, 0.5, 9] for d in distances] for seed in range(3)]
        numbers = {"scales": [0.0, 1.0, 2.0, 3.0], guidance.METRICS: rows}
        rows[0][2][0] += 1
        return guidance.judge(numbers).verdict

    assert verdict(9, 8, 2, 7) == "holds"
    assert verdict(9, 8, 7.9, 9) == "fails"  # within the spread
    assert verdict(9, 8, 7, 2) == "fails"  # the largest scale is best: no spot


def test_the_page_has_a_row_for_every_claim(module):
    run = module("run")
    row = {"numbers": {"microseconds": {}, "fdr": {}}, "mode": "fast", "date": "d", "cpu": 1,
           "wall": 2, "machine": "m", "note": "shared"}  # fmt: skip
    speed = module("speed")
    for kind in (*(f"diffusion, {n}" for n in speed.STEPS), *speed.ONE_PASS, "autoregressive"):
        row["numbers"]["microseconds"][kind] = [2.0, 2.0]
        row["numbers"]["fdr"][kind] = [5.0, 7.0]
    text = run.table({"speed": row})
    assert f"| viii | [{speed.CLAIM}](speed.py) | **fails** |" in text
    assert text.count("not measured yet") == 7
    assert "m; shared" in text
    assert "no number of steps is better than the one-pass models" in text
    assert f"Rule: {speed.RULE}." in text


def test_the_page_and_its_figures_follow_from_the_results(module, monkeypatch, tmp_path):
    run, claim = module("run"), module("claim")
    found = json.loads(run.RESULTS.read_text())
    assert run.table(found) == (CLAIMS / "README.md").read_text()
    monkeypatch.setattr(claim, "FIGURES", tmp_path)
    for name in run.CLAIMS:
        program = module(name)
        assert (CLAIMS / f"{name}.png").exists()
        if hasattr(program, "draw"):
            claim.save(program.draw(found[name]["numbers"]), name)
    assert len(list(tmp_path.iterdir())) == len(run.CLAIMS) - 1  # modes keeps no samples
