"""Prompts read by a CLIP of our own, frozen, and by a tower of its form, trained along."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "training"))
from test_training_clip import DATA
from test_training_clip import config as clip_config  # noqa: F401
from test_training_run import assert_same_weights, interrupt_after
from tiny import CONFIG, one_thread  # noqa: F401

from demist.conditions import ClipText, FrozenText
from demist.conditions.states import _read
from demist.config import update
from demist.data import Column
from demist.errors import DataError, MissingError, UsageError
from demist.io.files import cache_folder
from demist.model import Pipeline, encoders
from demist.model.learned_clip import LearnedClip
from demist.runs import Run
from demist.training import texts
from demist.training.run import train
from demist.training.tasks import denoise

OPTIONS = {"channels_per_level": [8], "text_width": 32, "text_depth": 1, "text_vocabulary": 600}


@pytest.fixture
def clip(clip_config, tmp_path, monkeypatch):  # noqa: F811
    """A run that trained a CLIP."""
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    return train(clip_config, data=DATA, quiet=True)


@pytest.fixture
def config(clip):
    """Options of a run whose prompts it reads."""
    more = {"runs": str(clip.path.parent), "text_encoder": "1", "steps": 4, "text_length": 5}
    return update(CONFIG, {**OPTIONS, **more})


def files():
    return sorted((cache_folder() / "texts").glob("*.npy"))


def test_a_prompt_is_read_as_its_tower_reads_it(clip):
    made = LearnedClip.load(clip.model)
    text = FrozenText.of(Column("text", DATA.texts), (3, 8, 8), 0.1, str(clip.model))
    assert (text.length, text.features) == (made.text.length, 32)
    encoded = text.encode(["red over (blue:1.5)", None], 2)
    tokens = made.text.encode(["red over blue", None], 2)["tokens"]
    states = made.net.text.text_model(tokens)
    for row, count in ((0, 5), (1, 2)):  # with the marks of begin and end
        torch.testing.assert_close(encoded["states"][row, :count], states[row, :count])
        assert not encoded["states"][row, count:].any()
        torch.testing.assert_close(encoded["pooled"][row], states[row, count - 1])
    assert encoded["weights"][0, :5].tolist() == [1, 1, 1, 1.5, 1]
    with pytest.raises(UsageError, match=f"this model reads {text.length}; leave out 'red"):
        text.encode("red " * 20, 1)


@pytest.mark.slow
def test_kept_states_are_those_that_are_made_anew(config, monkeypatch):
    """The same training, bit for bit, with states from the disk and without."""
    kept = train(config, data=DATA, quiet=True)
    assert len(files()) == 1
    unique = len(set(DATA.texts))
    assert np.load(files()[0], mmap_mode="r").shape == (unique, 5 * 33 + 32)
    with monkeypatch.context() as patch:
        patch.setattr(
            denoise, "kept_states", lambda conditioner, values, world: (conditioner, values)
        )
        assert_same_weights(kept, train(config, data=DATA, quiet=True))
    damaged = bytearray(files()[0].read_bytes())
    damaged[-100] ^= 1
    files()[0].write_bytes(damaged)
    with pytest.warns(UserWarning, match="damaged: its text states are made again"):
        assert_same_weights(kept, train(config, data=DATA, quiet=True))
    with monkeypatch.context() as patch:
        patch.setattr(texts, "_blocks", lambda *_: (pytest.fail("they are there") for _ in "1"))
        train(update(config, {"seed": 1}), data=DATA, quiet=True)
    saved = Pipeline.load(kept.model)
    assert isinstance(saved.conditioner.conditions["text"], FrozenText)
    assert saved.sample(2, text=["red over blue", "blue over red"]).shape == (2, 3, 8, 8)


def test_another_encoder_makes_another_file_and_no_resumed_run(config, clip_config, monkeypatch):  # noqa: F811
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        cut = train(config, data=DATA, quiet=True)
    other = train(update(clip_config, {"seed": 1}), data=DATA, quiet=True)
    changed = update(config, {"text_encoder": str(other.path)})
    with pytest.raises(DataError, match="had another text_encoder"):
        train(changed, cut, resume=True, data=DATA, quiet=True)
    LearnedClip.load(other.model).save(cut.path.parent / "0001-clip" / "model", replace=True)
    with pytest.raises(DataError, match="had another text_encoder"):
        train(config, cut, resume=True, data=DATA, quiet=True)
    assert len(files()) == 2
    with pytest.raises(MissingError, match="no folder nowhere with a text encoder"):
        train(update(config, {"text_encoder": "nowhere"}), data=DATA, quiet=True)


def test_a_moved_run_without_its_encoder_samples_the_same(config, clip, tmp_path):
    run = train(config, data=DATA, quiet=True)
    asked = {"text": ["red over blue", "blue over red"]}
    made = Pipeline.load(run.model)
    before = made.of_weights(made.denoiser.net.state_dict()).sample(2, **asked)
    shutil.rmtree(clip.path)
    run = Run(run.path.rename(tmp_path / "elsewhere"))
    _read.cache_clear()
    for moved in (Pipeline.load(run.model), Pipeline.from_run(run)):
        np.testing.assert_array_equal(moved.sample(2, **asked), before)
    again = Pipeline.load(run.model)
    again.save(tmp_path / "copy")
    again.save(run.model, replace=True)  # in its own place
    np.testing.assert_array_equal(Pipeline.load(tmp_path / "copy").sample(2, **asked), before)
    np.testing.assert_array_equal(Pipeline.load(run.model).sample(2, **asked), before)
    words = tmp_path / "copy" / "text_encoder" / "tokenizer" / "merges.txt"
    words.write_text(words.read_text() + "x y\n")
    with pytest.raises(DataError, match=r"merges\.txt is damaged"):
        Pipeline.load(tmp_path / "copy")
    words.unlink()
    with pytest.raises(MissingError, match=r"no file .*merges\.txt; copy the model anew"):
        Pipeline.load(tmp_path / "copy")


def test_a_large_encoder_stays_where_it_is_and_that_is_said(config, clip, monkeypatch, capsys):
    monkeypatch.setattr(encoders, "LARGEST", 1000)
    run = train(config, data=DATA, quiet=True)
    assert not (run.model / "text_encoder").exists()
    assert f"the text encoder {clip.model} has 0.0 GB and is not copied" in capsys.readouterr().err
    made = Pipeline.load(run.model)
    assert made.conditioner.conditions["text"].folder == str(clip.model)
    assert made.sample(1, text="red over blue").shape == (1, 3, 8, 8)


@pytest.mark.parametrize("network", ["unet", "dit"])
def test_a_tower_of_its_form_is_trained_along(tmp_path, network):
    more = {
        "network": network,
        "text_tower": "clip",
        "runs": str(tmp_path),
        "width": 32,
        "depth": 1,
    }
    run = train(update(CONFIG, {**OPTIONS, **more}), data=DATA, quiet=True)
    made, live = Pipeline.load(run.model), Pipeline.from_run(run)
    text = made.conditioner.conditions["text"]
    assert isinstance(text, ClipText)
    assert text == live.conditioner.conditions["text"]
    tokens = {name for name, _ in made.denoiser.net.named_parameters()}
    assert any(
        name.endswith("text_model.encoder.layers.0.self_attn.q_proj.weight") for name in tokens
    )
    one, two = (p.sample(2, text=["red over blue", "blue over red"]) for p in (made, live))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(UsageError, match="leave one of them out"):
        train(update(CONFIG, {**OPTIONS, **more, "text_encoder": "1"}), data=DATA, quiet=True)
