"""A student of few steps: through the options, in a run folder, stopped and resumed."""

import shutil
from dataclasses import replace

import pytest
import torch
from tiny import CONFIG, one_thread, pictures, points  # noqa: F401

from demist import runs
from demist.config import TrainConfig, update
from demist.core import Linear
from demist.errors import DataError, MissingError, UsageError
from demist.model import folder as model_folder
from demist.model.pipeline import Pipeline
from demist.training.build import build
from demist.training.fit import fit, start
from demist.training.given import with_runs_named
from demist.training.optimizer import Optimizer
from demist.training.resume import unfinished
from demist.training.run import train

DATA = pictures()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run of six steps."""
    folder = tmp_path_factory.mktemp("teacher")
    config = update(CONFIG, {"runs": str(folder), "flip": False})
    return str(train(config, data=DATA, quiet=True).path)


@pytest.fixture
def config(teacher, tmp_path):
    """Of a student of that run."""
    own = {"teacher": teacher, "batch_size": 8, "lr": 1e-3, "warmup": 0, "precision": "fp32"}
    out = {"steps": 6, "runs": str(tmp_path / "runs"), "sample_count": 4, "save_every": "3"}
    return update(TrainConfig(), own | out)


def test_a_student_begins_as_its_teacher(config, teacher):
    e = build(config, DATA)
    ours, theirs = (e.pipeline.denoiser.eval(), Pipeline.from_run(teacher).denoiser.eval())
    x, t, label = torch.randn(4, 1, 8, 8), torch.full((4,), 0.5), torch.arange(4) % 3
    torch.testing.assert_close(ours(x, t, label=label).x0, theirs(x, t, label=label).x0)
    for critic in (False, True):
        torch.testing.assert_close(
            e.denoiser.eval()(x, t, label=label, critic=critic).x0, ours(x, t, label=label).x0
        )


def test_a_run_leaves_a_model_of_two_evaluations(config):
    run = train(config, data=DATA, quiet=True)
    made = Pipeline.load(run.model)
    assert made.defaults.steps == 2
    assert made.defaults.solver == "ddpm"
    assert made.defaults.grid == "1,0.6,0"
    assert made.defaults.guidance == 1
    assert made.sample(3, label=["a", "b", "c"]).shape == (3, 1, 8, 8)
    in_run = Pipeline.from_run(run)
    assert model_folder.weights_hash(in_run) == model_folder.weights_hash(made)
    assert model_folder.weights_hash(made) != made.facts["teacher"]


@pytest.mark.slow
def test_stopped_and_resumed_it_takes_the_same_steps(config):
    config = update(config, {"decay": "constant"})  # which does not depend on where a run ends
    through = train(config, data=DATA, quiet=True)
    cut = train(update(config, {"steps": 3}), data=DATA, quiet=True)
    resumed = train(config, cut, resume=True, data=DATA, quiet=True)
    one, two = (Pipeline.load(run.model).denoiser.net.state_dict() for run in (through, resumed))
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


@pytest.mark.slow
def test_another_teacher_is_noticed(config, teacher, tmp_path):
    there = tmp_path / "teacher"
    shutil.copytree(teacher, there)
    config = update(config, {"teacher": str(there), "steps": 3})
    run = train(config, data=DATA, quiet=True)
    moved = tmp_path / "moved"
    there.rename(moved)
    config = update(config, {"teacher": str(moved), "steps": 4})
    train(config, run, resume=True, data=DATA, quiet=True)  # the same, elsewhere
    model = Pipeline.load(moved / "model")
    with torch.no_grad():
        next(model.denoiser.net.parameters()).add_(1)
    model.save(tmp_path / "changed")
    config = update(config, {"teacher": str(tmp_path / "changed"), "steps": 5})
    with pytest.raises(DataError, match="had another teacher"):
        train(config, run, resume=True, data=DATA, quiet=True)


@pytest.mark.slow
def test_the_latest_teacher_stays_the_same_when_a_run_goes_on(config, teacher, tmp_path):
    folder = tmp_path / "runs"
    shutil.copytree(teacher, folder / "0001-teacher")
    asked = update(config, {"teacher": "latest", "steps": 1})
    run = train(asked, data=DATA, quiet=True)
    assert run.config().distillation.teacher == str(folder / "0001-teacher")
    run.write_status("stopped")
    assert unfinished(asked) == run
    train(update(run.config(), {"steps": 2}), run, resume=True, data=DATA, quiet=True)
    assert run.status()["step"] == 2


def test_options_that_mean_runs_have_their_paths(tmp_path):
    first, latest = (runs.create(tmp_path, name, CONFIG) for name in "ab")
    given = {"codec": "latest", "refiner": "1", "feeds": "low=a, edges=latest,x=stage:y,z=digits"}
    config = update(CONFIG, {**given, "runs": str(tmp_path)})
    found = with_runs_named(config)
    assert found.latents.codec == str(latest.path)
    assert found.cascade.refiner == str(first.path)
    a, b = first.path, latest.path
    assert found.cascade.feeds == f"low={a},edges={b},x=stage:y,z=digits"
    assert with_runs_named(config, latest).latents.codec == str(first.path)
    assert with_runs_named(update(config, {"codec": "kl", "feeds": "a"})).cascade.feeds == "a"


def test_the_average_is_the_students(config):
    e = build(config, DATA)
    options = e.config.optimization
    state = start(e.denoiser, options)
    limits = update(config, {"steps": 1}).limits
    (state,) = fit(
        e.denoiser, e.batches, objective=e.objective, options=options, limits=limits, state=state
    )
    assert set(state.ema.tensors) == set(e.pipeline.denoiser.net.state_dict())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_student_is_the_slower_one(config, optimizer):
    """By the same gradient."""
    e = build(update(config, {"student_rate": 0.1, "optimizer": optimizer}), DATA)
    net = e.denoiser.net
    nets = [dict(part.named_parameters()) for part in (net.student, net.critics[0])]
    before = [{name: p.detach().clone() for name, p in part.items()} for part in nets]
    for name, p in nets[0].items():
        p.grad = torch.randn_like(p)
        nets[1][name].grad = p.grad.clone()
    Optimizer(net, e.config.optimization).step(1e-3)
    for name in nets[0]:
        slow, fast = (part[name].detach() - was[name] for part, was in zip(nets, before))
        assert fast.any(), name
        torch.testing.assert_close(slow, 0.1 * fast, atol=1e-6, rtol=1e-3, msg=name)


def test_each_evaluation_has_a_critic_of_its_own(config):
    e = build(config, DATA)
    net = e.denoiser.net
    with torch.no_grad():
        for k, critic in enumerate(net.critics):
            critic.conv_out.bias.fill_(k + 1.0)
            critic.conv_out.weight.zero_()
        said = net(
            torch.randn(5, 1, 8, 8), torch.zeros(5), critic=True, label=torch.zeros(5).long()
        )
    assert said[:, 0, 0, 0].tolist() == [1, 2, 1, 2, 1]
    one = build(update(config, {"evaluations": (1.0,)}), DATA)
    assert len(one.denoiser.net.critics) == 1


def test_guidance_of_the_teacher_is_learned_with_the_rest(config):
    plain, guided = (
        build(update(config, {"teacher_guidance": w}), DATA).objective.teacher for w in (1.0, 3.0)
    )
    x, t, label = torch.randn(4, 1, 8, 8), torch.full((4,), 0.5), torch.arange(4) % 3
    with torch.no_grad():
        said, unsaid = (plain(x, t, label=value).x0 for value in (label, torch.full((4,), 3)))
        torch.testing.assert_close(guided(x, t, label=label).x0, unsaid + 3 * (said - unsaid))


def test_times_of_comparison(config):
    """By default mostly noisy ones."""
    usual, even = (build(update(config, o), DATA).objective.times
                   for o in ({}, {"matching_times": "uniform"}))  # fmt: skip
    u = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    torch.testing.assert_close(even(u, Linear()), u)
    assert float(usual(u, Linear()).median()) > 0.6


@pytest.mark.slow
def test_computed_in_parts(config):
    run = train(update(config, {"micro_batches": 2}), data=DATA, quiet=True)
    assert run.status()["state"] == "done"


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({"channels_per_level": [8, 8]}, DATA, r"channels_per_level = \(8, 8\): with a teacher"),
        ({"label_drop": 0.5}, DATA, "label_drop = 0.5: with a teacher"),
        ({"times": "uniform"}, DATA, "times = 'uniform': with a teacher"),
        ({"teacher": None, "evaluations": (1.0,)}, DATA, "says how a --teacher teaches"),
        ({"sample_steps": 5}, DATA, "sample_steps = 5: with a teacher"),
        ({"parallel": "fsdp"}, DATA, "use ddp"),
        ({}, pictures(size=16), "the data is 1 x 16 x 16 and the teacher makes 1 x 8 x 8"),
        ({}, pictures(classes=("x", "y", "z")), "the model knows the classes a, b, c"),
        ({}, replace(DATA, labels=None, classes=()), "tiny has no column label of kind class"),
        ({}, points(), "the data is 2 and the teacher makes"),
    ],
)
def test_what_cannot_be_is_said(config, options, data, message):
    with pytest.raises(UsageError, match=message):
        build(update(config, options), data)


def test_no_such_teacher(config):
    with pytest.raises(MissingError, match="teacher = 'nobody': no saved model, and there is no"):
        build(update(config, {"teacher": "nobody"}), DATA)


@pytest.mark.parametrize("times", [(), (0.9,), (1.0, 1.0), (1.0, 0.0), (1.0, 0.6, 0.3)])
def test_times_that_make_no_sense(times):
    with pytest.raises(UsageError, match="evaluations"):
        update(TrainConfig(), {"evaluations": times})
