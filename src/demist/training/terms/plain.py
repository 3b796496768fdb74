"""The usual terms: the error of pixels, and what keeps the latents in place."""

from typing import ClassVar, Literal

from torch import Tensor

from demist.networks.published.autoencoder_tiny import AutoencoderTiny
from demist.networks.published.vq_model import VQModel
from demist.objectives.autoencoding import commitment, kl_divergence, reconstruction_error
from demist.training.terms.term import Rebuilt, Setting, Term


class Error(Term):
    """Mean error of a number of the image.

    Args:
        kind: Absolute or squared.
    """

    name: ClassVar[str] = "error"
    logged: ClassVar[tuple[str, ...]] = ("error",)
    likeness: ClassVar[bool] = True

    def __init__(self, kind: Literal["l1", "l2"]):
        super().__init__()
        self.kind = kind

    @classmethod
    def of(cls, setting: Setting) -> "Error":
        """Always."""
        return cls(setting.config.latents.reconstruction)

    def forward(self, seen: Rebuilt) -> tuple[Tensor, ...]:
        """One number."""
        return (reconstruction_error(seen.x, seen.rebuilt, self.kind),)


class Divergence(Term):
    """KL divergence of the latents from a standard normal distribution, without a codebook.

    Args:
        weight: Of its mean over the numbers of the latents.
    """

    name: ClassVar[str] = "kl"
    logged: ClassVar[tuple[str, ...]] = ("kl",)

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight

    @classmethod
    def of(cls, setting: Setting) -> "Divergence | None":
        """Where latents are drawn."""
        drawn = not isinstance(setting.net, VQModel | AutoencoderTiny)
        return cls(setting.config.latents.kl_weight) if drawn else None

    def forward(self, seen: Rebuilt) -> tuple[Tensor, ...]:
        """One number."""
        mean = seen.mean.float()
        return (self.weight * kl_divergence(mean, seen.log_variance.float()) / mean[0].numel(),)


class Commitment(Term):
    """How far latents are from their codes.

    Args:
        weight: Of the mean squared distance of a number.
    """

    name: ClassVar[str] = "commitment"
    logged: ClassVar[tuple[str, ...]] = ("commitment",)

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight

    @classmethod
    def of(cls, setting: Setting) -> "Commitment | None":
        """Where there is a codebook."""
        quantised = isinstance(setting.net, VQModel)
        return cls(setting.config.latents.commitment) if quantised else None

    def forward(self, seen: Rebuilt) -> tuple[Tensor, ...]:
        """One number."""
        assert seen.codes is not None
        return (self.weight * commitment(seen.mean, seen.codes),)
