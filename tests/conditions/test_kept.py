"""Conditions that guidance leaves as they are: sizes, and a guidance scale the network knows."""

import pytest
import torch

from demist.conditions import Conditioner, EmbeddedGuidance, Label, Sizes
from demist.errors import UsageError

WHOLE = Conditioner({
    "sizes": Sizes((64, 32)), "embedded_guidance": EmbeddedGuidance(3.5), "label": Label(("a", "b"))
})  # fmt: skip


def no_image(name, channels, sides):
    raise AssertionError("nobody gave an image")


def test_what_is_led_away_from_has_the_same_sizes_and_scale():
    cond = WHOLE.encode(2, {"sizes": (8, 16), "embedded_guidance": [2, None], "label": "b"})
    null = WHOLE.null(cond)
    assert null["sizes"].tolist() == cond["sizes"].tolist() == [[8, 16]] * 2
    assert null["embedded_guidance"].tolist() == cond["embedded_guidance"].tolist() == [2, 3.5]
    assert null["label"].tolist() == [2, 2]
    assert cond["label"].tolist() == [1, 1]


def test_defaults():
    cond = WHOLE.encode(2, {})
    assert cond["sizes"].tolist() == [[64, 32]] * 2
    assert torch.equal(cond["embedded_guidance"], torch.tensor([3.5, 3.5]))


def test_sizes_follow_the_size_of_the_image():
    assert Sizes((64, 32)).sized(8, 16).default == (8, 16)
    assert Sizes((1, 2), crop=True).sized(8, 16).default == (1, 2)


@pytest.mark.parametrize(
    ("condition", "values", "words"),
    [
        (Sizes((64, 32)), (1, 2, 3), "give 2 numbers: height and width"),
        (Sizes((0, 0), crop=True), (1, 2, 3), "give 2 numbers: top and left of the crop"),
        (EmbeddedGuidance(3.5), [1.0, 2.0, 3.0], r"give one scale, such as 3\.5, or 2"),
        (EmbeddedGuidance(3.5), float("nan"), "give one scale"),
    ],
)
def test_what_is_refused(condition, values, words):
    with pytest.raises(UsageError, match=words):
        condition.encode(values, 2)


def test_typed():
    assert EmbeddedGuidance(3.5).parse("2.5", no_image) == 2.5
    with pytest.raises(UsageError, match=r"'x': write a number, such as 3\.5"):
        EmbeddedGuidance(3.5).parse("x", no_image)
    with pytest.raises(UsageError, match="write 2 whole numbers"):
        Sizes((64, 32)).parse("a,b", no_image)
