"""A part of the state that a network is told, and the mask that says where the rest is.

Where `Masked` shows images in bytes, this shows states: spectra of a sound, latents, whatever a
codec gives. So a model goes on from what is there, leads up to it, or fills a gap in it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage
from demist.errors import UsageError

LEAST, MOST = 0.1, 0.9
"""Shares of the time between which lies what is shown in training."""
NUMBERS = 4
"""Uniform numbers that one sample takes: whether, which part, how much, and where a gap lies."""


@dataclass(frozen=True)
class GivenPart(Condition):
    """The state where it is given; one more channel is 1 where all is made anew.

    There the network is shown what lies nearest in time: what follows a spectrum resembles it, and
    a network that had to copy it itself learns that later. In a gap it goes evenly from one side
    to the other; where nothing is given it is 0.

    Nothing said is a mask of ones. Guidance leaves it as it is: what is led away from is told the
    same part.

    Attributes:
        shape: Of the state of one sample, time last.
        share: Of the samples that are shown a part while training.
        route: `concat` or `residual`.
        drop: 0; what is hidden says `share`.
        group: Empty.
    """

    shape: tuple[int, ...]
    share: float = 0.25
    route: Literal["concat", "residual"] = "concat"
    drop: float = 0.0
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "given-part"
    usual: ClassVar[bool] = False
    from_samples: ClassVar[bool] = True
    spatial: ClassVar[bool] = True
    kept: ClassVar[bool] = True

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "GivenPart":
        """Never: no column says which part is given.

        Raises:
            UsageError: Always.
        """
        raise UsageError("a given part is of the samples themselves; train with --given 0.25")

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`clean`, the state where it is given and see above, and `mask`, 1 where it is not.

        Args:
            values: A pair of states `shape`, one for all or `(n, *shape)`, and of a mask of 0
                (given) and 1 (anew) that goes with them by NumPy's rules; or None.
            n: Number of samples.

        Raises:
            UsageError: Another shape or number, or a mask of other numbers.
        """
        one = (n, 1, *self.shape[1:])
        if values is None:
            return {"clean": torch.zeros(n, *self.shape), "mask": torch.ones(one)}
        clean, anew = (torch.as_tensor(value).float() for value in values)
        try:
            clean, anew = clean.expand(n, *self.shape), anew.expand(one)
        except RuntimeError:
            raise UsageError(
                f"states of shape {tuple(clean.shape)} and a mask of shape {tuple(anew.shape)} "
                f"were given for {n} samples of shape {self.shape}"
            ) from None
        if not ((anew == 0) | (anew == 1)).all():
            raise UsageError("a mask holds 0 (given) and 1 (anew) only; this one has others")
        return told_part(clean, anew)

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "channels": self.shape[0] + 1}

    def parse(self, text: str, read_image: ReadImage) -> Any:
        """Never: a part is given as a file.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"{text!r}: a part is given by --continue FILE, or by --repair FILE --from --to"
        )

    def beside(self, values: Any, x: Any) -> Any:
        """None: batches show parts of their own; see `demist.training.batches`."""
        return values

    def words(self, value: Any) -> str:
        return ""


def told_part(
    clean: Float[Tensor, "b c ... t"], anew: Float[Tensor, "b 1 ... t"]
) -> dict[str, Tensor]:
    """What a network is told of states with a mask, 1 is anew."""
    length = clean.shape[-1]
    at = torch.arange(length, device=clean.device).expand(anew.shape)
    before = torch.where(anew > 0, -1, at).cummax(-1).values
    after = torch.where(anew > 0, length, at).flip(-1).cummin(-1).values.flip(-1)
    share = (at - before) / (after - before).clamp(min=1)
    share = torch.where(before < 0, 1.0, torch.where(after == length, 0.0, share))
    places = (before.clamp(min=0), after.clamp(max=length - 1))
    left, right = (clean.gather(-1, place.expand(clean.shape)) for place in places)
    nothing = (before < 0) & (after == length)
    return {
        "clean": torch.where(nothing, 0.0, torch.lerp(left, right, share.to(clean))),
        "mask": anew,
    }


def drawn_parts(u: Float[Tensor, "b k"], length: int, share: float) -> Float[Tensor, "b t"]:
    """Masks over time, 1 is anew: beginnings, ends and what lies around gaps, as many of each.

    Between `LEAST` and `MOST` of the time are given to `share` of the samples, nothing to the rest.

    Args:
        u: `NUMBERS` independent numbers in (0, 1) for each sample.
        length: Of the time, at least 2.
        share: Of the samples that are shown a part.
    """
    whether, kind, much, place = u.unbind(1)
    given = ((LEAST + (MOST - LEAST) * much) * length).round().clamp(1, length - 1)
    # What is anew lies at the end, at the beginning or, for a gap, where `place` says.
    begin = torch.where(kind < 2 / 3, 0.0, (1 + (given - 1) * place).floor())
    begin = torch.where(kind < 1 / 3, given, begin)[:, None]
    t = torch.arange(length, device=u.device)
    anew = (t >= begin) & (t < begin + (length - given)[:, None])
    return (anew | (whether >= share)[:, None]).float()
