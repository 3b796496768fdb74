"""A learned denoiser of points in the plane as a file, which the page evaluates itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from demist.core import CLOCKS, PARAMETERIZATIONS, SCHEDULES, Denoiser
from demist.errors import UsageError
from demist.io import files
from demist.io.tensors import write_tensors
from demist.networks import MLP
from demist.networks.layers import add_class

PATHS = ("cosine", "linear", "vp", "sigmoid", "ve")
CLOCK_NAMES = ("angle", "time", "log-snr", "index", "scaled", "flow")
OUTPUTS = ("x0", "eps", "v", "velocity", "score", "karras")
"""What `page/lib/diffusion` evaluates, by the names of the command line."""


def write(
    file: Path,
    denoiser: Denoiser,
    weights: Mapping[str, Tensor],
    cond: Mapping[str, Tensor] | None = None,
    mean: Sequence[float] = (0.0, 0.0),
    std: float = 1.0,
    path: str = "",
) -> bytes:
    """Write weights and how they are read; the bytes of the file.

    Args:
        file: Where to write.
        denoiser: How the network is read; its network says how it is built.
        weights: Of the network.
        cond: Encoded conditions of one sample that it is always told, where it takes any.
        mean: What is subtracted from data before the network sees it.
        std: By what the rest is divided.
        path: The schedule in words, if it is known; a table of steps cannot tell its own.

    Raises:
        UsageError: The page cannot evaluate such a model.
    """
    net = denoiser.net
    if not isinstance(net, MLP) or net.features != 2:
        raise UsageError("the page evaluates MLPs of points in the plane, and no other networks")
    if denoiser.learn_variance or denoiser.bounds is not None:
        raise UsageError("the page evaluates no learned variance, and no bounds of data")
    reading = {
        "schedule": path or path_of(denoiser),
        "parameterization": _known(
            PARAMETERIZATIONS.spec_of(denoiser.parameterization), OUTPUTS, "prediction"
        ),
        "clock": _known(CLOCKS.spec_of(denoiser.clock), CLOCK_NAMES, "clock"),
        "input_std": denoiser.input_std,
        "mean": list(mean),
        "std": std,
    }
    said = {"network": json.dumps(net.config), "reading": json.dumps(reading)}
    more = {} if cond is None else {"told": told(net, dict(cond))}
    with files.atomic(file) as new:
        write_tensors(new, {**weights, **more}, said)
    return file.read_bytes()


def path_of(denoiser: Denoiser) -> str:
    """The schedule of a model as the command line writes it.

    Raises:
        UsageError: The page has no such schedule.
    """
    schedule = denoiser.schedule
    _known(str(getattr(schedule, "name", "of its own")), PATHS, "schedule")
    return SCHEDULES.spec_of(schedule)


@torch.no_grad()
def told(net: MLP, cond: dict[str, Tensor]) -> Tensor:
    """What a condition of one sample adds to the embedding of the time, `(width,)`."""
    label = cond.pop(net.class_name, None)
    nothing = torch.zeros(1, net.linear_in.out_features)
    vector = net.intake(cond).vector
    found = add_class(nothing, net.class_embedding, label)
    return (found if vector is None else found + vector)[0].float().contiguous()


def _known(spec: str, names: Sequence[str], what: str) -> str:
    name = spec.partition(":")[0]
    if name not in names:
        raise UsageError(f"the page has no {what} {name}; it evaluates {', '.join(names)}")
    return spec
