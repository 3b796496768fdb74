"""Standard streams that are closed, full, or read by nobody any more."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demist import runs
from demist.cli import main
from demist.machine.streams import Tolerant, tell
from demist.training.background_saver import BackgroundSaver
from demist.training.progress import Progress

LINE = "train eight --limit 64 --width 8 --depth 1 --batch-size 8 --sample-count 0 --steps 3"


class Failing(io.StringIO):
    """A stream that takes nothing."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))

    def flush(self):
        raise OSError(self.number, os.strerror(self.number))

    def fileno(self):
        return os.open(os.devnull, os.O_WRONLY)


BAD = {
    "gone": lambda: Failing(errno.EPIPE),
    "full": lambda: Failing(errno.ENOSPC),
    "hung-up": lambda: Failing(errno.EIO),
    "missing": lambda: None,
}


@pytest.mark.slow
@pytest.mark.parametrize("names", [("stderr",), ("stdin", "stdout", "stderr")])
@pytest.mark.parametrize("how", BAD)
def test_training_goes_on_whatever_the_streams_do(tmp_path, monkeypatch, names, how):
    monkeypatch.chdir(tmp_path)
    for name in names:
        monkeypatch.setattr(sys, name, BAD[how]())
    assert main(LINE.split()) == 0
    assert runs.find("1").status()["state"] == "done"


def test_a_failed_run_is_no_success_when_nobody_reads_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", Failing(errno.EPIPE))
    assert main([*LINE.split(), "--network", "unet"]) == 64
    assert main(["ls", "--runs", "nowhere"]) == 66


def test_what_is_asked_for_and_cannot_be_written_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))
    assert main(["--version"]) == 74
    assert "No space left on device; free some space" in capsys.readouterr().err


def test_a_broken_pipe_elsewhere_is_an_error(monkeypatch, capsys):
    import demist.commands.ls

    def fail(args):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(demist.commands.ls, "main", fail)
    assert main(["ls"]) == 70


@pytest.mark.parametrize("how", BAD)
def test_progress_and_the_saver_that_speaks_through_it(how, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", BAD[how]())
    progress = Progress()
    progress.say("hello")
    progress.close()
    tell("hello")
    saver = BackgroundSaver(tmp_path, 2, progress.say)
    saver.wait()


def test_what_can_be_written_is():
    whole = io.StringIO()
    tolerant = Tolerant(whole)
    print("a", file=tolerant)
    tell("b", whole)
    assert whole.getvalue() == "a\nb\n"
    assert not tolerant.isatty()
    assert tolerant.getvalue() == "a\nb\n"
    whole.close()
    print("c", file=tolerant, flush=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--version 2>/dev/full", 0),
        ("--version >&- 2>&-", 0),
        ("--version <&- >&- 2>&-", 0),
        ("--version >/dev/full", 74),
        ("ls --runs nowhere 2>&-", 66),
        ("ls --runs nowhere 2>/dev/full", 66),
    ],
)
def test_the_command_itself(words, code):
    """With Python's own flush at exit."""
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m demist {words}"], capture_output=True)
    assert done.returncode == code


@pytest.mark.slow
@pytest.mark.parametrize("after", ["2>&1 | head -1", "2>/dev/full", ">&- 2>&- <&-"])
def test_training_goes_on_and_its_files_are_whole(tmp_path, after):
    script = f"{sys.executable} -m demist {LINE} --log-every 1 {after}"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True)
    run = runs.find("1", tmp_path / "runs")
    assert run.status()["state"] == "done"
    assert (run.path / "summary.json").is_file()
