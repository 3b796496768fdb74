r"""Do images show what their captions say? Their nearness in a space of images and texts.

.. math::
    \mathrm{score} = 100 \max(\cos(\mathrm{image}, \mathrm{text}), 0)   ([1], eq. 1, with w = 100)

The number says little by itself: unrelated images and captions have a cosine well above 0, and
real images with captions that people wrote one far below 1. So it is read between a floor, the
same images with captions of others, and a ceiling, real images with their own.

References:
    [1] Hessel et al. CLIPScore: A Reference-free Evaluation Metric for Image Captioning, 2021.
        https://arxiv.org/abs/2104.08718
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, UInt8

from demist.errors import DataError
from demist.evaluation.extractors.features import as_matrix
from demist.evaluation.metrics.metric import Row, TextMetric


@runtime_checkable
class Encoder(Protocol):
    """What puts images and texts into one space, such as CLIP.

    Attributes:
        recipe: Where it comes from, with a hash; printed beside every number made with it.
    """

    @property
    def recipe(self) -> str: ...

    def see(self, images: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n d"]:
        """Embeddings of images."""
        ...

    def read(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Embeddings of texts."""
        ...


@dataclass(frozen=True)
class TextScore:
    """Mean score in [0, 100] of images with their own captions, and with those of others."""

    own: float
    others: float


def text_score(
    encoder: Encoder, images: UInt8[np.ndarray, "n c h w"], texts: Sequence[str], seed: int = 0
) -> TextScore:
    """How well images show what their captions say.

    Arguments:
        encoder: of images and texts.
        images: two or more.
        texts: the caption of each.
        seed: of the order in which the captions go around.

    Raises:
        DataError: fewer than two images, or not one caption for each.
    """
    if len(texts) != len(images):
        raise DataError(f"There are {len(images)} images but {len(texts)} captions.")
    different = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    read = as_matrix(encoder.read(list(different)), name="captions")
    captions = read[[different[text] for text in texts]]
    seen = as_matrix(encoder.see(images), least=2, name="images")
    order = np.random.default_rng(seed).permutation(len(captions))
    others = np.empty_like(captions)
    others[order] = captions[np.roll(order, 1)]  # one cycle through all: nobody keeps his own
    return TextScore(float(scores(seen, captions).mean()), float(scores(seen, others).mean()))


def scores(
    seen: Float64[np.ndarray, "n d"], captions: Float64[np.ndarray, "n d"]
) -> Float64[np.ndarray, " n"]:
    """100 max(cos, 0) of each pair of embeddings."""
    length = np.linalg.norm(seen, axis=1) * np.linalg.norm(captions, axis=1)
    score: np.ndarray = 100 * (np.einsum("nd,nd->n", seen, captions) / length).clip(0)
    return score


class ImageText(TextMetric):
    """Whether images show what their captions say."""

    name: ClassVar[str] = "image-text"
    place: ClassVar[int] = 10
    rows: ClassVar[Mapping[str, Row]] = {
        "text_score": Row("image-text score", "high", "images show what their captions say", 2),
        "text_score_shuffled": Row(
            "the same, captions shuffled", "as real", "the score's floor: how alike images are", 2
        ),
    }

    def __call__(
        self, encoder: Encoder, images: np.ndarray, texts: Sequence[str]
    ) -> Mapping[str, float]:
        """See `TextMetric`."""
        found = text_score(encoder, images, texts)
        return {"text_score": found.own, "text_score_shuffled": found.others}
