"""The same training on 1, 2 and 4 processes, with changes of their number in between.

    python tests/faults/parallel.py

Prints as JSON whether the pairs in `exact` are the same to the last bit, optimizer included, and
the relative difference of the weights in `close`, at most 1e-5. The processes are forked from one
that has loaded everything, and talk over gloo.
"""

import json
import math
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from kill import reap, same, tensors
from tiny import CONFIG, pictures

from demist import runs
from demist.config import update
from demist.training.parallel import joined
from demist.training.run import train

PLAIN = update(
    CONFIG,
    {"dropout": 0.0, "batch_size": 16, "decay": "constant", "sample_count": 0, "warmup": 3},
)
STRICT = update(PLAIN, {"micro_batches": 8, "dropout": 0.1})


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(config, processes, resume=False):
    """Fork trainers as torchrun would start them; their process ids."""
    places = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    pids = []
    for rank in range(processes):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        code = 1
        try:
            torch.set_num_threads(1)
            os.environ |= places | {
                "WORLD_SIZE": str(processes), "RANK": str(rank), "LOCAL_RANK": str(rank),
            }  # fmt: skip
            with joined() as world:
                train(config, resume=resume, data=pictures(40), quiet=True, world=world)
            code = 0
        except BaseException as error:
            print(f"rank {rank}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(code)
    return pids


def trained(folder, config, *stages):
    """Tensors after stages of (processes, steps), each going on with the one before."""
    config = update(config, {"runs": folder})
    for i, (processes, steps) in enumerate(stages):
        ended = [reap(p) for p in start(update(config, {"steps": steps}), processes, resume=i > 0)]
        assert ended == [0] * processes, ended
    return tensors(runs.find("latest", folder))


def difference(a, b):
    """Norm of the difference of weights and averages, relative to their norm.

    Of all together: a bias whose true gradient is zero holds nothing but rounding.
    """
    names = [name for name in a if not name.startswith("optimizer")]
    change = sum(float((a[name] - b[name]).double().square().sum()) for name in names)
    return math.sqrt(change / sum(float(a[name].double().square().sum()) for name in names))


def stopped(folder, config):
    """Tensors after SIGTERM to the second of two processes, and going on."""
    config = update(config, {"runs": folder, "steps": 12, "log_every": "1"})
    pids = start(update(config, {"steps": 100_000}), 2)
    while not (found := runs.all_runs(folder)) or not runs.read_metrics(found[0].metrics):
        time.sleep(0.02)
    os.kill(pids[1], signal.SIGTERM)
    ended = [reap(pid) for pid in pids]
    step = found[0].status()["step"]
    assert ended == [0, 0], ended
    assert found[0].status()["state"] == "stopped"
    for pid in start(update(config, {"steps": step + 4}), 2, resume=True):
        assert reap(pid) == 0
    return step + 4, tensors(found[0])


def main():
    """What differs by how much, as a dictionary."""
    with tempfile.TemporaryDirectory() as place:
        torch.set_num_threads(1)
        first = update(PLAIN, {"runs": f"{place}/first", "steps": 2})
        train(first, data=pictures(40), quiet=True)  # load what a first step loads, before forking
        count = iter(range(1000))

        def run(config, *stages):
            return trained(f"{place}/{next(count)}", config, *stages)

        one, two = run(PLAIN, (1, 8)), run(PLAIN, (2, 8))
        strict = run(STRICT, (1, 8))
        steps, halted = stopped(f"{place}/{next(count)}", PLAIN)
        exact = {
            "2 -> 2": same(two, run(PLAIN, (2, 4), (2, 8))),
            "2 stopped -> 2": same(halted, run(PLAIN, (2, steps))),
            "strict 1 = 2": same(strict, run(STRICT, (2, 8))),
            "strict 1 = 4": same(strict, run(STRICT, (4, 8))),
            "strict 1 = 2 -> 4 -> 1": same(strict, run(STRICT, (2, 3), (4, 5), (1, 8))),
        }
        close = {
            "1 ~ 2": difference(one, two),
            "2 -> 1": difference(one, run(PLAIN, (2, 4), (1, 8))),
            "1 -> 2": difference(one, run(PLAIN, (1, 4), (2, 8))),
            "strict ~ whole": difference(one, run(update(STRICT, {"dropout": 0.0}), (1, 8))),
        }
        assert not same(one, run(update(PLAIN, {"seed": 1}), (1, 8)))  # the comparison sees
    return {"exact": exact, "close": close}


if __name__ == "__main__":
    result = main()
    print(json.dumps(result))
    ok = all(result["exact"].values()) and max(result["close"].values()) <= 1e-5
    sys.exit(not ok)
