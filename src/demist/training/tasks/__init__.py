"""What a run can be about, one file each: a denoiser, an autoencoder, a CLIP, a prior.

To add one, write a class as in `autoencode`, and name it in `TASKS`; its word is then a value of
`--network` (see `words` of that option).
"""

from demist.training.experiment import Task
from demist.training.tasks.autoencode import AutoencodingTask
from demist.training.tasks.clip import ClipTask
from demist.training.tasks.denoise import DenoisingTask
from demist.training.tasks.prior import PriorTask

TASKS: tuple[Task, ...] = (DenoisingTask(), AutoencodingTask(), ClipTask(), PriorTask())
"""All of them; the first one has every network that is no task of its own."""


def task_of(network: str) -> Task:
    """What a run with `--network` of this value is about."""
    return next((task for task in TASKS if task.word == network), TASKS[0])


__all__ = [
    "TASKS",
    "AutoencodingTask",
    "ClipTask",
    "DenoisingTask",
    "PriorTask",
    "autoencode",
    "clip",
    "denoise",
    "prior",
    "task_of",
]
