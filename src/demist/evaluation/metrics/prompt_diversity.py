r"""Do the images of one prompt differ? A model that shows the prompt, always alike, scores well.

.. math::
    d = \mathrm{mean}_{i \ne j}\; 1 - \cos(\mathrm{image}_i, \mathrm{image}_j)

over images i and j of one prompt, in the space of an encoder of images and texts; and beside it the
same over images of different prompts, which says what such a distance means.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from demist.evaluation.extractors.features import as_matrix
from demist.evaluation.metrics.metric import Row, TextMetric
from demist.evaluation.metrics.text_score import Encoder


def distances_within(
    seen: Float[np.ndarray, "n d"], texts: Sequence[str]
) -> tuple[float | None, float | None]:
    """Mean distance of two images of one text, and of two texts; None: there are no such pairs.

    Arguments:
        seen: vectors of images, of any length above 0.
        texts: the text of each.
    """
    unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    which = np.unique(np.asarray(texts), return_inverse=True)[1]
    far = 1 - unit @ unit.T
    same = which[:, None] == which
    own = same & ~np.eye(len(unit), dtype=bool)
    return tuple(float(far[pairs].mean()) if pairs.any() else None for pairs in (own, ~same))  # type: ignore[return-value]


class PromptDiversity(TextMetric):
    """How far apart images of one prompt are."""

    name: ClassVar[str] = "prompt-diversity"
    place: ClassVar[int] = 11
    whole: ClassVar[bool] = True
    rows: ClassVar[Mapping[str, Row]] = {
        "prompt_diversity": Row(
            "distance, images of one prompt", "high", "whether a prompt gives different images"
        ),
        "prompt_diversity_others": Row(
            "the same, of different prompts", "as real", "what such a distance means"
        ),
    }

    def __call__(
        self, encoder: Encoder, images: np.ndarray, texts: Sequence[str]
    ) -> Mapping[str, float]:
        """See `TextMetric`."""
        seen = as_matrix(encoder.see(images), least=2, name="images")
        found = dict(zip(self.rows, distances_within(seen, texts), strict=True))
        return {key: value for key, value in found.items() if value is not None}
