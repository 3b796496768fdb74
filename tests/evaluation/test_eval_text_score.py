"""The image-text score: its formula, its floor, and captions that nobody keeps."""

import numpy as np
import pytest

from demist.errors import DataError
from demist.evaluation.metrics.text_score import text_score
from demist.evaluation.report import over_seeds
from demist.evaluation.tables import markdown


class Colours:
    """Sees the mean colour, and reads its name."""

    recipe = "colours"
    names = ("red", "green", "blue")

    def __init__(self):
        self.read_texts = []

    def see(self, images):
        return images.mean((2, 3), dtype=np.float64).astype(np.float32)

    def read(self, texts):
        self.read_texts.append(list(texts))
        return np.array([np.eye(3)[self.names.index(text)] for text in texts], np.float32)


def pages(colours, level=200):
    x = np.zeros((len(colours), 3, 4, 4), np.uint8)
    x[np.arange(len(colours)), [Colours.names.index(c) for c in colours]] = level
    return x


def test_it_is_the_cosine_clipped():
    encoder, image = Colours(), np.zeros((2, 3, 2, 2), np.uint8)
    image[0, :2], image[1, 2] = 30, 9  # between red and green; blue
    assert text_score(encoder, image, ["red", "red"]).own == pytest.approx(50 / 2**0.5)
    encoder.read = lambda texts: -Colours.read(encoder, texts)
    assert text_score(encoder, image, ["red", "blue"]).own == 0


def test_captions_of_others_are_the_floor():
    names = ["red", "green", "blue"] * 20
    found = text_score(Colours(), pages(names), names)
    assert found.own == pytest.approx(100)
    assert 15 < found.others < 55  # a third of the others has the same colour
    swapped = text_score(Colours(), pages(["red", "green"]), ["green", "red"])
    assert (swapped.own, swapped.others) == (0, pytest.approx(100))


@pytest.mark.parametrize("seed", range(5))
def test_nobody_keeps_his_caption(seed):
    names = list(Colours.names)
    assert text_score(Colours(), pages(names), names, seed=seed).others == 0


def test_every_caption_is_read_once():
    encoder, names = Colours(), ["red", "blue", "red", "red"]
    text_score(encoder, pages(names), names)
    assert encoder.read_texts == [["red", "blue"]]


def test_brightness_does_not_matter_but_a_black_image_has_no_score():
    names = ["red", "blue"]
    assert text_score(Colours(), pages(names, 1), names).own == pytest.approx(100)
    with pytest.raises(DataError, match="2 images but 1 captions"):
        text_score(Colours(), pages(names), ["red"])
    with pytest.raises(DataError, match="too few"):
        text_score(Colours(), pages(["red"]), ["red"])


def test_the_rows_stand_beside_real_images():
    protocol = {"generated": 9, "compared": 9, "train": 20, "features": "f", "dimension": 2,
                "captions": "colours", "reference": "train"}  # fmt: skip
    reports = [
        {"protocol": protocol | {"seed": seed}, "classes": None, "warnings": [],
         "metrics": {"text_score": {"value": 60.0 + seed, "floor": 80.0},
                     "text_score_shuffled": {"value": 20.0, "floor": 21.0}}}
        for seed in (0, 2)
    ]  # fmt: skip
    table = markdown(over_seeds(reports))
    assert "| image-text score | 61.00 ± 1.41 | 80.00 | high |" in table
    assert "| the same, captions shuffled | 20.00 ± 0.00 | 21.00 | as real |" in table
    assert "compared by colours" in table
