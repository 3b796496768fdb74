"""A guidance scale that the network itself was trained to follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage
from demist.errors import UsageError


@dataclass(frozen=True)
class EmbeddedGuidance(Condition):
    """The scale of guidance whose result a distilled network predicts in one evaluation.

    It is never hidden: there is no such network without guidance.

    References:
        Meng et al. 2022, "On Distillation of Guided Diffusion Models", arXiv:2210.03142, section 3.

    Attributes:
        default: The usual scale.
        drop: 0.
        group: None.
    """

    default: float
    drop: float = 0.0
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "embedded-guidance"
    short: ClassVar[str] = "guidance"
    kept: ClassVar[bool] = True

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "EmbeddedGuidance":
        """Never: it belongs to a published model.

        Raises:
            UsageError: Always.
        """
        raise UsageError("embedded guidance comes with a published model")

    def encode(self, values: float | Sequence[Any] | None, n: int) -> dict[str, Tensor]:
        """`scale`: `(n,)`, from one scale for all or one for each; None: the default.

        Raises:
            UsageError: They are not `n` finite numbers.
        """
        one = values is None or not isinstance(values, Sequence)
        given: Sequence[Any] = [values] * n if one else values  # type: ignore[assignment]
        scales = torch.tensor([self.default if v is None else float(v) for v in given])
        if len(scales) != n or not scales.isfinite().all():
            raise UsageError(
                f"embedded guidance {values!r} for {n} samples; give one scale, such as "
                f"{self.default:g}, or {n}"
            )
        return {"scale": scales}

    def spec(self) -> dict[str, Any]:
        return {"route": "vector", "features": 1}

    def parse(self, text: str, read_image: ReadImage) -> float:
        try:
            scale = float(text)
        except ValueError:
            raise UsageError(f"{text!r}: write a number, such as {self.default:g}") from None
        self.encode(scale, 1)
        return scale
