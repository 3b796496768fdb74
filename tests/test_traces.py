"""`demist sample --trace` and `demist trace`; the job of the microscope, and the code it gives."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demist.cli import main
from demist.codecs import Pixels, Standardize
from demist.conditions import Conditioner, Label
from demist.core import Denoiser, Linear, Velocity
from demist.core.schedule import VP
from demist.errors import MissingError, UsageError
from demist.measuring import films
from demist.model import Pipeline, Sampling, Trace, open_model
from demist.networks import MLP, UNet
from demist.studio.jobs import denoise
from demist.studio.telling import CancelledError, Tell
from demist.studio.worker import settings_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    net = UNet(channels=(8,), norm_groups=2, head_dim=4, num_classes=2, patch=2)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    label = Conditioner({"label": Label(("cat", "dog"))})
    pipeline = Pipeline(
        Denoiser(net, Linear(), Velocity()), Pixels(), label, (1, 8, 8),
        Sampling(steps=3, guidance=2.0), bucket=1,
    )  # fmt: skip
    return pipeline.save(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def file(model, tmp_path):
    return open_model(str(model)).trace(2, label="dog", steps=3).save(tmp_path / "a.safetensors")


def test_a_film_and_a_strip_show_the_state_beside_the_prediction(file):
    trace = Trace.load(file)
    pages = films.film(trace)
    assert len(pages) == 4
    assert len({page.size for page in pages}) == 1
    strip = films.strip(trace, [0, 3])
    assert strip.size[0] < films.strip(trace, [0, 1, 3]).size[0]
    # In the end both rows show the samples: the right column, above and below.
    cell = films._pages(trace, "x", [3])[0]
    assert np.array_equal(np.asarray(cell), np.asarray(films._pages(trace, "x0", [3])[0]))
    assert films.moments(20) == [0, 2, 4, 7, 9, 11, 13, 16, 18, 20]
    assert films.moments(2) == [0, 1, 2]
    points = Pipeline(
        Denoiser(MLP(features=2, width=8, depth=1), VP(), Velocity()), Standardize((0.0, 0.0), 1.0),
        Conditioner(), (2,),
    )  # fmt: skip
    assert len(films.film(points.trace(5, steps=2))) == 3


def test_a_trace_is_written_drawn_and_gone_on_from(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    how = [str(model), "--class", "dog", "--n", "2"]
    assert main(["sample", *how, "--trace", "a.safetensors", "--arrays", "a.npy"]) == 0
    trace = Trace.load("a.safetensors")
    assert np.array_equal(trace.samples, np.load("a.npy"))
    assert "the trace holds 2 of 2 samples over 3 steps" in capsys.readouterr().err
    go = ["--model", str(model), "--from-step", "1"]
    assert main(["trace", "a.safetensors", "--out", "film.gif"]) == 0
    with Image.open("film.gif") as film:
        assert film.n_frames == 4
    assert main(["trace", "a.safetensors", *go, "--save", "b.safetensors"]) == 0
    same = Trace.load("b.safetensors")
    assert torch.equal(same.x, trace.x)
    assert main(["trace", "a.safetensors", *go, "--class", "cat", "--out", "s.png"]) == 0
    assert "gone on from step 1" in capsys.readouterr().err
    with Image.open("s.png") as strip:
        assert strip.size[0] > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.safetensors", "--from-step", "1"], "--from-step and --model go together"),
        (["a.safetensors", "--save", "b.safetensors"], "say from where: --from-step"),
        (["a.safetensors", "--out", "a.mp4"], "cannot be written as 'a.mp4'"),
        (["b.safetensors"], "there is no file b.safetensors"),
        (["a.safetensors", "--fps", "0"], "--fps 0: give a number from 0 to 100"),
    ],
)
def test_what_makes_no_sense_is_said(file, words, said, monkeypatch, capsys):
    monkeypatch.chdir(file.parent)
    assert main(["trace", *words]) != 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trace", "a.npz"], "end its name in .safetensors"),
        (["--trace", "a.safetensors", "--grid", "seed=0:2"], "--grid is many samplings"),
    ],
)
def test_sample_says_what_a_trace_is_not_for(words, said, capsys):
    assert main(["sample", "digits", *words]) != 0
    assert said in capsys.readouterr().err


class Told(Tell):
    """Stands for the studio; cancels before step `stop`."""

    def __init__(self, stop=1000):
        super().__init__("000001-denoise", Path(), lambda header, data: None)
        self.steps, self.seen, self.stop = [], {}, stop

    def step(self, number, of, **facts):
        self.steps.append((number, of, facts))
        if number >= self.stop:
            raise CancelledError("cancelled")

    def preview(self, name, data, at=None):
        self.seen[name] = data


@pytest.fixture
def ask(model, tmp_path, monkeypatch):
    """Runs a job as the worker does, and gives its folder and what it told."""
    monkeypatch.setenv("DEMIST_STUDIO_RUNS", str(model.parent))
    count = iter(range(1, 100))

    def go(told=None, **settings):
        told = told or Told()
        folder = tmp_path / "studio" / "jobs" / f"{next(count):06d}-denoise"
        folder.mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps({"settings": settings}))
        denoise.run(settings_of(denoise, settings), folder, told)
        return folder, told

    return go


def test_the_code_of_a_branch_of_a_branch_makes_the_same_samples(ask, model):
    first, told = ask(model="folder-tiny", n=2, cond={"label": "dog"}, steps=3, seed=1)
    assert [number for number, _, _ in told.steps] == [0, 1, 2, 3]
    assert sorted(told.seen) == ["moment-000.png", "moment-001.png", "moment-002.png"]
    facts, trace = told.steps[2][2], Trace.load(first / denoise.TRACE)
    assert facts["x"] == pytest.approx(trace.x[2].flatten(1).square().mean(1).sqrt().tolist())
    assert facts["change"] == pytest.approx(trace.changes()[1].tolist(), abs=1e-5)
    second, _ = ask(parent=first.name, step=1, cond={"label": "cat"}, guidance=3.0, steps=3)
    third, _ = ask(parent=second.name, step=2, solver="ddim:eta=1", seed=5)
    fourth, _ = ask(parent=third.name, step=1, cond={"label": "none"}, keep=["11", "00"])
    kept, before = Trace.load(fourth / denoise.TRACE), Trace.load(third / denoise.TRACE)
    assert np.array_equal(kept.samples[..., :4, :], before.samples[..., :4, :])
    assert not np.array_equal(kept.samples[..., 4:, :], before.samples[..., 4:, :])
    pipeline = open_model(str(model))
    want = pipeline.trace(2, steps=3, seed=1, label="dog")
    want = pipeline.resume(want, 1, steps=3, guidance=3.0, label="cat")
    assert torch.equal(Trace.load(second / denoise.TRACE).x, want.x)
    script = json.loads((third / "code.json").read_text())
    assert script["lines"][1:] == [
        "trace = pipeline.resume(trace, 1, steps=3, guidance=3.0, label='cat')",
        "trace = pipeline.resume(trace, 2, solver='ddim:eta=1', seed=5)",
    ]
    assert script["commands"][2].startswith("demist trace trace-2.safetensors --model")
    assert json.loads((fourth / "code.json").read_text())["shell"] == ""
    fifth, _ = ask(parent=fourth.name, step=2)  # nothing is painted: nothing is kept
    free = Trace.load(fifth / denoise.TRACE)
    assert not np.array_equal(free.samples[..., :4, :], before.samples[..., :4, :])
    code = json.loads((fifth / "code.json").read_text())
    assert code["lines"][-1] == "trace = pipeline.resume(trace, 2, change=unchanged)"
    space = {}
    exec(code["python"], space)  # a program of ours
    assert np.array_equal(space["samples"], free.samples)


def test_cancel_ends_a_job_at_its_step_and_keeps_nothing_half(ask):
    told = Told(stop=1)
    with pytest.raises(CancelledError):
        ask(told, model="folder-tiny", n=1, steps=3)
    assert [number for number, _, _ in told.steps] == [0, 1]


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"n": 0}, UsageError, "give 1 to 2000"),
        ({"model": "model-x"}, MissingError, "there is no model 'model-x'"),
        ({"parent": "../../x", "step": 1}, UsageError, "is not there"),
        ({"cond": {"label": "bird"}}, UsageError, "bird"),
        ({"solver": "nothing"}, UsageError, "nothing"),
        ({"image": "../x"}, MissingError, "there is no picture"),
    ],
)
def test_settings_that_make_no_sense(ask, settings, error, said):
    with pytest.raises(error, match=said):
        ask(**{"model": "folder-tiny", **settings})
