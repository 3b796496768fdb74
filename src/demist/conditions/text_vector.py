"""The vector that a CLIP makes of a prompt, in the same space as those of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.conditions.clip_text import ClipText
from demist.conditions.condition import Column, Condition, ReadImage
from demist.conditions.image_vector import vectors_told
from demist.conditions.text import prompts_for
from demist.errors import UsageError
from demist.networks.clip import Clip


@dataclass(frozen=True)
class TextVector(Condition):
    """A prompt as a small CLIP says it in one vector: what a prior is told.

    The CLIP stays as it was and is saved with the model. The network gets the unit vector times the
    root of how many numbers it has, and one more number, 1 where there is no prompt.

    References:
        Ramesh et al. 2022, "Hierarchical Text-Conditional Image Generation with CLIP Latents",
        arXiv:2204.06125, section 2.2.

    Attributes:
        clip: Makes the vectors.
        pairs: Pairs of tokens that make up its vocabulary; see `demist.conditions.clip_words`.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    clip: Clip = field(repr=False)
    pairs: tuple[str, ...] = field(repr=False)
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = "text-vector"
    reads: ClassVar[str] = "text"
    short: ClassVar[str] = "prompt"
    usual: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        column: Column,
        shape: tuple[int, ...],
        drop: float,
        clip: Clip | None = None,
        pairs: tuple[str, ...] = (),
    ) -> "TextVector":
        """With the CLIP of `--image-encoder`.

        Raises:
            UsageError: There is none.
        """
        if clip is None:
            raise UsageError(
                "the vectors are made by a CLIP and none is named; add --image-encoder CLIPRUN"
            )
        return cls(clip.eval().requires_grad_(False), pairs, drop=drop)

    @property
    def saved_networks(self) -> Mapping[str, nn.Module]:
        return {"image_encoder": self.clip}

    @property
    def features(self) -> int:
        """Numbers in a vector."""
        return int(self.clip.config["width"])

    def read(self, prompts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of prompts, on the CPU.

        Raises:
            UsageError: A prompt is longer than the CLIP reads.
        """
        tokens = self._words.encode(list(prompts), len(prompts))["tokens"]
        with torch.inference_mode(False), torch.no_grad():
            return self.clip.read(tokens.to(self.clip.logit_scale.device)).cpu()

    def encode(
        self, values: str | Sequence[str | None] | np.ndarray | None, n: int
    ) -> dict[str, Tensor]:
        """`unsaid`: `(n, 1)`, 1 where there is no prompt; `vector`: `(n, D)`.

        Raises:
            UsageError: A prompt is too long, or there are not `n` of them.
        """
        texts, times = prompts_for(values, n)
        return self.told(torch.stack([_read(self, str(text or "")) for text in texts] * times))

    def told(self, vectors: Float[Tensor, "n d"]) -> dict[str, Tensor]:
        """What the network gets of unit vectors; zeros are no vector."""
        return vectors_told(vectors)

    def spec(self) -> dict[str, Any]:
        return {"route": "vector", "features": self.features + 1}

    def parse(self, text: str, read_image: ReadImage) -> str:
        _read(self, text)
        return text

    def values(self, column: Column) -> np.ndarray:
        return self._words.values(column)

    def cut(self, text: str) -> str:
        """The beginning of `text` that fits, for captions that are too long to learn from."""
        return self._words.cut(text)

    @property
    def _words(self) -> ClipText:
        return ClipText(self.pairs, int(self.clip.config["length"]))


@lru_cache(maxsize=4096)
def _read(condition: TextVector, text: str) -> Tensor:
    """The vector of one prompt, zeros of an empty one; prompts come up again and again."""
    return condition.read([text])[0] if text else torch.zeros(condition.features)
