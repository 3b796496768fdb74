"""Kill a trainer at random moments, again and again; the command must end with the same weights.

    python tests/faults/kill.py [KILLS] [SEED]

The trainers are forked from a process that has imported everything, so that a kill costs a fraction
of a second. Every third is killed while it writes a checkpoint, which takes too little time to be
hit often by chance. In between, bytes of the newest checkpoint are flipped now and then. Prints
what happened as JSON, and exits 1 if any run ended otherwise than undisturbed.
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from demist import runs
from demist.config import TrainConfig, update
from demist.errors import DataError
from demist.runs import checkpoint
from demist.training.resume import unfinished
from demist.training.run import train

CONFIG = update(
    TrainConfig(),
    {
        "path": "eight", "limit": 256, "width": 32, "depth": 2, "dropout": 0.1, "batch_size": 16,
        "steps": 40, "warmup": 10, "save_every": "4", "log_every": "5", "sample_count": 0,
    },
)  # fmt: skip


def trainer(config):
    """What `demist train` does: go on with the run that was not finished, or start one."""
    torch.set_num_threads(1)
    run = unfinished(config)
    train(config, run, resume=run is not None, quiet=True, command=["demist", "train"])


def fork(config):
    """Start a trainer; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    faulthandler.dump_traceback_later(60)
    try:
        trainer(config)
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(code)


def warm_up():
    """Load all that a first training step loads, so that the forks need not."""
    with tempfile.TemporaryDirectory() as folder:
        trainer(update(CONFIG, {"runs": folder, "steps": 2}))


def tensors(run):
    """All tensors of the run's newest checkpoint."""
    found = checkpoint.load_newest(run.checkpoints, print, repair=False)
    return {f"{part} {k}": v for part, values in found.parts.items() for k, v in values.items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def flip(folder, rng):
    """Flip one bit of one file of a checkpoint."""
    file = rng.choice(sorted(folder.iterdir()))
    data = bytearray(file.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    file.write_bytes(data)


def whole_one(run, step):
    """Whether a checkpoint is undamaged: one must be, or the run rightly stops."""
    with contextlib.suppress(DataError):
        checkpoint.verify(run.checkpoints / checkpoint.folder_name(step))
        return True
    return False


def unfinished_saves(place):
    """Checkpoints being written, or left so by a trainer that was killed.

    A running trainer renames folders meanwhile: one that is gone when it is opened holds none.
    """
    found = set()
    for run in runs.all_runs(place):
        with contextlib.suppress(FileNotFoundError):
            found.update(p for p in run.checkpoints.iterdir() if p.name.startswith(".writing-"))
    return found


def until_it_saves(place, known, seconds):
    """Wait until there is a save beside those known, but no longer than so many seconds."""
    last = time.monotonic() + seconds
    while unfinished_saves(place) <= known and time.monotonic() < last:
        time.sleep(1e-4)


def reap(pid):
    """How a process ended: minus the signal, or its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(kills=60, seed=0):
    """Kill so often; what happened, as a dictionary."""
    rng = np.random.default_rng(seed)
    warm_up()
    begun = time.monotonic()
    facts = dict.fromkeys(
        ("kills", "while_saving", "before_the_first_save", "flipped", "runs", "wrong", "errors"), 0
    )
    with tempfile.TemporaryDirectory() as folder:
        assert reap(fork(update(CONFIG, {"runs": f"{folder}/whole"}))) == 0, "undisturbed"
        whole = tensors(runs.find("1", f"{folder}/whole"))
        span = time.monotonic() - begun
        config = update(CONFIG, {"runs": f"{folder}/killed"})
        while facts["kills"] < kills:
            known = unfinished_saves(config.output.runs)
            pid = fork(config)
            # Short lives hit start-up and the first save, long ones everything else.
            time.sleep(float(rng.choice([0.1, 0.3, 0.6]) * rng.uniform() * span))
            if facts["kills"] % 3 == 2:
                until_it_saves(config.output.runs, known, span)
                time.sleep(float(rng.uniform() * 0.01))
            os.kill(pid, signal.SIGKILL)
            ended = reap(pid)
            found = runs.all_runs(config.output.runs)
            if ended == 0:
                facts["runs"] += 1
                facts["wrong"] += not same(whole, tensors(found[-1]))
                continue
            facts["kills"] += 1
            facts["errors"] += ended != -signal.SIGKILL
            if not found:
                continue
            saved = checkpoint.steps(found[-1].checkpoints)
            facts["while_saving"] += not unfinished_saves(config.output.runs) <= known
            facts["before_the_first_save"] += not saved
            if rng.uniform() < 0.15 and len(saved) > 1 and whole_one(found[-1], saved[-2]):
                flip(found[-1].checkpoints / checkpoint.folder_name(saved[-1]), rng)
                facts["flipped"] += 1
        assert reap(fork(config)) == 0  # the last one may finish
        facts["runs"] += 1
        facts["wrong"] += not same(whole, tensors(runs.all_runs(config.output.runs)[-1]))
        # A folder killed before its options were there is never gone on with.
        begun_runs = [p.parent for p in Path(folder).rglob("config.toml")]
        facts["left_over"] = sum(
            len([*run.rglob(".writing-*"), *run.rglob(".*.tmp")]) for run in begun_runs
        )
    facts["life"] = round(span, 2)
    return facts | {"seconds": round(time.monotonic() - begun, 1)}


if __name__ == "__main__":
    result = main(*map(int, sys.argv[1:]))
    print(json.dumps(result))
    sys.exit(bool(result["wrong"] or result["errors"] or result["left_over"]))
