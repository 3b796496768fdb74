"""Scenes in words: which prompts are understood, what is assumed, and what is not guessed."""

import numpy as np
import pytest

from demist.data.readers.scenes import invent
from demist.errors import UsageError
from demist.scenes import Scene, Thing, describe, describe_long, rewritten, understood

PAIR = (Thing(3, "red", True), Thing(5, "blue", True))


def test_what_a_prompt_leaves_out_is_assumed():
    assert understood("a red 3 left of a blue 5") == Scene(PAIR, "beside", "dark")
    assert rewritten("a red 3 left of a blue 5") == (
        "two digits on a dark background: a large red three on the left and a large blue five on "
        "the right"
    )
    assert understood("Red three.") == Scene(PAIR[:1], "in the middle", "dark")
    assert understood("the small cyan 7 at the top, light background") == Scene(
        (Thing(7, "cyan", False),), "at the top", "light"
    )


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        ("a blue 5 to the right of a red 3", Scene(PAIR, "beside", "dark")),
        ("a red 3 over a blue 5, light background", Scene(PAIR, "above", "light")),
        ("on a light background, a blue 5 under a red 3", Scene(PAIR, "above", "light")),
        (
            "a blue 5 right of a red 3, with a little cyan one above",
            Scene((*PAIR, Thing(1, "cyan", False)), "with one above", "dark"),
        ),
    ],
)
def test_relations_are_read_in_their_order(prompt, scene):
    assert understood(prompt) == scene


@pytest.mark.slow
def test_every_long_caption_is_understood_and_stays():
    rng = np.random.default_rng(1)
    for scene in (invent(rng) for _ in range(500)):
        assert understood(describe_long(scene)) == scene
        assert rewritten(describe_long(scene)) == describe_long(scene)
        assert understood(describe(scene, rng)) == scene


@pytest.mark.parametrize(
    "prompt",
    [
        "", "a cat", "a red 3 and a blue 5", "a red 3 left of a green cat", "a red 3 on a boat",
        "a red 3 left of a blue 5 left of a green 7", "(a red 3:1.3) above a blue 5", "a red 31",
        "three digits on a dark background: a large red three in the middle", "a 3 on the left",
        "a red 3, a blue 5, a green 7 and a cyan 1",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_not_guessed(prompt):
    with pytest.raises(UsageError, match="is in other words than the captions of scenes"):
        understood(prompt)
