"""Pairs of scenes differ in what their instruction says, and are the same whenever made."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from demist.cli import main
from demist.data import load
from demist.data import scene_pairs as pairs
from demist.data.readers import scenes
from demist.errors import CannotCreateError, UsageError
from demist.scenes import COLOURS, DIGITS

EDITS = ("recolour", "remove", "move", "resize")


def drawn(task, count=12, **options):
    return [pairs.draw_pair(task, i, size=32, **options) for i in range(count)]


def meant(pair):
    """Which things of the source the words of the instruction fit."""
    words = pair.instruction.split()
    return [
        k for k, thing in enumerate(pair.before.things)
        if {DIGITS[thing.digit], str(thing.digit)} & set(words)
        and (thing.colour in words or not names_colour(pair.instruction))
    ]  # fmt: skip


def names_colour(instruction):
    """Whether a digit is named with its colour, `the blue seven`."""
    return re.search(rf"the ({'|'.join(COLOURS)}) ", instruction)


@pytest.mark.parametrize("task", EDITS)
def test_only_the_thing_that_is_meant_changes(task):
    for pair in drawn(task, 20):
        k, before, after = pair.changed, pair.before, pair.scene
        assert meant(pair) == [k], pair.instruction
        others = [thing for i, thing in enumerate(before.things) if i != k]
        kept = list(after.things) if task == "remove" else [
            thing for i, thing in enumerate(after.things) if i != k
        ]  # fmt: skip
        assert kept == others
        assert after.background == before.background
        assert not before.unseen | after.unseen
        old, new = before.things[k], None if task == "remove" else after.things[k]
        if task == "recolour":
            assert (new.digit, new.large, after.layout) == (old.digit, old.large, before.layout)
            assert new.colour != old.colour
            assert new.colour in pair.instruction
        elif task == "resize":
            assert (new.digit, new.colour, new.large) == (old.digit, old.colour, not old.large)
        elif task == "move":
            assert new == old
            assert after.layout != before.layout
            assert after.layout.split()[-1] in pair.instruction


@pytest.mark.parametrize("task", EDITS)
def test_no_byte_changes_where_the_changed_digit_has_no_ink(task, monkeypatch):
    """The ink of the changed digit is taken where it is drawn, of both images."""
    touched = []

    def watched(page, alpha, colour, y, x):
        blank = np.zeros_like(page)
        real(blank, np.ceil(alpha), "yellow", y, x)
        touched.append(blank[0] > 0)
        real(page, alpha, colour, y, x)

    real = pairs.put
    monkeypatch.setattr(pairs, "put", watched)
    for i in range(12):
        touched.clear()
        pair = pairs.draw_pair(task, i, size=32)
        after, before = touched[: len(pair.scene.things)], touched[len(pair.scene.things) :]
        ink = before[pair.changed].copy()
        if task != "remove":
            ink |= after[pair.changed]
        differs = (pair.image != pair.source).any(0)
        assert differs.any()
        assert not (differs & ~ink).any()


def test_recoloured_digits_keep_their_form():
    for pair in drawn("recolour", 8):
        ground = np.median(pair.image.reshape(3, -1), axis=1)[:, None, None]
        old, new = (np.abs(x - ground).max(0) > 60 for x in (pair.source.astype(int), pair.image))
        both, either = (old & new).sum(), (old | new).sum()
        assert both > 0.8 * either


def test_a_resized_digit_is_the_same_writing():
    alphas = scenes.alphas_of("train", 32)
    large, small = (alphas(3, kind, np.random.default_rng(5)) for kind in (True, False))
    shrunk = np.asarray(Image.fromarray(large).resize(small.shape, Image.Resampling.BILINEAR))
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.97


def test_the_pair_of_a_resized_digit_has_one_writing():
    for pair in (p for p in drawn("resize", 24) if len(p.scene.things) == 1):
        shapes = []
        for image in (pair.source, pair.image):
            page = image.astype(np.float32)
            ink = np.abs(page - page[:, :1, :1]).max(0)
            rows, columns = np.nonzero(ink.max(1) > 60)[0], np.nonzero(ink.max(0) > 60)[0]
            part = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            shapes.append(np.asarray(Image.fromarray(part).resize((12, 12))).ravel())
        assert np.corrcoef(*shapes)[0, 1] > 0.85


def test_what_is_beside():
    for pair in drawn("hole"):
        (mask,) = pair.beside["mask"]
        assert set(np.unique(mask)) == {0, 255}
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        assert (mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 255).all()
        ground = np.median(pair.image.reshape(3, -1), axis=1)[:, None, None]
        colour = np.array(COLOURS[pair.scene.things[pair.changed].colour])[:, None, None]
        near = np.abs(pair.image - colour).max(0) < 40
        assert near.any()
        assert not (near & (mask == 0) & (np.abs(pair.image - ground).max(0) > 60)).any()
    for factor in (2, 4, 8):
        pair = pairs.draw_pair("low", 0, size=32, factor=factor)
        first = pair.image[:, :factor, :factor].mean((1, 2)).round()
        assert pair.beside["low"].shape == (3, 32 // factor, 32 // factor)
        assert (pair.beside["low"][:, 0, 0] == first).all()
    (edges,) = pairs.draw_pair("control", 1, size=32).beside["edges"]
    assert 0 < (edges == 255).sum() < 200


def test_a_pair_depends_on_its_number_alone():
    assert len({pair.image.tobytes() for pair in drawn("move")}) == 12
    again = pairs.draw_pair("move", 5, size=32)
    assert (again.image == drawn("move")[5].image).all()
    others = {"seed": 1}, {"split": "test"}
    found = {pairs.draw_pair("move", 5, size=32, **o).image.tobytes() for o in ({}, *others)}
    assert len(found) == 3


def test_the_folder_holds_what_was_drawn(tmp_path, capsys):
    out = tmp_path / "pairs"
    line = ["make-pairs", "scenes", "--task", "recolour", "--n", "5", "--size", "32"]
    assert main([*line, "--out", str(out)]) == 0
    assert f"demist train {out} --recipe instruct" in capsys.readouterr().out
    data = load(str(out))
    for i, pair in enumerate(drawn("recolour", 5)):
        assert (data.x[i] == pair.image).all()
        assert (data.columns["source"].values[i] == pair.source).all()
        assert data.columns["instruction"].values[i] == pair.instruction
        assert data.texts[i] == pair.prompt
    row = json.loads((out / "metadata.jsonl").read_text().splitlines()[3])
    assert row["judge"]["scene"]["things"][0]["digit"] == drawn("recolour")[3].scene.things[0].digit
    before = (out / "metadata.jsonl").read_bytes()
    assert main([*line, "--out", str(out), "--seed", "3"]) == CannotCreateError.exit_code
    assert (out / "metadata.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "options, words",
    [
        ({"task": "fly"}, "no task 'fly'"),
        ({"split": "valid"}, "no split 'valid'"),
        ({"size": 48}, "32 or 64"),
        ({"factor": 3}, "2, 4 or 8"),
        ({"seed": -1}, "0 or larger"),
        ({"n": 0}, "1 pair or more"),
    ],
)
def test_what_makes_no_sense(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        pairs.write_pairs(tmp_path / "p", **{"task": "low", **options})
    assert not any(tmp_path.iterdir())


def test_a_place_that_is_not_there(tmp_path):
    with pytest.raises(CannotCreateError, match="no folder"):
        pairs.write_pairs(tmp_path / "a" / "b", "low", 2)
