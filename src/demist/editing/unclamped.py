"""A model whose predictions may leave the range of the data."""

import copy
from dataclasses import fields, is_dataclass, replace

from demist.core import Denoiser, Model


def unclamped(model: Model) -> Model:
    """The same model without `Denoiser.bounds`; its networks are shared, and nothing is changed.

    A clamp maps many states to one, so a flow with it cannot be run backwards: `invert` runs it
    without, and what comes back from there must be sampled without it too.

    Args:
        model: A denoiser, or guidance and conditions around denoisers.
    """
    if isinstance(model, Denoiser):
        if model.bounds is None:
            return model
        free = copy.copy(model)
        free.bounds = None
        return free
    if not is_dataclass(model) or isinstance(model, type):
        return model
    inner = {f.name: getattr(model, f.name) for f in fields(model) if f.init}
    changed = {k: unclamped(v) for k, v in inner.items() if isinstance(v, Model)}
    changed = {k: v for k, v in changed.items() if v is not inner[k]}
    return replace(model, **changed) if changed else model
