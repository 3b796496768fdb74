"""The same command typed again: it finishes, goes on, or says why it does not."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import CONFIG, pictures

from demist import runs
from demist.cli import main
from demist.config import update
from demist.errors import LockedError, MissingError, StorageError
from demist.io import files
from demist.model.pipeline import Pipeline
from demist.training import run as run_module
from demist.training.build import build
from demist.training.interrupt import Interrupt, interruptible
from demist.training.resume import newest, unfinished
from demist.training.run import train


@pytest.fixture
def config(tmp_path):
    changes = {"runs": str(tmp_path / "runs"), "sample_count": 0, "dropout": 0.0, "log_every": "2"}
    return update(CONFIG, changes)


def again(config, run):
    return train(config, run, resume=True, data=pictures())


# A run is finished when its summary is there


@pytest.mark.slow
@pytest.mark.parametrize("left", [("model",), ("model", "loss.png"), ("model", "summary.md")])
def test_what_a_killed_run_did_not_write_at_its_end_is_written(config, capsys, left):
    run = train(config, data=pictures(), quiet=True)
    weights = (run.model / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    for name in {"summary.json", "summary.md", "loss.png"}.difference(left):
        (run.path / name).unlink()
    run.write_status("running", step=6)
    assert unfinished(config) == run
    again(config, run)
    assert "limit" not in capsys.readouterr().err
    assert json.loads((run.path / "summary.json").read_text())["steps"] == 6
    assert (run.path / "summary.md").is_file()
    assert (run.path / "loss.png").is_file()
    assert run.status()["state"] == "done"
    assert (run.model / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == weights
    before = (run.path / "summary.json").stat().st_mtime_ns
    again(config, run)
    assert "had reached its limit" in capsys.readouterr().err
    assert (run.path / "summary.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_summary_of_fewer_steps_is_none(config, monkeypatch):
    """Trained longer, and killed when the checkpoint was there and the model was not."""
    run = train(config, data=pictures(), quiet=True)
    longer = update(config, {"steps": 8})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            again(longer, run)
    assert json.loads((run.path / "summary.json").read_text())["steps"] == 6
    again(longer, run)
    assert json.loads((run.path / "summary.json").read_text())["steps"] == 8
    assert Pipeline.load(run.model).facts["step"] == 8


def test_the_summary_is_written_last(config, monkeypatch):
    written = []
    real = files.os.replace
    monkeypatch.setattr(
        files.os, "replace", lambda a, b: (written.append(Path(b).name), real(a, b))
    )
    train(config, data=pictures(), quiet=True)
    order = [name for name in written if name in ("loss.png", "summary.md", "summary.json")]
    assert order == ["loss.png", "summary.md", "summary.json"]


@pytest.mark.parametrize("share", [0.0, 0.2, None])
def test_a_command_with_a_share_to_hold_out_is_known_again(config, tmp_path, share):
    """Also where a part "test" is held out, and the share is of no matter."""
    for part in ("train", "test"):
        for i in range(8):
            file = tmp_path / "data" / part / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 30 * i, np.uint8)).save(file)
    own = {"path": str(tmp_path / "data"), "hold_out": share, "flip": False}
    asked = update(config, own)
    run = runs.create(config.output.runs, "a", build(asked).config)
    assert newest(asked, pytest.fail) == run


# A run folder is never without its options


def test_a_run_appears_with_its_options_or_not_at_all(tmp_path, monkeypatch):
    first = runs.create(tmp_path, "a", CONFIG)
    assert first.config() == CONFIG
    assert (first.begun, first.status()) == (True, {"state": "killed"})

    class Killed(BaseException):
        pass

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:  # a kill leaves what no `finally` clears away
        patch.setattr(files.os, "rename", die)
        patch.setattr(runs.run.shutil, "rmtree", die)
        with pytest.raises(Killed):
            runs.create(tmp_path, "b", CONFIG)
    assert [path.name for path in tmp_path.iterdir()].count(".0002-b") == 1
    assert runs.all_runs(tmp_path) == [first]
    assert runs.create(tmp_path, "c", CONFIG).path.name == "0002-c"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001-a", "0002-c"]


def test_a_full_disk_leaves_no_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.run.files, "write_text", full)
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        runs.create(tmp_path, "a", CONFIG)
    assert not list(tmp_path.iterdir())


def test_folders_without_options_are_passed_over(config):
    """Older versions left them when they were killed in the first second."""
    run = train(config, data=pictures(), quiet=True)
    empty = Path(config.output.runs, "0002-tiny")
    (empty / "samples").mkdir(parents=True)
    (empty / "checkpoints").mkdir()
    assert runs.find("latest", config.output.runs) == run
    with pytest.raises(MissingError):
        runs.find("2", config.output.runs)
    assert newest(config, pytest.fail) == run


# The same command goes on


def stopped(config):
    run = runs.create(config.output.runs, "tiny", config)
    run.write_status("stopped", step=0)
    return run


def test_a_path_may_be_spelled_in_any_way(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    os.symlink(tmp_path / "photos", "link")
    run = stopped(update(config, {"runs": "runs", "path": "photos"}))
    ways = "photos", "./photos/", str(tmp_path / "photos"), "link", "runs/../photos"
    for path in ways:
        for place in ("runs", "./runs/", str(tmp_path / "runs")):
            asked = update(config, {"runs": place, "path": path})
            assert unfinished(asked, pytest.fail).path.samefile(run.path)
    os.rename("runs", "moved")
    asked = update(config, {"runs": "moved", "path": "photos"})
    assert unfinished(asked, pytest.fail).path == Path("moved/0001-tiny")
    (tmp_path / "other").mkdir()
    assert unfinished(update(asked, {"path": "other"}), [].append) is None
    assert newest(update(asked, {"path": "digits"})) is None


def test_what_is_not_gone_on_with_though_it_is_near_is_named(config):
    run, said = stopped(config), []
    assert unfinished(update(config, {"steps": 9, "path": "elsewhere"}), said.append) is None
    assert said == [
        f"{run.path} is not gone on with, as it has path = 'digits', steps = 6: --resume 1 does"
    ]
    said.clear()
    assert unfinished(update(config, {"lr": 9.0}), said.append) is None
    run.write_status("done")
    assert unfinished(update(config, {"steps": 9}), said.append) is None
    assert said == []


@pytest.mark.parametrize(
    "damage", [b"", b"[data\n", b"\xff\xfe", b'[optimization]\nlr = "fast"\n', b"[new]\nx = 1\n"]
)
def test_a_run_that_cannot_be_read_is_named(config, damage):
    older, run, said = stopped(config), stopped(config), []
    (run.path / "config.toml").write_bytes(damage)
    found = unfinished(config, said.append)
    assert found == older
    if damage:  # an empty file is all defaults, which are other options
        (sentence,) = said
        assert sentence.startswith(f"{run.path} cannot be read, so it is not gone on with: ")


@pytest.mark.parametrize("damage", [b"", b'{"state": "do', b"\xff", b"[]"])
def test_a_status_that_cannot_be_read_does_not_hide_a_run(config, damage):
    run, said = stopped(config), []
    (run.path / "status.json").write_bytes(damage)
    assert unfinished(config, said.append) == run
    assert len(said) == 1
    assert str(run.path / "status.json") in said[0]
    with run.lock(), pytest.raises(LockedError):
        unfinished(config, said.append)


def test_a_run_of_the_same_options_that_trains_just_now_is_named(config, capsys, monkeypatch):
    monkeypatch.chdir(Path(config.output.runs).parent)
    line = "train eight --width 8 --depth 1 --batch-size 8 --sample-count 0 --steps 2"
    line = line.split()
    assert main(line) == 0
    run = runs.find("1")
    with run.lock():
        run.write_status("running")
        assert main(line) == 69
        assert "runs/0001-eight is being trained with the same options" in capsys.readouterr().err
        assert len(runs.all_runs("runs")) == 1
        assert main([*line, "--fresh"]) == 0
    assert len(runs.all_runs("runs")) == 2


# Signals


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_terminal_that_goes_stops_in_good_order(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with interruptible() as interrupt:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert interrupt.signal == name
    assert signal.getsignal(number) is before


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not Interrupt()
