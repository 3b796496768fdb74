"""What several processes cost: collectives, bytes sent, memory and processor time.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py [--steps 20] [--out FILE.md]

Trains a small U-Net on the embedded digits with 1, 2 and 4 processes (gloo), copied (ddp) and
cut (fsdp). Collectives are counted by torch as they are called; bytes are what the kernel says the
sockets of a process have sent; processor time is of all processes and their threads together, so
that it means the same on a busy machine. Last, how long training waits for data.
"""

import argparse
import json
import os
import platform
import socket
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import torch
import torch.distributed.fsdp  # loaded before forking
from PIL import Image
from torch.distributed.tensor.debug import CommDebugMode

from demist import runs
from demist.config import LimitsConfig, TrainConfig, update
from demist.training.background_saver import BackgroundSaver
from demist.training.build import build, choose_gradient
from demist.training.fit import fit, start
from demist.training.parallel import World, joined

CONFIG = update(TrainConfig(), {"optimizer": "adamw", "norm_groups": 4, "scale_shift": False})
"""Fixed, so that tables of different days compare; what is cut needs AdamW."""
WARM_UP = 3
WAYS = (("ddp", 1), ("ddp", 2), ("ddp", 4), ("fsdp", 2), ("fsdp", 4))
RESULT = Path(__file__).parent / "results" / "scaling.md"
BYTES_ACKED = 120
"""Where struct tcp_info (linux/tcp.h) counts the bytes that have arrived."""


def sent() -> int:
    """Bytes that this process's TCP connections have sent."""
    total = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as link:
                if link.type == socket.SOCK_STREAM and link.family != socket.AF_UNIX:
                    info = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                    total += struct.unpack_from("<Q", info, BYTES_ACKED)[0]
        except OSError:  # no socket
            continue
    return total


def held(parts) -> int:
    """Bytes of weights, average and optimizer state in this process."""
    tensors = [t for part in parts.values() for t in part.values()]
    return sum((t.to_local() if hasattr(t, "to_local") else t).nbytes for t in tensors)


def named(counts) -> Counter:
    """How often each kind of collective was called; torch has several names for one."""
    found: Counter = Counter()
    for key, count in counts.items():
        found[str(key).rpartition(".")[2].replace("_base", "").replace("_", "")] += count
    return found


def measure(parallel: str, steps: int, world: World) -> dict:
    """Facts of this process, per step."""
    config = update(CONFIG, {"parallel": parallel, "steps": 10**6})
    e = build(config, world=world)
    options, denoiser = e.config.optimization, e.pipeline.denoiser
    state = start(denoiser, options)
    training = fit(
        denoiser,
        e.batches,
        objective=e.objective,
        gradient=choose_gradient(options, denoiser, world, print),
        options=options,
        limits=LimitsConfig(steps=10**6),
        state=state,
        clock=world.clock,
    )

    def take(count: int) -> None:
        for _ in range(count):
            next(training)
            world.any(False, False, False)  # as the trainer does after every step

    take(WARM_UP)
    bytes_before, seconds = sent(), time.process_time()
    take(steps)
    seconds, bytes_sent = time.process_time() - seconds, sent() - bytes_before
    with warnings.catch_warnings(), CommDebugMode() as calls:
        warnings.simplefilter("ignore")  # it would like to know the names of modules, too
        take(1)
    parts = state.checkpoint().parts
    with tempfile.TemporaryDirectory() as folder:
        saver = BackgroundSaver(Path(folder), 2, print, world)
        if world.first:
            saver.prepare(parts)
        world.any(False)
        begun = time.process_time()
        saver.save(state.checkpoint())
        save = time.process_time() - begun
        saver.wait()
    return {
        "parameters": e.parameters,
        "batch": options.batch_size,
        "calls": named(calls.get_comm_counts()),
        "bytes": bytes_sent / steps,
        "seconds": seconds / steps,
        "held": held(parts),
        "save": save,
    }


def started(parallel: str, processes: int, steps: int) -> list[dict]:
    """The facts of each process, forked as torchrun would start them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listener.getsockname()[1])}
    with tempfile.TemporaryDirectory() as folder:
        pids = []
        for rank in range(processes):
            pid = os.fork()
            if pid:
                pids.append(pid)
                continue
            code = 1
            try:
                ranks = {"WORLD_SIZE": str(processes), "RANK": str(rank), "LOCAL_RANK": str(rank)}
                os.environ |= place | ranks
                with joined() as world:
                    facts = measure(parallel, steps, world)
                Path(folder, str(rank)).write_text(json.dumps(facts))
                code = 0
            except BaseException as error:
                print(f"rank {rank}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(code)
        ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        if any(ended):
            raise SystemExit(f"{processes} processes, {parallel}: ended with {ended}")
        return [json.loads(path.read_text()) for path in sorted(Path(folder).iterdir())]


def waiting(size: int, channels: int, steps: int) -> str:
    """One line of the table of waiting: a folder of pictures of this size, one process."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(400):
            shape = (size, size, 3) if channels == 3 else (size, size)
            Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(f"{folder}/{i:03d}.png")
        e = build(update(CONFIG, {"path": folder}))
    training = fit(
        e.pipeline.denoiser,
        e.batches,
        objective=e.objective,
        options=e.config.optimization,
        limits=LimitsConfig(steps=10**6),
    )
    for _ in range(WARM_UP):
        next(training)
    e.waiting.seconds, begun = 0.0, time.monotonic()
    for _ in range(steps):
        next(training)
    total = (time.monotonic() - begun) / steps
    each = e.waiting.seconds / steps
    name = f"{size} x {size} x {channels}"
    return f"| {name} | {1000 * total:.0f} | {1000 * each:.1f} | {each / total:.2%} |"


def ideal(parallel: str, processes: int) -> float:
    """Bytes per parameter that one process of a ring sends for the gradients and weights.

    A sum everywhere is a scattered sum and a gathering, each of (N - 1) / N of 4 bytes; cut weights
    are gathered twice, for the output and for its gradient.
    """
    rounds = 2 if parallel == "ddp" else 3
    return 4 * rounds * (processes - 1) / processes


def row(parallel: str, processes: int, facts: list[dict]) -> str:
    """One line of the table."""
    first, n = facts[0], len(facts)
    calls = ", ".join(f"{count} {name}" for name, count in sorted(first["calls"].items())) or "-"
    parameters = first["parameters"]
    each = sum(f["bytes"] for f in facts) / n / parameters
    seconds = sum(f["seconds"] for f in facts) / first["batch"]
    held = max(f["held"] for f in facts) / parameters
    name = parallel if processes > 1 else "one process"
    return (
        f"| {name} | {processes} | {calls} | {each:.2f} | {ideal(parallel, processes):.2f} "
        f"| {held:.1f} | {1000 * seconds:.2f} | {1000 * first['save']:.0f} |"
    )


def main() -> None:
    """Measure all ways, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    rows, facts = [], [{}]
    for parallel, processes in WAYS:
        facts = started(parallel, processes, args.steps)
        rows.append(row(parallel, processes, facts))
        print(rows[-1], flush=True)
    waits = [waiting(28, 1, args.steps), waiting(64, 3, args.steps)]
    print(*waits, sep="\n")
    args.out.write_text(page(args.steps, facts[0], rows, waits))


HEAD = (
    "",
    "processes",
    "collectives per step",
    "bytes per parameter sent",
    "in a ring",
    "bytes per parameter held",
    "CPU ms per item",
    "CPU ms per save",
)
NOTES = """\
Bytes sent: by one process in one step, all messages. Held: weights, average and optimizer state, in
the process that has most. CPU: of all processes together; for a save, what the first one spends
before training goes on.

A step's collectives are the gradient's (for ddp one per bucket; for fsdp the weights of each part
are gathered for the output and again for the gradient, which is summed and cut), the mean loss, the
norm of cut gradients, the clock, and the question whether anybody was told to stop. Gloo sums and
cuts by summing everywhere: it sends twice the bytes of a ring for that third of the work."""


def page(steps: int, facts: dict, rows: list[str], waits: list[str]) -> str:
    """The tables with what one must know to read it."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    machine = f"{runs.environment()['processor']}, {os.cpu_count()} cores"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, gloo"
    lines = [
        "# What several processes cost\n",
        f"`OMP_NUM_THREADS={threads} python benchmarks/scaling.py --steps {steps}`; {machine}; "
        f"{versions}; {date.today()}.\n",
        f"A U-Net of 32 and 64 channels on the digits, {facts['parameters']:,} parameters, AdamW, "
        f"{facts['batch']} items per step over all processes, {steps} steps after {WARM_UP}.\n",
        f"| {' | '.join(HEAD)} |",
        "| " + " | ".join(["---"] * len(HEAD)) + " |",
        *rows,
        f"\n{NOTES}\n",
        "## Waiting for data\n",
        "One process, the same network, folders of 400 PNG pictures, batches of 128. The share "
        "of a run is in its `metrics.jsonl` and `summary.md`.\n",
        "| pictures | ms per step | ms of it waiting for data | share |",
        "| --- | --- | --- | --- |",
        *waits,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
