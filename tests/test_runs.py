import fcntl
import json
import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from demist import runs
from demist.config import TrainConfig, update
from demist.errors import CannotCreateError, DataError, LockedError, MissingError
from demist.runs import MetricsLog, Run


def test_numbers_follow_each_other_whatever_the_name(tmp_path):
    root = tmp_path / "a" / "runs"
    assert runs.create(root, "digits").path.name == "0001-digits"
    second = runs.create(root, "My Photos/2024!")
    assert second.path.name == "0002-my-photos-2024"
    assert (second.number, second.checkpoints.is_dir()) == (2, True)
    (root / "0041-old").mkdir()
    (root / "note.txt").write_text("")
    (root / "other").mkdir()
    assert runs.create(root, "ä").path.name == "0042-run"
    assert runs.create(root, "../../../etc").path == root / "0043-etc"
    assert [r.number for r in runs.all_runs(root)] == [1, 2, 41, 42, 43]


def test_numbers_are_unique_among_concurrent_callers(tmp_path, monkeypatch):
    barrier = threading.Barrier(8)
    listed = runs.all_runs

    def slowly(root):
        """Leave the others time between the count and the making of the folder."""
        found = listed(root)
        time.sleep(0.02)
        return found

    monkeypatch.setattr(runs, "all_runs", slowly)

    def make(i):
        barrier.wait()
        return runs.create(tmp_path, f"name{i}").number

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make, range(8))) == list(range(1, 9))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateError, match="--runs"):
        runs.create(tmp_path / "file", "x")


def test_find(tmp_path):
    made = [runs.create(tmp_path, name) for name in ("a", "b")]
    for run in made:
        runs.begin(run, TrainConfig(), ["demist", "train"])
    assert runs.find("latest", tmp_path) == made[1]
    for spec in ("1", "0001", "0001-a", made[0].path, str(made[0].path)):
        assert runs.find(spec, tmp_path).path == made[0].path
    with pytest.raises(MissingError, match=r"no run '7'.*0001-a, 0002-b"):
        runs.find("7", tmp_path)
    with pytest.raises(MissingError, match="none yet"):
        runs.find("latest", tmp_path / "absent")


@pytest.fixture
def named(tmp_path):
    """Runs 1 to 3, called demo, my-photos and demo."""
    made = [runs.create(tmp_path, name) for name in ("demo", "My Photos", "demo")]
    for run in made:
        runs.begin(run, TrainConfig(), ["demist", "train"])
    return made


@pytest.mark.parametrize("spec", [2, "2", "0002", "0002-my-photos", "my-photos", "My Photos"])
def test_a_run_is_found_by_number_and_by_name(named, tmp_path, spec):
    assert runs.find(spec, tmp_path) == named[1]


def test_of_several_with_a_name_it_is_the_newest_and_that_is_said(named, tmp_path):
    with pytest.warns(UserWarning, match=r"2 runs are called 'demo'.*0003-demo.*number \(1\)"):
        assert runs.find("demo", tmp_path) == named[2]
    assert runs.find("0001-demo", tmp_path) == named[0]


def test_a_run_that_is_not_there(named, tmp_path):
    with pytest.raises(MissingError, match=r"no run 'demmo'; did you mean 'demo'\? runs in .*0001"):
        runs.find("demmo", tmp_path)
    with pytest.raises(MissingError, match=r"'0002-photos'; did you mean '0002-my-photos'\?"):
        runs.find("0002-photos", tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(MissingError, match=r"neither a run \(no config.toml\) nor a saved model"):
        runs.find(tmp_path / "other", tmp_path)


def test_begin_records_options_command_and_environment(tmp_path):
    run = runs.create(tmp_path, "a")
    config = update(TrainConfig(), {"size": 32})
    runs.begin(run, config, ["demist", "train", "my photos"])
    runs.begin(run, config, ["demist", "train", "--resume"])
    assert run.config() == config
    lines = (run.path / "command.txt").read_text().splitlines()
    assert lines == ["demist train 'my photos'", "demist train --resume"]
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["packages"]["torch"]
    assert environment["cores"] > 0


def test_lock_names_its_holder_and_ends_with_it(tmp_path):
    run = runs.create(tmp_path, "a")
    code = (
        "import sys, demist.runs as r, pathlib\n"
        "with r.Run(pathlib.Path(sys.argv[1])).lock():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "held\n"
    run.write_status("running", step=3)
    assert run.is_locked()
    assert run.status()["state"] == "running"
    with pytest.raises(LockedError, match=rf"process {other.pid} on "), run.lock():
        pass
    other.kill()
    other.communicate()
    assert not run.is_locked()
    assert run.status()["state"] == "killed"
    with run.lock():
        assert (run.path / "lock").read_text().startswith(f"{os.getpid()} on ")


def test_looking_whether_it_is_locked_disturbs_nobody(tmp_path):
    """Not even a trainer that wants the lock at that moment, nor what the lock says."""
    run = runs.create(tmp_path, "a")
    assert not run.is_locked()
    assert not (run.path / "lock").exists()
    with run.lock():
        said = (run.path / "lock").read_text()
        assert run.is_locked()
    assert (run.path / "lock").read_text() == said
    handle = os.open(run.path / "lock", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)  # someone looks
    threading.Timer(0.05, os.close, [handle]).start()
    with run.lock():
        pass


def test_status(tmp_path):
    run = runs.create(tmp_path, "a")
    with pytest.raises(MissingError):
        run.status()
    run.write_status("done", step=5)
    status = run.status()
    assert (status["state"], status["step"], status["pid"]) == ("done", 5, os.getpid())
    (run.path / "status.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        run.status()
    (run.path / "status.json").write_text("[]")
    with pytest.raises(DataError, match="JSON object"):
        run.status()


def test_metrics_are_rewound_on_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in (10, 20, 30):
        log.append(step=step, loss=1 / step, bad=math.nan, worse=math.inf)
        assert runs.read_metrics(path)[-1] == {
            "step": step,
            "loss": 1 / step,
            "bad": None,
            "worse": None,
        }
    log.close()
    with path.open("a") as file:
        file.write('{"step": 40, "lo')
    assert [row["step"] for row in runs.read_metrics(path)] == [10, 20, 30]
    runs.rewind(Run(tmp_path), 20)
    assert [row["step"] for row in runs.read_metrics(path)] == [10, 20]
    log = MetricsLog(path)
    log.append(step=30)
    log.close()
    assert len(path.read_text().splitlines()) == 3
    assert runs.read_metrics(tmp_path / "absent") == []
    for step in (18, 19, 20):  # the steps that follow 18, 19 and 20 done ones
        runs.note_skipped(Run(tmp_path), step, math.nan, math.nan, [step])
    runs.rewind(Run(tmp_path), 20)
    assert [row["step"] for row in runs.read_rows(Run(tmp_path).skipped)] == [18, 19]


def test_summary_and_bad_files(tmp_path):
    run = Run(tmp_path)
    runs.write_summary(run, {"steps": 3, "images_per_second": 1234.5678})
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == 3
    assert "| images per second | 1,235 |" in (tmp_path / "summary.md").read_text()
    runs.write_bad_files(run, [])
    assert not (tmp_path / "bad_files.jsonl").exists()
    runs.write_bad_files(run, [("a.png", "cut short")])
    assert json.loads((tmp_path / "bad_files.jsonl").read_text())["reason"] == "cut short"


def test_resume_command_quotes(tmp_path):
    assert runs.resume_command(Run(tmp_path / "a b")).endswith("/a b'")
