"""The job of the page Denoise: attention to words, looks at latents, sounds to be heard."""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from coded_models import in_latents, of_sounds
from PIL import Image

from demist import modalities
from demist.codecs import KLAutoencoder
from demist.editing import attending
from demist.model import Trace, open_model
from demist.model.recording import recorded
from demist.networks import UNet
from demist.studio.jobs import denoise
from demist.studio.telling import Tell

sys.path.insert(0, str(Path(__file__).parents[1] / "editing"))
from small import NETS, small

PROMPT = {"text": "a red three"}


@pytest.fixture
def job(tmp_path, monkeypatch):
    """`job(name, **settings)`: run one in a folder of that name; its trace and what it told."""
    monkeypatch.setenv("DEMIST_STUDIO_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs").mkdir()
    jobs = tmp_path / "runs" / "studio" / "jobs"

    def run(number, **settings):
        folder = jobs / f"{number:06d}-denoise"
        folder.mkdir(parents=True)
        asked = {"kind": "denoise", "settings": settings}
        (folder / "job.json").write_text(json.dumps(asked))
        told = []
        tell = Tell(folder.name, folder, lambda header, data: told.append((header, data)))
        denoise.run(denoise.Settings(**settings), folder, tell)
        tell.keep()
        return Trace.load(folder / "trace.safetensors"), [header for header, _ in told]

    run.runs, run.jobs = tmp_path / "runs", jobs
    return run


def facts(told):
    return [one["facts"] for one in told if one["type"] == "step"]


@pytest.mark.slow
def test_attention_is_recorded_and_a_branch_keeps_it(job):
    small().save(job.runs / "worded")
    trace, told = job(1, model="folder-worded", n=2, cond=PROMPT, steps=4)
    maps = trace.attention
    assert maps.shape == (4, 2, 3, 8, 8)
    assert trace.facts["words"] == [["a", "red", "three"]] * 2
    assert maps.min() > 0
    assert maps.sum(2).max() < 1, "marks of beginning and end have their share, too"
    assert [one["words"] for one in facts(told)] == [["a", "red", "three"]] * 5
    plain = small().trace(2, text="a red three", steps=4)
    assert torch.equal(trace.x, plain.x), "who looks changes nothing"
    branch, _ = job(2, parent="000001-denoise", step=2, guidance=4.0)
    assert torch.equal(branch.attention[:2], maps[:2])
    assert not torch.equal(branch.attention[3], maps[3])
    assert not branch.attention.isnan().any()
    up, _ = job(3, parent="000001-denoise", invert=True, steps=3)
    assert up.rising
    assert up.attention.shape == (3, 2, 3, 8, 8)
    back, _ = job(4, parent="000003-denoise", step=2, cond={"text": "a blue five"})
    assert back.facts["words"] == [["a", "blue", "five"]] * 2
    assert not back.attention.isnan().any()


def test_all_tokens_together_get_all_attention(monkeypatch):
    """So what is missing to 1 over the words is what marks and padding get; of several heads."""
    heads = {"channels": (16, 32), "attention": (0, 1), "head_dim": 8}
    monkeypatch.setitem(NETS, "heads", lambda **told: UNet(**heads, **told))
    recording = attending(recorded(small("heads"), 2, text="a red three", steps=2))
    length = recording.words.tokens.shape[1]
    recording.words.tokens = torch.eye(length).expand(2, -1, -1)
    for _ in recording:
        pass
    for maps in recording._maps:
        torch.testing.assert_close(maps.sum(1), torch.ones(2, 8, 8), atol=1e-5, rtol=0)


def test_shares_are_the_same_however_many_are_computed_at_once(monkeypatch):
    want = attending(recorded(small(), 2, text="a red three", steps=2)).run()
    monkeypatch.setattr(sys.modules[attending.__module__], "ROOM", 500)
    got = attending(recorded(small(), 2, text="a red three", steps=2)).run()
    torch.testing.assert_close(got.attention, want.attention, atol=1e-6, rtol=1e-5)


def test_what_has_no_words_is_sampled_as_before(job, monkeypatch):
    small().save(job.runs / "worded")
    trace, told = job(1, model="folder-worded", n=1, steps=2)
    assert trace.attention is None
    assert "words" not in trace.facts
    assert not any("words" in one for one in facts(told))
    monkeypatch.setattr(denoise, "ROOM", 1000)
    with pytest.warns(UserWarning, match="2 samples over 3 steps it might take"):
        trace, _ = job(2, model="folder-worded", n=2, cond=PROMPT, steps=3)
    assert trace.attention is None


def test_steps_in_latents_are_looked_at_by_a_linear_map_and_the_end_is_decoded(job, monkeypatch):
    pipeline = in_latents()
    pipeline.save(job.runs / "linear")
    decoded = []
    real = KLAutoencoder.decode
    monkeypatch.setattr(
        KLAutoencoder, "decode", lambda self, z: decoded.append(len(z)) or real(self, z)
    )
    trace, told = job(1, model="folder-linear", n=2)
    assert decoded == [2], "only the samples"
    assert [one["latents"] for one in facts(told)] == ["linear"] * 4
    plain = pipeline.sample(2)
    assert np.array_equal(trace.samples, plain), "who looks changes nothing"
    table = torch.tensor(pipeline.codec.colours)
    k, z = 1, pipeline.codec.scale.decode(trace.x0[1])
    small_ = torch.einsum("ck,nkhw->nchw", table[:, :-1], z) + table[:, -1, None, None]
    want = ((small_.clamp(-1, 1) + 1) * 127.5).round()
    near = trace.seen["x0"][k].float()
    assert near.std() > 1
    assert (want - near).abs().max() <= 1


def test_a_model_that_knows_no_map_says_that_it_decodes(job):
    in_latents(linear=False).save(job.runs / "decoding")
    _, told = job(1, model="folder-decoding", n=1)
    assert {one["latents"] for one in facts(told)} == {"decoded"}


@pytest.mark.parametrize("latents", [False, True])
def test_sounds_are_seen_at_each_step_and_heard_in_the_end(job, latents):
    pytest.importorskip("soundfile")
    of_sounds(latents).save(job.runs / "sounds")
    trace, told = job(1, model="folder-sounds", n=2, steps=2)
    names = [one["name"] for one in told if one["type"] == "preview"]
    assert names == ["moment-000.png", "moment-001.png", "moment-002.png"]
    with wave.open(str(job.jobs / "000001-denoise" / "sound-001.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (4000, 1024)
        heard = np.frombuffer(file.readframes(1024), np.int16) / 32768
    np.testing.assert_allclose(heard, trace.samples[1, 0], atol=1e-3)
    kind = modalities.of(open_model(str(job.runs / "sounds")))
    bands, spectra = kind.decibels(trace.samples).shape[1:]
    with Image.open(job.jobs / "000001-denoise" / "moment-001.png") as sheet:
        assert sheet.size == (2 * spectra, 2 * bands), "two sounds, x_t above x0"


def test_spectrograms_of_all_moments_have_one_scale_and_low_frequencies_below():
    from demist.drawing import below_full, coloured

    decibels = np.array([[[0.0, -80.0, -200.0], [-40.0, 0.0, 9.0]]], np.float32)  # low band first
    half, full, none = (
        coloured(np.full((1, 1, 1), x, np.float32))[0, :, 0, 0] for x in (0.5, 1, 0)
    )
    drawn = below_full(decibels)[0].transpose(1, 2, 0)
    assert drawn.tolist() == [
        [half.tolist(), full.tolist(), full.tolist()],
        [full.tolist(), none.tolist(), none.tolist()],
    ]
