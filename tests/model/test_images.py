"""Images that show themselves are arrays in all else."""

import io

import numpy as np
import pytest
from PIL import Image

from demist.errors import UsageError
from demist.model import Images, Pipeline, shown


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("digits")


def test_samples_are_an_array_and_an_image(pipeline):
    images = pipeline.sample(5, steps=1, label="3")
    plain = pipeline.plan(5, steps=1, label="3").sample()
    assert isinstance(images, Images)
    assert type(plain) is np.ndarray
    assert np.array_equal(images, plain)
    assert images.to_pil().size == (3 * 30 + 2, 2 * 30 + 2)
    assert images.to_pil(columns=5).size == (5 * 30 + 2, 32)
    assert np.array_equal(np.asarray(images[4].to_pil()), plain[4, 0])
    assert images.channels_last().shape == (5, 28, 28)
    page = np.asarray(images.to_pil())
    assert np.array_equal(page[32:60, 32:60], plain[4, 0])
    assert (page[32:, 62:] == 255).all()
    assert repr(images) == "<Images: 5 of 28x28, grey; .to_pil() shows them>"
    with Image.open(io.BytesIO(images._repr_png_())) as png:
        assert png.size == (2 * 92, 2 * 62)


def test_what_is_no_image_any_more():
    images = shown(np.zeros((2, 3, 4, 5), np.uint8))
    assert images.to_pil().mode == "RGB"
    assert images.channels_last().shape == (2, 4, 5, 3)
    with pytest.raises(UsageError, match=r"float64 and shape .* holds no images"):
        (images / 255).to_pil()
    assert (images / 255)._repr_png_() is None
    assert type(shown(np.zeros((2, 2), np.float32))) is np.ndarray


def test_a_model_says_what_it_is_in_a_line(pipeline):
    assert repr(pipeline).startswith("<Pipeline: 1 x 28 x 28, label; UNet of ")
    assert "<th>solver</th><td>auto</td>" in pipeline._repr_html_()
