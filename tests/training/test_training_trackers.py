"""Trackers get metrics and images, never end a run, and go on with the same run."""

import importlib.util
import json
import sys
import types
from pathlib import Path

import pytest
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist.config import flat, parse_list, update
from demist.errors import MissingError, UsageError
from demist.runs import find
from demist.training import run as run_module
from demist.training.run import train
from demist.training.trackers import TRACKERS


class Fake:
    """A tracker's package: what was called, in order, whatever it was called."""

    def __init__(self):
        self.calls = []

    def of(self, name):
        return [(args, options) for called, args, options in self.calls if called == name]

    def module(self, name, *functions, **values):
        made = types.ModuleType(name)
        for function in functions:
            setattr(made, function, self.function(function))
        vars(made).update(values)
        return made

    def function(self, name, result=None):
        def call(*args, **options):
            self.calls.append((name, args, options))
            return result

        return call


def fake_wandb(fake):
    live = fake.module("run", "log", "finish")
    return {"wandb": fake.module("wandb", init=fake.function("init", live), Image=Path)}


def fake_trackio(fake):
    live = fake.module("run", "log", "finish")
    return {"trackio": fake.module("trackio", init=fake.function("init", live), Image=Path)}


def fake_mlflow(fake):
    class Client:
        def __getattr__(self, name):
            run = types.SimpleNamespace(info=types.SimpleNamespace(run_id="r7"))
            return fake.function(name, {"create_experiment": "e1", "create_run": run}.get(name))

    return {"mlflow": fake.module("mlflow", MlflowClient=Client)}


def fake_tensorboard(fake):
    def writer(folder, purge_step):
        fake.calls.append(("writer", (folder,), {"purge_step": purge_step}))
        names = ("add_scalar", "add_image", "add_text", "flush", "close")
        return fake.module("writer", *names)

    return {
        "tensorboard": types.ModuleType("tensorboard"),
        "torch.utils.tensorboard": fake.module("torch.utils.tensorboard", SummaryWriter=writer),
    }


FAKES = {
    "tensorboard": fake_tensorboard,
    "wandb": fake_wandb,
    "trackio": fake_trackio,
    "mlflow": fake_mlflow,
}


@pytest.fixture
def config(tmp_path):
    values = {"runs": str(tmp_path / "runs"), "log_every": "2", "sample_every": "3", "steps": 4}
    return update(CONFIG, values)


@pytest.fixture
def fake(monkeypatch):
    """All four packages."""
    fakes = {}
    for name, make in FAKES.items():
        fakes[name] = Fake()
        for module, value in make(fakes[name]).items():
            monkeypatch.setitem(sys.modules, module, value)
    return fakes


def logged(fake, name):
    """(step, loss) of what a tracker was given, and steps of images."""
    calls = fake[name]
    if name == "tensorboard":
        scalars = [args for args, _ in calls.of("add_scalar")]
        images = [args[2] for args, _ in calls.of("add_image")]
        return [(step, value) for tag, value, step in scalars if tag == "loss"], images
    if name == "mlflow":
        metrics = [(a, o["step"]) for a, o in calls.of("log_metric")]
        images = [int(Path(a[1]).stem[5:]) for a, _ in calls.of("log_artifact")]
        assert all(args[0] == "r7" for args, _ in metrics)
        return [(step, a[2]) for a, step in metrics if a[1] == "loss"], images
    lines = [(options["step"], args[0]) for args, options in calls.of("log")]
    images = [step for step, line in lines if "samples" in line]
    assert all(Path(line["samples"]).exists() for _, line in lines if "samples" in line)
    return [(step, line["loss"]) for step, line in lines if "loss" in line], images


def options_of(fake, name):
    """The options of the run that a tracker was given, for each time that it began."""
    calls = fake[name]
    if name == "tensorboard":
        return [args[1] for args, _ in calls.of("add_text")]
    if name == "mlflow":
        return [{args[1]: args[2] for args, _ in calls.of("log_param")}]
    return [options["config"] for _, options in calls.of("init") if options["config"]]


@pytest.mark.slow
def test_all_four_get_metrics_images_and_options_and_go_on(config, fake):
    config = update(config, {"log": "tensorboard,wandb:project=faces,mode=offline,trackio,mlflow"})
    run = train(config, data=pictures(), quiet=True)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    expected = [(row["step"], row["loss"]) for row in rows]
    assert [step for step, _ in expected] == [2, 4]
    known = json.loads((run.path / "trackers.json").read_text())
    assert list(known) == list(FAKES)
    for name in FAKES:
        assert logged(fake, name) == (expected, [3, 4])
    config = update(config, {"steps": 6})
    train(config, run, resume=True, data=pictures(), quiet=True)
    assert json.loads((run.path / "trackers.json").read_text()) == known
    for name in FAKES:
        losses, images = logged(fake, name)
        assert [step for step, _ in losses] == [2, 4, 6]
        assert images == [3, 4, 6]
        (options,) = options_of(fake, name)
        assert ("lr = 0.001" in options) if name == "tensorboard" else (options["lr"] == 1e-3)
    writers = fake["tensorboard"].of("writer")
    assert [options["purge_step"] for _, options in writers] == [None, 5]
    assert {args[0] for args, _ in writers} == {str(run.path / "tensorboard")}
    starts = [options for _, options in fake["wandb"].of("init")]
    assert "dir" not in starts[0]  # it makes links that lead out, which a run may not have
    assert [(o["id"], o["resume"]) for o in starts] == [(known["wandb"], "allow")] * 2
    assert (starts[0]["project"], starts[0]["mode"]) == ("faces", "offline")
    assert {o["name"] for _, o in fake["trackio"].of("init")} == {known["trackio"]}
    assert len(fake["mlflow"].of("create_run")) == 1
    ends = [args for args, _ in fake["mlflow"].of("set_terminated")]
    assert ends == [("r7", "FINISHED")] * 2


def test_two_runs_are_two_in_a_tracker(config, fake):
    config = update(config, {"log": "trackio,wandb", "steps": 1, "sample_count": 0})
    for _ in range(2):
        train(config, data=pictures(), quiet=True)
    assert len({options["name"] for _, options in fake["trackio"].of("init")}) == 2
    assert len({options["id"] for _, options in fake["wandb"].of("init")}) == 2


@pytest.mark.parametrize("when", ["init", "log"])
def test_a_failing_tracker_is_said_once_and_ends_nothing(config, fake, monkeypatch, capsys, when):
    def fail(*args, **options):
        raise ConnectionError("no network\nat all")

    broken = types.SimpleNamespace(log=fail, finish=fail)
    start = fail if when == "init" else lambda **options: broken
    monkeypatch.setattr(sys.modules["wandb"], "init", start)
    run = train(update(config, {"log": "wandb,trackio", "log_every": "1"}), data=pictures())
    assert run.status()["state"] == "done"
    text = capsys.readouterr().err
    assert text.count("cannot log to wandb: no network; training goes on\n") == 1
    assert len(logged(fake, "trackio")[0]) == 4


def test_a_failed_run_is_closed_as_failed(config, fake, monkeypatch):
    def fit(*args, **options):
        raise DataFault("broken")
        yield

    class DataFault(Exception):
        pass

    monkeypatch.setattr(run_module, "fit", fit)
    with pytest.raises(DataFault):
        train(update(config, {"log": "wandb,mlflow"}), data=pictures(), quiet=True)
    assert fake["wandb"].of("finish") == [((), {"exit_code": 1})]
    assert fake["mlflow"].of("set_terminated")[0][0] == ("r7", "FAILED")


@pytest.mark.parametrize("name", FAKES)
def test_a_missing_package_is_refused_before_anything_begins(config, monkeypatch, name):
    real = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, name, raising=False)
    hide = lambda wanted, *rest: None if wanted == name else real(wanted, *rest)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", hide)
    with pytest.raises(MissingError, match=rf"pip install 'demist\[{name}\]'"):
        train(update(config, {"log": name, "path": "no/such/data"}), quiet=True)
    with pytest.raises(MissingError, match="there is no run"):
        find("latest", config.output.runs)


def test_what_may_be_written():
    assert parse_list("a, b:x=1,y=2,c") == ("a", "b:x=1,y=2", "c")
    assert parse_list("") == ()
    assert flat(update(CONFIG, {"log": "wandb:project=a,trackio"}))["log"]
    with pytest.raises(UsageError, match="did you mean 'tensorboard'"):
        update(CONFIG, {"log": "trackio,tensorbord"})
    with pytest.raises(UsageError, match="projct"):
        TRACKERS.make("wandb:projct=a")
    assert TRACKERS.names() == sorted(FAKES)


def test_tensorboard_itself(config):
    pytest.importorskip("tensorboard")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = update(config, {"log": "tensorboard"})
    run = train(config, data=pictures(), quiet=True)
    train(update(config, {"steps": 6}), run, resume=True, data=pictures(), quiet=True)
    events = accumulator.EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    assert found == [(row["step"], pytest.approx(row["loss"], rel=1e-6)) for row in rows]
    assert [event.step for event in events.Images("samples")] == [3, 4, 6]
