"""Processes end with the one that started them, and what they say at the end arrives."""

import os
import signal
import subprocess
import sys
import time

import pytest

from demist.machine.processes import CODES, codes_left, leave_code

PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline().strip(), flush=True)
time.sleep(60)
"""
CHILD = """
import os, time
from demist.machine import processes
{patch}
processes.die_with_parent()
print(os.getpid(), flush=True)
time.sleep(60)
"""


def alive(pid):
    """Whether a process runs; an orphan that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("patch", ["", "processes.kill_with_parent = lambda: None"])
def test_nobody_outlives_a_parent_that_is_killed(patch):
    """By the system where it can, and by looking every second where it cannot."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD.format(patch=patch)], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    end = time.monotonic() + 30
    while alive(child):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_codes_arrive_once_and_the_first_process_comes_first(tmp_path, monkeypatch):
    leave_code(70)  # nobody asked
    monkeypatch.setenv(CODES, str(tmp_path))
    for rank, code in ((10, 75), (2, 74), (0, 0)):
        monkeypatch.setenv("RANK", str(rank))
        leave_code(code)
    assert codes_left(tmp_path) == [74, 75]
    assert codes_left(tmp_path) == os.listdir(tmp_path) == []
