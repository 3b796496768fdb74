"""The same training on 1, 2 and 4 processes, whole or cut, with changes of that in between.

    python tests/faults/parallel.py

Prints as JSON whether the pairs in `exact` are the same to the last bit, optimizer included, and
the relative difference of the weights in `close`, at most 1e-5 (all are of U-Nets under Muon), and
what share of all numbers each of two cut processes holds. The processes are forked from one that
has loaded everything, and talk over gloo.
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
import torch.distributed.fsdp  # loaded before forking

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from kill import reap, same, tensors
from tiny import CONFIG, pictures

from demist import runs
from demist.config import update
from demist.io.tensors import read_tensors
from demist.model.components import WEIGHTS
from demist.training import sharding
from demist.training.build import build
from demist.training.fit import start as begin
from demist.training.parallel import joined
from demist.training.run import train

PLAIN = update(
    CONFIG,
    {
        "dropout": 0.0, "batch_size": 16, "decay": "constant", "sample_count": 0, "warmup": 1,
    },
)  # fmt: skip
STRICT = update(PLAIN, {"micro_batches": 8, "dropout": 0.1})
BF16 = update(PLAIN, {"precision": "bf16"})  # as `auto` is where a processor multiplies in it
UNEVEN = update(PLAIN, {"batch_size": 12})  # divided by three, which 16 rows of a matrix are not


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(config, processes, resume=False):
    """Fork trainers; their process ids."""
    data = pictures(40)
    return fork(
        lambda world: train(config, resume=resume, data=data, quiet=True, world=world), processes
    )


def fork(work, processes):
    """Fork processes as torchrun would start them, for `work(world)`; their process ids."""
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
                work(world)
            code = 0
        except BaseException as error:
            print(f"rank {rank}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(code)
    return pids


def trained(folder, config, *stages):
    """Tensors after stages of (processes, steps), each going on with the one before.

    A third entry is the option `parallel`.
    """
    config = update(config, {"runs": folder})
    for i, (processes, steps, *how) in enumerate(stages):
        now = update(config, {"steps": steps, "parallel": (how or ["ddp"])[0]})
        ended = [reap(p) for p in start(now, processes, resume=i > 0)]
        assert ended == [0] * processes, ended
    return tensors(runs.find("latest", folder))


def difference(a, b):
    """Norm of the difference of weights and averages, relative to their norm.

    Of all together: a bias whose true gradient is zero holds nothing but rounding.
    """
    names = [name for name in a if not name.startswith("optimizer")]
    change = sum(float((a[name] - b[name]).double().square().sum()) for name in names)
    return math.sqrt(change / sum(float(a[name].double().square().sum()) for name in names))


def cut(place, run, one, strict):
    """What cut processes give: pairs that must be the same, and differences from one process."""
    whole = trained(f"{place}/cut", update(PLAIN, {"sample_count": 2}), (2, 8, "fsdp"))
    made = runs.find("latest", f"{place}/cut")
    assert made.image(8).exists()
    model = read_tensors(made.model / "unet" / WEIGHTS)
    average = {name[4:]: value for name, value in whole.items() if name.startswith("ema ")}
    sharding.MESSAGE = 500  # from now on a save takes many
    exact = {
        "cut 2 -> 2": same(whole, run(PLAIN, (2, 4, "fsdp"), (2, 8, "fsdp"))),
        "cut 2 -> model": same(average, model),
    }
    stages = (1, 2), (2, 4, "fsdp"), (2, 6), (2, 7, "fsdp"), (1, 8)
    close = {
        "1 ~ cut 2": difference(one, whole),
        "1 ~ cut 3": difference(run(UNEVEN, (1, 4)), run(UNEVEN, (3, 4, "fsdp"))),
        "strict ~ cut 2 in pieces": difference(strict, run(STRICT, (2, 8, "fsdp"))),
        "1 -> cut 2 -> 2 -> cut 2 -> 1": difference(one, run(PLAIN, *stages)),
    }
    return exact, close


def shares(place, processes=2):
    """How much of all numbers each of the cut processes holds."""
    config = update(PLAIN, {"parallel": "fsdp"})

    def work(world):
        e = build(config, pictures(40), world)
        parts = begin(e.pipeline.denoiser, e.config.optimization).checkpoint().parts
        held = [t for part in parts.values() for t in part.values() if t.ndim]
        here = sum(t.to_local().numel() for t in held)
        Path(place, f"share-{world.rank}").write_text(str(here / sum(t.numel() for t in held)))

    ended = [reap(pid) for pid in fork(work, processes)]
    assert ended == [0] * processes, ended
    return [float(Path(place, f"share-{rank}").read_text()) for rank in range(processes)]


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
        close |= {
            "bf16 1 ~ 2": difference(run(BF16, (1, 12)), run(BF16, (2, 12))),
            "bf16 1 -> 2": difference(run(BF16, (1, 12)), run(BF16, (1, 6), (2, 12))),
        }
        pairs, differences = cut(place, run, one, strict)
        exact |= pairs
        close |= differences
        held = shares(place)
        assert not same(one, run(update(PLAIN, {"seed": 1}), (1, 8)))  # the comparison sees
    return {"exact": exact, "close": close, "shares": held}


if __name__ == "__main__":
    result = main()
    print(json.dumps(result))
    ok = all(result["exact"].values()) and max(result["close"].values()) <= 1e-5
    ok = ok and max(result["shares"]) < 0.6
    sys.exit(not ok)
