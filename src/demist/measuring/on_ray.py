"""Buckets as tasks of Ray (an extra).

A bucket is a pure function of what it is asked for and goes to a file on a disk that all machines
see, so the bytes are those of one process, whoever makes it, and whoever dies. Ray passes functions
and arguments between its processes by pickle: use it inside a cluster that you trust.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from demist.errors import DemistError, MissingError


def run(
    work: Callable[[dict[str, Any]], None], arguments: Sequence[dict[str, Any]], gpus: int = 0
) -> Iterator[int]:
    """Do `work(argument)` for each, as many at once as there are processors; yield who is done.

    Args:
        work: A function of a module that all machines have.
        arguments: What it is given.
        gpus: That each needs.

    Raises:
        MissingError: Ray is not installed.
        DemistError: A task failed, and again when tried anew.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to nobody
    try:
        import ray
    except ImportError:
        raise MissingError("--ray needs the package ray: pip install 'demist[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        here = {"include_dashboard": False, "object_store_memory": 80 * 2**20}  # files carry all
        ray.init(log_to_driver=False, **({} if os.environ.get("RAY_ADDRESS") else here))
    try:
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=3)(work)
        pending = {task.remote(argument): i for i, argument in enumerate(arguments)}
        while pending:
            for done in ray.wait(list(pending))[0]:
                ray.get(done)
                yield pending.pop(done)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, DemistError):
            raise cause from None
        reason = [line for line in str(error).splitlines() if line.strip()]
        raise DemistError(f"a task of Ray failed: {reason[-1] if reason else error}") from None
    finally:
        if ours:
            ray.shutdown()
