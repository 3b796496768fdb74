"""Prompts are rewritten when sampling as captions were in training, and it is said."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from demist.cli import main
from demist.conditions import Conditioner, Text
from demist.config import TrainConfig, update
from demist.data import Dataset
from demist.errors import DataError, UsageError
from demist.model import Pipeline
from demist.scenes import COLOURS, DIGITS, Scene, Thing, describe_long, rewritten
from demist.training.build import build

SHORT = "a red 3 left of a blue 5"
LONG = rewritten(SHORT)
OTHER = "a red three on a boat"
CAPTIONS = [
    *(
        describe_long(Scene((Thing(d, c, d > 4), Thing(9 - d, "red", d < 3)), "beside", "dark"))
        for d, c in zip(range(10), 2 * list(COLOURS), strict=False)
    ),
    SHORT, OTHER, " ".join([*DIGITS, *map(str, range(10)), "light"]),
]  # fmt: skip
CONFIG = {
    "path": "scenes-long", "channels_per_level": [8], "head_dim": 8, "norm_groups": 2, "patch": 1,
    "batch_size": 4, "text_width": 32, "text_depth": 1, "device": "cpu", "label_drop": 0.1,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    x = np.random.default_rng(0).integers(0, 256, (len(CAPTIONS), 3, 8, 8), np.uint8)
    data = Dataset(x, texts=tuple(CAPTIONS), name="scenes-long")
    made = build(update(TrainConfig(), CONFIG), data).pipeline
    for p in made.denoiser.net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return made


HOW = {"steps": 2, "guidance": 2.0}


def sampled(model, **how):
    return model.sample(2, **HOW, **how)


def test_a_short_prompt_is_rewritten_and_it_is_said(model):
    assert model.conditioner.conditions["text"].rewrite == "scenes-long"
    with pytest.warns(UserWarning, match=f"the prompt is rewritten as .*: '{LONG}'; --no-rewrite"):
        short = sampled(model, text=SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        long = sampled(model, text=LONG)
        kept = sampled(model, text=SHORT, rewrite=False)
        nothing = sampled(model, text=None)
    np.testing.assert_array_equal(short, long)
    assert not np.array_equal(short, kept)
    assert not np.array_equal(short, nothing)


def test_what_is_not_understood_stays_as_it_is_and_that_is_said(model):
    with pytest.warns(UserWarning, match="'a red three on a boat' is not understood .1 of 1., so"):
        asked = sampled(model, text=OTHER)
    np.testing.assert_array_equal(asked, sampled(model, text=OTHER, rewrite=False))


def test_prompts_of_many_samples_are_rewritten_one_by_one(model):
    with pytest.warns(UserWarning, match="prompt") as told:
        both = sampled(model, text=[SHORT, OTHER])
    assert [str(one.message).partition(":")[0][:24] for one in told] == [
        "1 of 2 prompts are rewri", "the prompt 'a red three ",
    ]  # fmt: skip
    np.testing.assert_array_equal(both, sampled(model, text=[LONG, OTHER], rewrite=False))
    numpy = np.array([SHORT, SHORT])
    with pytest.warns(UserWarning, match="2 of 2 prompts are .*, the first: 'two digits"):
        sampled(model, text=numpy)


def test_what_guidance_leads_away_from_is_not_rewritten(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampled(model, text=LONG, negative={"text": SHORT})


def test_it_is_saved_with_the_model_and_known_of_older_ones(model, tmp_path):
    model.save(tmp_path / "new")
    saved = Pipeline.load(tmp_path / "new")
    assert saved.conditioner.conditions["text"].rewrite == "scenes-long"
    older = replace(saved.conditioner.conditions["text"], rewrite="")
    older = replace(saved, conditioner=Conditioner({"text": older}))
    with pytest.warns(UserWarning, match="is rewritten"):
        np.testing.assert_array_equal(sampled(older, text=SHORT), sampled(saved, text=LONG))
    plain = older.with_facts({"data": "scenes"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampled(plain, text=SHORT)
    index = json.loads((tmp_path / "new/model_index.json").read_text())
    assert index["conditions"]["text"]["rewrite"] == "scenes-long"


def test_a_model_that_does_not_rewrite_by_default(model):
    quiet = replace(model, defaults=replace(model.defaults, rewrite=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = sampled(quiet, text=SHORT)
    np.testing.assert_array_equal(kept, sampled(model, text=SHORT, rewrite=False))


def test_bad_names_are_refused(model):
    text = model.conditioner.conditions["text"]
    with pytest.raises(UsageError, match="no rewriting of prompts called 'scenes'"):
        Text(text.tokenizer, 4, rewrite="scenes")
    with pytest.raises(UsageError, match="rewrite = 'no': give True or False"):
        sampled(model, text=SHORT, rewrite="no")


def test_the_command_says_it_and_the_file_has_what_was_used(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / "m")
    ask = ["sample", "m", "--prompt", SHORT, "--n", "2", "--steps", "2", "--device", "cpu"]
    with pytest.warns(UserWarning, match=LONG) as told:
        assert main([*ask, "--out", "a.png"]) == 0
    assert len(told) == 1
    facts = json.loads(Image.open("a.png").text["demist"])
    assert facts["sampling"]["text"] == LONG
    assert main([*ask, "--no-rewrite", "--out", "b.png"]) == 0
    facts = json.loads(Image.open("b.png").text["demist"])
    assert (facts["sampling"]["text"], facts["sampling"]["rewrite"]) == (SHORT, False)


def test_a_damaged_name_is_said(model, tmp_path):
    model.save(tmp_path / "m")
    index = tmp_path / "m/model_index.json"
    index.write_text(index.read_text().replace('"rewrite": "scenes-long"', '"rewrite": "other"'))
    with pytest.raises(DataError):
        Pipeline.load(tmp_path / "m")
