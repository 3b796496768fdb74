"""What a stranger would do to `demist train`: kill it, damage its checkpoints, fill its disk.

    python tests/faults/stranger.py [KILLS] [SEED]

The same command is typed again and again, each time as a process of its own, and killed with -9 at
a random moment; half-way bytes of the newest checkpoint are flipped, and then the disk is filled
until the command gives up, and emptied. At the end it must have the weights of a run that nobody
disturbed. The disk is a small one of its own where mounting is allowed, else the size of files is
limited. Prints every message of the command, then counts as JSON; exits 1 if anything is wrong.
"""

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from kill import flip, same, tensors

from demist import runs
from demist.runs import checkpoint

LINE = (
    "train digits --limit 500 --channels-per-level 8 8 --norm-groups 2 --head-dim 4 --patch 2 "
    "--batch-size 16 --save-every 5 --log-every 5 --sample-count 0 --dropout 0.1 "
    "--threads 1"
)


STEPS = 200
LIMIT = (20_000, resource.RLIM_INFINITY)
"""Bytes of a file, where a full disk cannot be had."""


class Disk:
    """A place whose space can be taken away and given back."""

    mounted = full = False

    def __init__(self, place, megabytes=4):
        self.place = Path(place)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
        with contextlib.suppress(FileNotFoundError):
            self.mounted = not subprocess.run(command, capture_output=True).returncode

    def fill(self, child):
        """Leave no space, to `child` at least."""
        self.full = True
        if not self.mounted:
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, LIMIT)
            return
        with contextlib.suppress(OSError), (self.place / "filler").open("wb", 0) as file:
            while True:
                file.write(bytes(4096))

    def empty(self):
        self.full = False
        (self.place / "filler").unlink(missing_ok=True)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.place)], check=True)


def start(place, disk=None):
    """Type the command."""
    command = [sys.executable, "-m", "demist", *LINE.split(), "--steps", str(STEPS)]
    limited = disk is not None and disk.full and not disk.mounted
    return subprocess.Popen(
        [*command, "--runs", str(place)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, LIMIT)) if limited else None,
    )


def end(child, messages):
    """How it ended; what it said is remembered."""
    messages += child.communicate()[1].splitlines()
    return child.returncode


def saved(place):
    """The steps of the checkpoints that are there, of the newest run."""
    found = runs.all_runs(place)
    return checkpoint.steps(found[-1].checkpoints) if found else []


def wait(child, place, seconds, step):
    """Wait so long, or until a checkpoint of that step is there."""
    last = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < last and max(saved(place), default=0) < step:
        time.sleep(0.02)


def main(kills=10, seed=0):
    """Be a stranger; what happened, as a dictionary."""
    rng = np.random.default_rng(seed)
    facts, messages = {"kills": 0, "newest_at_the_kills": [], "flipped": []}, []
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        assert end(start(f"{folder}/whole"), messages) == 0, messages
        span = time.monotonic() - begun
        messages.clear()
        (place := Path(folder, "disk")).mkdir()
        disk, place = Disk(place), place / "runs"
        try:
            while facts["kills"] < kills:
                child = start(place)
                wait(
                    child, place, rng.uniform(0, span), STEPS * (facts["kills"] + 1) // (kills + 2)
                )
                child.kill()
                facts["kills"] += end(child, messages) == -9
                facts["newest_at_the_kills"] += saved(place)[-1:] or [0]
                if len(saved(place)) > 1 and facts["kills"] > len(facts["flipped"]) * 3 + 3:
                    facts["flipped"] += saved(place)[-1:]
                    newest = checkpoint.folder_name(saved(place)[-1])
                    flip(runs.find("latest", place).checkpoints / newest, rng)
            child = start(place)
            wait(child, place, 600, max(saved(place), default=0) + 1)
            disk.fill(child)
            facts["exits"] = [end(child, messages)]
            facts["exits"] += [end(start(place, disk), messages)]
            disk.empty()
            facts["exits"] += [end(start(place), messages)]
            found = [tensors(runs.find("1", where)) for where in (f"{folder}/whole", place)]
            facts |= {"runs": len(runs.all_runs(place)), "same_weights": same(*found)}
            facts["own_disk"] = disk.mounted
        finally:
            disk.close()
    facts["seconds"] = round(time.monotonic() - begun)
    shown = [m.replace(folder, "") for m in messages]
    print(*dict.fromkeys(m for m in shown if not m.startswith("step ")), sep="\n")
    return facts


if __name__ == "__main__":
    result = main(*map(int, sys.argv[1:]))
    print(json.dumps(result))
    sys.exit(not (result["exits"] == [74, 74, 0] and result["same_weights"]))
