import re
from itertools import islice

import numpy as np
import pytest

from demist.data import load
from demist.data.readers.scenes import (
    COLOURS,
    DIGITS,
    HELD_OUT,
    Scene,
    Thing,
    describe,
    describe_long,
    draw,
    invent,
    rewritten,
    understood,
)
from demist.errors import UsageError


def test_pictures_and_captions_are_a_function_of_the_seed():
    a, b, c = draw(12), draw(12), draw(12, seed=1)
    assert a[0].fingerprint == b[0].fingerprint != c[0].fingerprint
    assert a[1] == b[1] != c[1]
    assert a[0].x.shape == (12, 3, 32, 32)
    assert draw(3, size=64)[0].x.shape == (3, 3, 64, 64)
    assert load("scenes", limit=12).fingerprint == a[0].fingerprint
    with pytest.raises(UsageError, match="choose --size 32 or 64"):
        load("scenes", limit=12, size=28)


@pytest.mark.parametrize("split", ["train", "test"])
def test_training_has_nothing_held_out_and_each_held_out_set_only_its_own(split):
    assert all(scene.unseen == set() for scene in draw(150, split)[1])
    for kind in HELD_OUT:
        assert all(scene.unseen == {kind} for scene in draw(20, split, held_out=kind)[1])


def test_held_out_combinations_leave_every_digit_and_colour():
    rng = np.random.default_rng(0)
    known = [scene for scene in (invent(rng) for _ in range(1500)) if not scene.unseen]
    seen = {(t.digit, t.colour) for scene in known for t in scene.things}
    assert len(seen) == 50
    assert {d for d, _ in seen} == set(range(10))
    assert {c for _, c in seen} == set(COLOURS)
    red_one = Scene((Thing(1, "red", True),), "on the left", "dark")
    assert red_one.unseen == {"bindings"}
    five_two_seven = Scene(
        (Thing(5, "red", True), Thing(2, "green", True), Thing(7, "blue", True)),
        "with one below", "dark",
    )  # fmt: skip
    assert five_two_seven.unseen == {"triples"}


def test_every_caption_has_all_the_facts():
    """Read back by rules of its own, a caption gives the scene."""
    rng = np.random.default_rng(0)
    thing = rf"a ((?:large|big|small|little) )?({'|'.join(COLOURS)}) ({'|'.join(DIGITS)}|\d)"
    wordings = set()
    for _ in range(500):
        scene = invent(rng)
        said = describe(scene, rng)
        found = [
            Thing(DIGITS.index(d) if d in DIGITS else int(d), c, s not in ("small ", "little "))
            for s, c, d in re.findall(thing, said)
        ]
        turned = any(word in said for word in (" to the right of ", " below a "))
        if turned and len(found) == 2:
            found.reverse()
        assert tuple(found) == scene.things, said
        assert f"{scene.background} background" in said
        if len(found) == 1:
            assert scene.layout in said
        wordings.add(re.sub(thing, "X", said))
    assert len(wordings) > 30


def test_ink_is_where_and_what_the_scene_says():
    for image, scene in islice(zip(*(lambda d: (d[0].x, d[1]))(draw(60)), strict=True), 60):
        ground = np.median(image, axis=(1, 2))
        assert (ground > 128).all() == (scene.background == "light")
        off = np.abs(image.astype(float) - ground[:, None, None]).sum(0) > 60
        ys, xs = np.nonzero(off)
        if scene.layout == "on the left":
            assert xs.mean() < 14
        if scene.layout == "at the bottom":
            assert ys.mean() > 18
        assert off.mean() > 0.005


@pytest.mark.slow
def test_every_wording_of_a_scene_is_understood_and_rewritten_alike():
    rng = np.random.default_rng(0)
    for scene in (invent(rng) for _ in range(500)):
        ways = {describe(scene, rng) for _ in range(4)}
        assert {understood(way) for way in ways} == {scene}
        assert {rewritten(way) for way in ways} == {describe_long(scene)}
    with pytest.raises(UsageError, match="'a cat' is in other words than the captions of scenes"):
        rewritten("a cat")


def test_long_captions_tell_all_scenes_apart():
    rng = np.random.default_rng(0)
    scenes = {invent(rng) for _ in range(500)}
    assert len({describe_long(scene) for scene in scenes}) == len(scenes)
    pair = Scene((Thing(5, "blue", False), Thing(2, "red", True)), "beside", "dark")
    assert describe_long(pair) == (
        "two digits on a dark background: a small blue five on the left and a large red two on the "
        "right"
    )


@pytest.mark.slow
def test_a_set_with_long_captions_has_the_same_images():
    short, long = load("scenes", limit=200), load("scenes-long", limit=200)
    np.testing.assert_array_equal(short.x, long.x)
    assert short.fingerprint != long.fingerprint
    assert long.name == "scenes-long"
    same = [a == b for a, b in zip(short.texts, long.texts, strict=True)]
    assert 2 <= sum(same) <= 25  # 10 of them on average
    told = [rewritten(text) for text in short.texts]
    kept = [text for text, is_short in zip(long.texts, same, strict=True) if not is_short]
    assert kept == [text for text, is_short in zip(told, same, strict=True) if not is_short]
    held_out = load("scenes-long", split="test", limit=20)
    assert all(
        text.startswith(("one digit on", "two digits on", "three digits on"))
        for text in held_out.texts
    )
