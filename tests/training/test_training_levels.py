"""The loss by noise level is what was seen there, and nothing that is trained on changes for it."""

import math

import pytest
import torch
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist import runs
from demist.config import update
from demist.core import Denoiser, Gaussian, Linear, Velocity
from demist.objectives import Uniform
from demist.runs import LEVELS, checkpoint
from demist.training import run as run_module
from demist.training.batches import Batch
from demist.training.fit import Denoising
from demist.training.levels import recorded
from demist.training.run import train


class Zero(torch.nn.Module):
    def forward(self, x, t):
        return 0 * x


def test_each_loss_is_at_its_level():
    objective = Denoising(Uniform())
    levels, model = recorded(objective), Denoiser(Zero(), Linear(), Velocity())
    u = torch.tensor([0.001, 0.2, 0.21, 0.5, 0.9, 0.9999], dtype=torch.float64)
    x0 = torch.linspace(-1, 1, 12).reshape(6, 2)
    batch = Batch(x0, {}, u, Gaussian(), 0)
    loss = levels(model, batch)
    log_snr = Linear().log_snr(objective.times(u, Linear())).tolist()
    wanted = [[] for _ in LEVELS[1:]]
    for value, at in zip(loss.tolist(), log_snr, strict=True):
        place = sum(at > edge for edge in LEVELS[1:-1])
        wanted[place].append(value)
    found = levels.take()
    assert len(found) == len(LEVELS) - 1
    assert sum(map(len, wanted)) == 6
    for mean, values in zip(found, wanted, strict=True):
        assert (mean is None) == (not values)
        if values:
            assert mean == pytest.approx(math.fsum(values) / len(values), rel=1e-4)
    assert levels.take() == []


@pytest.mark.slow
def test_training_is_the_same_bit_for_bit(tmp_path, monkeypatch):
    def weights(name):
        config = update(CONFIG, {"runs": str(tmp_path / name), "log_every": "2"})
        run = train(config, data=pictures(), quiet=True)
        return run, checkpoint.load_newest(run.checkpoints, pytest.fail, repair=False)

    run, recorded_run = weights("with")
    monkeypatch.setattr(run_module, "recorded", lambda objective: objective)
    bare, plain = weights("without")
    for part in checkpoint.PARTS:
        for name, value in recorded_run.parts[part].items():
            assert torch.equal(value, plain.parts[part][name]), (part, name)
    rows, others = runs.read_metrics(run.metrics), runs.read_metrics(bare.metrics)
    assert [row["loss"] for row in rows] == [row["loss"] for row in others]
    assert all(len(row["loss_by_level"]) == len(LEVELS) - 1 for row in rows)
    assert not any("loss_by_level" in row for row in others)


@pytest.mark.parametrize(
    "what",
    [*(pytest.param(w, marks=pytest.mark.slow) for w in ("save", "sample")), "stop"],
)
def test_wishes_are_done_soon(tmp_path, monkeypatch, what):
    real = run_module.fit

    def fit(*args, **kwargs):
        for state in real(*args, **kwargs):
            if state.step == 2:
                (run,) = runs.all_runs(tmp_path)
                runs.ask(run, what)
            yield state

    class Always(run_module.Cadence):
        def due(self, step):
            return self._seconds == 1 or super().due(step)

    monkeypatch.setattr(run_module, "fit", fit)
    monkeypatch.setattr(run_module, "Cadence", Always)
    config = update(CONFIG, {"runs": str(tmp_path), "sample_every": "1h", "save_every": "1h"})
    run = train(config, data=pictures(), quiet=True)
    steps = checkpoint.steps(run.checkpoints)
    assert (what == "save") == (2 in steps and 6 in steps)
    assert run.image(2).exists() == (what == "sample")
    assert run.status()["state"] == ("stopped" if what == "stop" else "done")
    if what == "stop":
        assert "control" in run.status()["message"]
        assert steps == [2]
        monkeypatch.setattr(run_module, "fit", real)
        runs.take(run)
        again = train(run.config(), run, resume=True, quiet=True, data=pictures())
        assert again.status()["state"] == "done"
