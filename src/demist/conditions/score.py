"""How beautiful an image is, as people judged those of the training data (SDXL's refiner)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage
from demist.errors import UsageError


@dataclass(frozen=True)
class Score(Condition):
    """One number for the image; guidance leads away from a low one.

    References:
        Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.5; Schuhmann et al. 2022,
        "LAION-5B", arXiv:2210.08402 (the scale, from 0 to 10).

    Attributes:
        default: What is asked for.
        low: What guidance leads away from.
        drop: 0.
        group: None.
    """

    default: float = 6.0
    low: float = 2.5
    drop: float = 0.0
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "score"

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Score":
        """Never: it belongs to a published model.

        Raises:
            UsageError: Always.
        """
        raise UsageError("a score comes with a published model; train with numbers")

    def encode(self, values: float | Sequence[Any] | None, n: int) -> dict[str, Tensor]:
        """`score`: `(n, 1)`, from one number for all or one for each; None: the default.

        Raises:
            UsageError: They are not `n` finite numbers.
        """
        given = values if isinstance(values, Sequence) else [values] * n
        scores = torch.tensor([self.default if v is None else float(v) for v in given])
        if len(scores) != n or not scores.isfinite().all():
            raise UsageError(
                f"score {values!r} for {n} samples; give one number from 0 to 10, or {n}"
            )
        return {"score": scores[:, None]}

    def null(self) -> dict[str, Tensor]:
        return self.encode(self.low, 1)

    def spec(self) -> dict[str, Any]:
        return {"route": "vector", "features": 1}

    def parse(self, text: str, read_image: ReadImage) -> float:
        try:
            score = float(text)
        except ValueError:
            raise UsageError(f"{text!r}: write a number, such as {self.default:g}") from None
        self.encode(score, 1)
        return score
