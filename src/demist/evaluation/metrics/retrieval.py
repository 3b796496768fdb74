"""How often the right one of N is found: the image of a text, and the text of an image.

References:
    Radford et al. Learning Transferable Visual Models From Natural Language Supervision, 2021.
        arXiv:2103.00020, section 3.1 and table 13 (top-1 and top-5 of retrieval).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from demist.errors import DataError

TOPS = (1, 5)
"""Among how many of the nearest the right one is looked for."""


@dataclass(frozen=True)
class Retrieval:
    """Shares in [0, 1], by how many of the nearest are looked at.

    Attributes:
        count: Pairs, N.
        images: Texts whose image is among the nearest.
        texts: Images whose text is among the nearest.
        chance: What drawing at random would give.
    """

    count: int
    images: Mapping[int, float]
    texts: Mapping[int, float]
    chance: Mapping[int, float]

    def __str__(self) -> str:
        def said(shares: Mapping[int, float]) -> str:
            return ", ".join(f"top-{k} {share:.1%}" for k, share in shares.items())

        return (
            f"of {self.count:,} pairs: text to image {said(self.images)}; image to text "
            f"{said(self.texts)}; by chance {said(self.chance)}"
        )

    def to_json(self) -> dict[str, float]:
        """The shares as JSON values."""
        rows = {"to_image": self.images, "to_text": self.texts, "chance": self.chance}
        found = {f"{k}_top{top}": round(s, 4) for k, row in rows.items() for top, s in row.items()}
        return {"pairs": self.count, **found}


def retrieval(
    images: Float[np.ndarray, "n d"], texts: Float[np.ndarray, "n d"], captions: Sequence[str]
) -> Retrieval:
    """How often the right one is among the nearest.

    An image is right for a text if its own caption is the same; so is a text for an image.

    Arguments:
        images: unit vectors of images.
        texts: of their captions.
        captions: the captions themselves.

    Raises:
        DataError: not one caption for each image, or no pairs.
    """
    n = len(captions)
    if not n or not len(images) == len(texts) == n:
        raise DataError(f"There are {len(images)} images but {n} captions; retrieval needs pairs.")
    which = np.unique(np.asarray(captions), return_inverse=True)[1]
    alike = np.bincount(which)[which]
    cosines = images @ texts.T
    return Retrieval(n, _found(cosines.T, which), _found(cosines, which), _chance(alike))


def _found(cosines: np.ndarray, which: np.ndarray) -> dict[int, float]:
    """Share of the rows of which a right column is among the largest; ties count as others."""
    right = which[:, None] == which
    best = np.where(right, cosines, -np.inf).max(1)
    before = ((cosines >= best[:, None]) & ~right).sum(1)
    return {k: float((before < k).mean()) for k in TOPS}


def _chance(alike: np.ndarray) -> dict[int, float]:
    n, values, counts = len(alike), *np.unique(alike, return_counts=True)
    return {
        k: sum(
            (1 - math.comb(n - int(m), k) / math.comb(n, k) if k <= n else 1.0) * int(c)
            for m, c in zip(values, counts, strict=True)
        )
        / n
        for k in TOPS
    }
