"""What Windows lacks, and macOS in part, is never needed: here it is taken away.

This is no test on these systems. It shows that nothing is imported or called that they do not have.
"""

import os
import subprocess
import sys

import pytest

WINDOWS = """
import os, sys
import fcntl, importlib, pkgutil, shutil, signal, subprocess, types
import numpy, PIL.Image, pydantic, safetensors.torch, torch, tqdm, tyro, matplotlib.figure
import fastapi, uvicorn
import demist

# Modules and names that are not there.
sys.modules["fcntl"] = sys.modules["resource"] = sys.modules["termios"] = None
for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGKILL", "SIGALRM", "SIGCHLD", "SIGQUIT"):
    delattr(signal, name)
for name in (
    "O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK", "pread", "pwrite", "sysconf", "fork",
    "sched_getaffinity", "getuid", "geteuid", "getgid", "killpg", "statvfs", "nice", "mkfifo",
    "fchmod", "chown", "getpgid", "setsid", "fdatasync", "posix_fadvise", "register_at_fork",
):
    delattr(os, name)
sys.platform = "win32"

# Calls that fail there.
opened, renamed, flushed = os.open, os.rename, os.fsync
def open_file(path, flags, mode=0o777, **further):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return opened(path, flags, mode, **further)
def rename(a, b):
    if os.path.exists(b):
        raise FileExistsError(183, "Cannot create a file when that file already exists", a, 183, b)
    renamed(a, b)
def fsync(handle):
    if not fcntl.fcntl(handle, fcntl.F_GETFL) & (os.O_RDWR | os.O_WRONLY):
        raise OSError(9, "Bad file descriptor")
    flushed(handle)
os.open, os.rename, os.fsync, shutil._use_fd_functions = open_file, rename, fsync, False
started = subprocess.Popen.__init__
def start(self, *args, preexec_fn=None, **further):
    if preexec_fn is not None:
        raise ValueError("preexec_fn is not supported on Windows platforms")
    started(self, *args, **further)
subprocess.Popen.__init__ = start

# A lock of bytes.
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2
def locking(handle, mode, count):
    assert (mode, count) == (2, 1) and os.lseek(handle, 0, os.SEEK_CUR) >= 2**20
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
msvcrt.locking = locking
sys.modules["msvcrt"] = msvcrt
"""

PROGRAM = """
for module in pkgutil.walk_packages(demist.__path__, "demist."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from demist import cli, runs
from demist.errors import LockedError
from demist.runs.run import Run

def command(line):
    code = cli.main(line.split())
    assert code == 0, (line, code)

tiny = "--width 8 --depth 1 --batch-size 8 --sample-count 4 --sample-steps 2"
command(f"train eight --steps 3 {tiny}")
command("train --resume --steps 5")
command("sample --n 4 --steps 2 --arrays a.npy")
command("ls")
sys.executable = "true"  # what a supervisor starts
command("launch train eight --steps 1")
run = runs.find("latest")
assert run.status()["step"] == 5 and not run.is_locked()
with run.lock():
    assert run.is_locked()
    assert (run.path / "lock").read_text().startswith(str(os.getpid()))
    try:
        with run.lock():
            raise AssertionError("locked twice")
    except LockedError as error:
        assert str(os.getpid()) in str(error)
assert not run.is_locked()
assert runs.create("runs", "second").number == 2
print(cli.main(["doctor"]))
"""


@pytest.mark.slow
def test_nothing_needs_what_windows_lacks(tmp_path):
    """Every module is imported; training, going on and sampling pass; a run is locked."""
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS + PROGRAM],
        cwd=tmp_path, capture_output=True, text=True, timeout=250,
        env={**os.environ, "USERNAME": "somebody", "OMP_NUM_THREADS": "1",
             "DEMIST_TRACEBACK": "1", "DEMIST_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unknown on this system" in done.stdout
    assert done.stdout.endswith("0\n")
