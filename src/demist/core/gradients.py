"""Gradients by the state, also where sampling runs in inference mode.

Who takes one runs the model under `torch.inference_mode(False), torch.enable_grad()`, on `leaf(x)`
and `copied(cond)`.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from demist.core.denoiser import Denoiser, Model


def leaf(x: Tensor) -> Tensor:
    """What to differentiate by: `x` itself inside somebody else's gradient, else a copy."""
    nested = x.requires_grad and not x.is_inference()
    return x if nested else x.detach().clone().requires_grad_()


def copied(cond: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors made in inference mode cannot take part in a gradient; their copies can."""
    return {name: _copy(value) for name, value in cond.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, Mapping):
        return copied(value)
    return type(value)(map(_copy, value)) if type(value) in (tuple, list) else value


def straightened(model: Model) -> Model:
    """The same model, through whose `Denoiser.bounds` gradients pass unchanged.

    Its predictions are the same. A clamped number has no gradient, so that on a black background
    nothing would be learnt of what a measurement says.
    """
    return rebuilt(model, _straight)


def _straight(denoiser: Denoiser) -> Denoiser:
    if denoiser.bounds is None or denoiser.straight:
        return denoiser
    other = copy(denoiser)
    other.straight = True
    return other


def rebuilt(model: Model, change: Callable[[Denoiser], Denoiser]) -> Model:
    """`model` with its denoisers changed; itself if none is.

    Args:
        model: A denoiser, or guidance and conditions around denoisers.
        change: A denoiser -> another one, or itself.
    """
    if isinstance(model, Denoiser):
        return change(model)
    if not is_dataclass(model) or isinstance(model, type):
        return model
    inner = {f.name: getattr(model, f.name) for f in fields(model) if f.init}
    changed = {k: rebuilt(v, change) for k, v in inner.items() if isinstance(v, Model)}
    changed = {k: v for k, v in changed.items() if v is not inner[k]}
    return replace(model, **changed) if changed else model
