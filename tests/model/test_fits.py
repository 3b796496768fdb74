"""A model with a solver of its own: when it is taken, how it is kept, and the command."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demist.cli import main
from demist.codecs import Pixels, Standardize
from demist.conditions import Conditioner, Label
from demist.config import DistillationConfig
from demist.core import Denoiser, Linear, Velocity
from demist.errors import DataError, UsageError
from demist.model import Pipeline, Sampling, open_model
from demist.model.fits import STEPS, Fits, fit_solver
from demist.networks import MLP, UNet
from demist.objectives import Uniform, X0Weight
from demist.samplers import Bayes, Fitted, fitting, usual
from demist.training.distil import student_of

GOLDEN = Path(__file__).parents[1] / "golden/format-1/run"


@pytest.fixture(scope="module")
def bare():
    net = UNet(channels=(16,), norm_groups=4, head_dim=16, num_classes=2, patch=2)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    label = Conditioner({"label": Label(("cat", "dog"))})
    how = Sampling(steps=6, guidance=2.0)
    return Pipeline(Denoiser(net, Linear(), Velocity()), Pixels(), label, (1, 8, 8), how)


@pytest.fixture(scope="module")
def model(bare):
    with pytest.MonkeyPatch.context() as patch:  # whose rounding may make another way the best
        patch.setattr(fitting, "PLAIN", ())
        patch.setattr(fitting, "usual", lambda *_: ("ddim", "angular"))
        made = bare.fitted((4, 6), starts=16)
    kinds = {n: type(way.solver) for n, way in made.fits.ways[2.0].items()}
    assert kinds == {4: Fitted, 6: Fitted}
    return made


def same(a, b):
    return np.array_equal(np.asarray(a), np.asarray(b))


def test_it_is_the_default_for_what_was_fitted_and_nothing_else(bare, model):
    plan = model.plan(2, label="cat")
    assert plan.sampling.solver == "fitted"
    assert plan.solver == model.fits.ways[2.0][6].solver
    assert plan.grid.tolist() == list(model.fits.ways[2.0][6].times)
    assert not same(model.sample(2, label="cat"), bare.sample(2, label="cat"))
    photo = np.zeros((1, 8, 8), np.uint8)
    for how in (
        {"steps": 5}, {"steps": 20}, {"guidance": 1.0}, {"guidance_interval": (0.1, 0.9)},
        {"guidance_rule": "apg"}, {"grid": "uniform"}, {"grid": (1.0, 0.5, 0.2, 0.1, 0.05, 0.0)},
        {"start": 0.6, "init": photo}, {"solver": "heun"},
    ):  # fmt: skip
        assert same(
            model.sample(2, label="cat", seed=1, **how), bare.sample(2, label="cat", seed=1, **how)
        ), how
        assert model.plan(2, label="cat", **how).sampling.solver != "fitted"


def test_points_are_sampled_by_bayes_from_pure_noise():
    """On its own grid; on one that is given by the solver of that."""
    denoiser = Denoiser(MLP(features=2), Linear(), Velocity())
    points = Pipeline(denoiser, Standardize((0.0, 0.0), 1.0), Conditioner(), (2,))
    how = points.plan(3, steps=7).sampling
    assert (how.solver, how.grid) == ("bayes", None)
    assert np.array_equal(points.sample(3, how), points.sample(3, steps=7))
    assert points.plan(3, steps=7, grid="angular").sampling.solver == "adams:p=2,last=1"
    wide = Denoiser(MLP(features=100), Linear(), Velocity())
    many = Pipeline(wide, Standardize((0.0,) * 100, 1.0), Conditioner(), (100,))
    grid = many.plan(3, steps=7).sampling.grid
    assert grid == f"{Bayes.grid},shift=1.25"


def test_large_states_are_sampled_on_a_shifted_grid_from_pure_noise():
    digits = Pipeline.load("digits")
    plan = digits.plan(2, label="3", steps=30)
    assert (plan.sampling.solver, plan.sampling.grid) == usual((1, 28, 28))
    again = digits.plan(2, Sampling(**plan.sampling.recipe()), label="3")
    assert torch.equal(again.grid, plan.grid)
    photo = np.zeros((1, 28, 28), np.uint8)
    for how in ({"start": 0.6, "init": photo}, {"solver": "heun"}, {"grid": "angular"}):
        assert "shift" not in str(digits.plan(2, label="3", steps=30, **how).sampling.grid)


def test_its_recipe_makes_the_same_samples_again(model):
    plan = model.plan(3, label="dog", seed=7)
    again = model.sample(3, Sampling(**plan.sampling.recipe()), label="dog")
    assert same(again, plan.sample())


def test_samples_do_not_depend_on_the_batch(model):
    both = model.sample(9, label="cat", seed=3, batch_size=16)
    assert same(both[:4], model.sample(4, label="cat", seed=3, batch_size=8))


def test_it_is_asked_for_by_name_with_another_guidance(bare, model):
    plan = model.plan(1, label="cat", solver="fitted", guidance=1.0)
    assert isinstance(plan.solver, Fitted)
    with pytest.raises(
        UsageError,
        match=r"= 5, and fitted to this model are: 4, 6 steps at guidance 2; fit",
    ):
        model.plan(1, solver="fitted", steps=5)
    with pytest.raises(UsageError, match=r"steps = 6, and fitted to this model are: none"):
        bare.plan(1, solver="fitted")


def test_it_is_saved_with_the_model(model, tmp_path):
    saved = Pipeline.load(model.save(tmp_path / "a"))
    assert saved.fits == model.fits
    assert same(saved.sample(3, label="cat"), model.sample(3, label="cat"))
    page = (tmp_path / "a/README.md").read_text()
    assert "6 steps of fitted, guidance 2" in page
    assert "fitted for 4, 6 steps at guidance 2" in page
    assert "fits" not in json.loads(
        (replace(model, fits=Fits()).save(tmp_path / "b") / "model_index.json").read_text()
    )


@pytest.mark.parametrize(("path", "value", "message"), [
    (("guidance",), "x", "could not convert"), (("ways",), [], "has no attribute"),
    (("ways", "6", "solver"), "none", "no solver"), (("ways", "6", "times"), [1.0, 0.0], "rows of"),
    (("ways", "4", "weights"), None, "makes no sense"),
])  # fmt: skip
def test_what_makes_no_sense_is_said(model, path, value, message):
    told = json.loads(json.dumps(model.fits.to_json()))[0]
    *above, last = path
    where = told
    for key in above:
        where = where[key]
    where[last] = value
    with pytest.raises(DataError, match=rf"^folder: the fitted solver makes no sense: .*{message}"):
        Fits.from_json(told, "folder")


def test_ways_of_another_number_of_steps_are_refused(model):
    (told,) = model.fits.to_json()
    told["ways"] = {"5": told["ways"]["4"]}
    with pytest.raises(DataError, match="5 steps have 6 times, not 5"):
        Fits.from_json(told, "folder")


def test_a_trace_goes_on_bit_for_bit_and_by_the_rule_where_steps_change(model):
    trace = model.trace(2, label="cat")
    assert trace.facts["sampling"]["solver"] == "fitted"
    on = model.resume(trace, 3)
    assert torch.equal(on.x, trace.x)
    with pytest.warns(UserWarning, match="sampled by adams"):
        more = model.resume(trace, 3, steps=8)
    assert more.steps == 11
    assert torch.equal(more.x[:4], trace.x[:4])
    assert more.x.isfinite().all()


def test_scales_and_steps_are_added_to_those_there(bare, model):
    more = model.fitted((6, 3), starts=8, guidance=1.0)
    assert str(more.fits) == "3, 6 steps at guidance 1; 4, 6 steps at guidance 2"
    assert more.fits.ways[2.0] == model.fits.ways[2.0]
    for scale, n in ((1.0, 3), (1.0, 6), (2.0, 4), (2.0, 6)):
        plan = more.plan(1, label="cat", guidance=scale, steps=n)
        assert plan.grid.tolist() == list(more.fits.ways[scale][n].times), (scale, n)
    assert more.plan(1, guidance=1.0, steps=4).sampling.solver == usual((1, 8, 8))[0]
    asked = more.plan(1, label="cat", solver="fitted", guidance=1.4, steps=6)
    assert asked.solver == more.fits.ways[1.0][6].solver
    again = model.fitted((4,), starts=16, seed=1).fits.ways[2.0]
    assert again[6] == model.fits.ways[2.0][6]
    assert again[4] != model.fits.ways[2.0][4]


def test_a_single_scale_is_read_as_it_was_written_first(model):
    (one,) = model.fits.to_json()
    assert Fits.from_json(one, "folder") == model.fits


def test_another_size_and_other_weights_have_no_fit(model):
    assert model.fits
    assert not model.sized((16, 16)).fits
    assert not model.of_weights(model.denoiser.net.state_dict()).fits


def test_a_student_has_no_fit_of_its_teachers(model):
    student, *_ = student_of(model, DistillationConfig(), Uniform(), X0Weight(), {})
    assert not student.fits


def test_conditions_are_those_of_the_starts(bare):
    given = fit_solver(bare, (4,), starts=8, label="cat")
    spread = fit_solver(bare, (4,), starts=8)
    assert given.fits != spread.fits
    assert fit_solver(bare, (4,), starts=8, label=["cat", "dog"] * 4).fits == spread.fits


def test_the_command_writes_a_model_and_says_what_is_gained(bare, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bare.save(tmp_path / "m")
    assert main(["fit-solver", "m", "--steps", "6,4,6", "--starts", "16", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert told.out == "fitted\n"
    assert "guidance  steps    before     after  solver" in told.err
    assert "guidance 2; label: all 2 in turn" in told.err.splitlines()[0]
    made = open_model("fitted")
    assert list(made.fits.ways[2.0]) == [4, 6]
    assert main(["sample", "fitted", "--class", "cat", "--n", "1", "--device", "cpu"]) == 0
    assert main(["fit-solver", "fitted", "--steps", "3", "--starts", "8", "--guidance", "1",
                 "--guidance", "3", "--out", "more", "--device", "cpu"]) == 0  # fmt: skip
    told = capsys.readouterr().err
    assert "guidance 1 and 3; label" in told.splitlines()[0]
    assert list(open_model("more").fits.ways) == [1.0, 2.0, 3.0]
    assert main(["fit-solver", "m", "--out", "fitted"]) == 73
    assert "fitted exists already" in capsys.readouterr().err


def test_a_run_keeps_its_fit_until_it_trains_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN, "runs/0001-old")
    words = ["--steps", "4", "--starts", "8", "--guidance", "1", "--device", "cpu"]
    assert main(["fit-solver", "1", *words]) == 0
    told = capsys.readouterr()
    assert told.out == "runs/0001-old\n"
    assert "default solver is adams, and stays so: sample with --solver auto" in told.err
    made, saved = open_model("1"), Pipeline.load("runs/0001-old/model")
    assert list(made.fits.ways[1.0]) == [4]
    assert saved.fits == made.fits
    assert made.plan(1, steps=4, guidance=1.0, solver="auto").sampling.solver == "fitted"
    assert main(["fit-solver", "1", "--steps", "6", *words[2:]]) == 0
    assert list(open_model("1").fits.ways[1.0]) == [4, 6]
    file = Path("runs/0001-old/fits.json")
    assert main(["fit-solver", "1", "--at-step", "2", *words]) == 0
    assert list(open_model("1", at_step=2).fits.ways[1.0]) == [4]
    assert list(open_model("1").fits.ways[1.0]) == [4, 6]
    assert list(Pipeline.load("runs/0001-old/model").fits.ways[1.0]) == [4, 6]
    file.write_text(file.read_text().replace(f'"{made.facts["step"]}":', '"1":'))
    assert not open_model("1").fits
    file.write_text("{")
    with pytest.raises(DataError, match=r"fits\.json"):
        open_model("1")


@pytest.mark.parametrize(("words", "message"), [
    (["--steps", "x"], "not numbers such as"), (["--steps", "1"], "fitted for 2 to 96, got 1"),
    (["--starts", "2"], "at least 4 starts, got 2"), (["--starts", "0"], "starts"),
    (["--prompt", "a"], "this model reads no prompts"),
])  # fmt: skip
def test_bad_flags_get_one_sentence(bare, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    bare.save(tmp_path / "m")
    assert main(["fit-solver", "m", "--device", "cpu", *words]) == UsageError.exit_code
    told = capsys.readouterr().err
    assert message in told
    assert not (tmp_path / "fitted").exists()


def test_the_usual_steps_are_those_of_the_command():
    from demist.commands.fit_solver import Options

    assert Options("m").numbers == STEPS
