"""What `demist train` does once its options are known: advise, train, and say what comes next."""

import sys
from collections.abc import Callable, Collection, Sequence

import torch

from demist.config import Stages, TrainConfig
from demist.machine.threads import fastest_threads
from demist.runs import Run
from demist.training.parallel import joined
from demist.training.plan import plan as plan
from demist.training.run import train
from demist.training.tasks import task_of


def carry_out(
    config: Stages,
    choose: Callable[[], Run | None],
    override: Collection[str],
    command: Sequence[str],
) -> None:
    """Train in this process, which may be one of several.

    Args:
        config: All options, of all stages.
        choose: Gives the run to go on with, or None for a new one; only the first process asks.
        override: Names of options that may change when a run is resumed.
        command: What was typed, for the record.
    """
    advise(config.last)
    with joined() as world:
        run = choose() if world.first else None
        resume = world.agree(run is not None)
        run = train(config, run, resume=resume, override=override, command=command, world=world)
        if world.first and run.status()["state"] == "done":
            last = config.last
            spec = run.path if last.output.runs != "runs" else run.number
            after = task_of(last.network.network).after(last, spec)
            print(f"{run.path} is done. Next:\n  " + "\n  ".join(after))


def advise(config: TrainConfig) -> None:
    """Say so if other programs keep the machine so busy that fewer threads would be faster."""
    if config.optimization.threads is None:
        fastest = fastest_threads()
        if fastest < torch.get_num_threads():
            print(
                f"this machine is busy: --threads {fastest} would be faster than "
                f"{torch.get_num_threads()} now",
                file=sys.stderr,
            )
