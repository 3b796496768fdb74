"""A model whose predictions may leave the range of the data."""

import copy

from demist.core.denoiser import Denoiser, Model
from demist.core.gradients import rebuilt


def unclamped(model: Model) -> Model:
    """The same model without `Denoiser.bounds`; its networks are shared, and nothing is changed.

    A clamp maps many states to one, so a flow with it cannot be run backwards: `invert` runs it
    without, and what comes back from there must be sampled without it too.

    Args:
        model: A denoiser, or guidance and conditions around denoisers.
    """
    return rebuilt(model, _free)


def _free(denoiser: Denoiser) -> Denoiser:
    if denoiser.bounds is None:
        return denoiser
    free = copy.copy(denoiser)
    free.bounds = None
    return free
