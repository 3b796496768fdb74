"""Long captions take the place of most short ones, the same ones whenever data is read."""

import json

import numpy as np
import pytest
from data_samples import png, write

from demist.config import DataConfig
from demist.data import Column, Dataset
from demist.data.long_captions import SHARE, long_ones, with_long_captions
from demist.errors import UsageError
from demist.modalities.named import divided, part, to_learn

N = 200


@pytest.fixture
def folder(tmp_path):
    rows = [
        {"file_name": f"{i:03}.png", "text": f"page {i}", "text_long": f"a page of number {i}, red"}
        for i in range(N)
    ]
    files = {f"{i:03}.png": png("red", (4, 4)) for i in range(N)}
    lines = "\n".join(map(json.dumps, rows))
    return str(write(tmp_path / "set", {**files, "metadata.jsonl": lines.encode()}))


def test_most_captions_are_long_and_the_column_is_gone(folder):
    options = DataConfig(path=folder, long_captions="text_long")
    plain, mixed = part(DataConfig(path=folder), "train"), part(options, "train")
    chosen = long_ones(N, "train")
    assert 0.9 * N < chosen.sum() < N
    long = plain.columns["text_long"].values
    want = [b if c else a for a, b, c in zip(plain.texts, long, chosen, strict=True)]
    assert list(mixed.texts) == want
    assert set(mixed.columns) == {"text"}
    assert mixed.fingerprint != plain.fingerprint
    assert mixed.fingerprint == part(options, "train").fingerprint
    said = mixed.report.paragraph()
    assert f"{chosen.sum()} captions are those of the column text_long" in said
    learned = to_learn(options).data.texts
    assert 0.9 < sum(text.startswith("a page of") for text in learned) / len(learned) < 1
    assert sorted((*learned, *divided(options).test.texts)) == sorted(want)


def test_ninety_five_of_a_hundred_in_training_and_all_else():
    count = 100_000
    share = long_ones(count, "train").mean()
    assert abs(share - SHARE) < 4 * (SHARE * (1 - SHARE) / count) ** 0.5
    assert long_ones(count, "test").all()
    assert (long_ones(count, "train", 1) != long_ones(count, "train")).any()


def test_texts_that_repeat_are_read_from_classes():
    kinds = Column("class", np.array([1, 0, 1]), ("a long dog", "a long cat"))
    data = Dataset(np.zeros((3, 1, 4, 4), np.uint8), texts=("x", "y", "z"), columns={"long": kinds})
    mixed = with_long_captions(data, "long", "test")
    assert mixed.texts == ("a long cat", "a long dog", "a long cat")


def test_what_is_not_there_is_said(folder):
    with pytest.raises(UsageError, match=r"no column of that name .*; it has text_long"):
        part(DataConfig(path=folder, long_captions="longer"), "train")
    bare = Dataset(np.zeros((3, 1, 4, 4), np.uint8), name="bare")
    with pytest.raises(UsageError, match="takes the place of captions, and bare has none"):
        with_long_captions(bare, "long", "train")
