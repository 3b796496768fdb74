"""Sounds from a folder to WAV files: trained, sampled, drawn, filmed."""

import wave

import numpy as np
import pytest
from PIL import Image

from demist import Pipeline, train
from demist.cli import main
from demist.data.sounds.write import wav_bytes
from demist.drawing import read_metadata
from demist.errors import UsageError
from demist.modalities import MODALITIES, of

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
RATE = 4000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Low and high tones, three takes each, with captions."""
    place = tmp_path_factory.mktemp("data") / "tones"
    place.mkdir()
    rows = ["file_name,label,text"]
    t = np.arange(1000) / RATE
    for i in range(12):
        word, pitch = (("low", 200), ("high", 900))[i % 2]
        x = 0.5 * np.sin(2 * np.pi * (pitch + 10 * i) * t)
        (place / f"{i}.wav").write_bytes(wav_bytes(x, RATE))
        rows.append(f"{i}.wav,{word},a {word} tone")
    (place / "metadata.csv").write_text("\n".join(rows))
    return place


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    options = {
        "channels_per_level": (8, 16),
        "head_dim": 8,
        "batch_size": 4,
        "steps": 3,
        "sample_count": 4,
    }
    return train(
        folder, runs=str(tmp_path_factory.mktemp("runs")), quiet=True, captions=False,
        sample_steps=2, threads=1, **options,
    )  # fmt: skip


def test_a_run_of_sounds_keeps_what_a_sound_is(run):
    pipeline = Pipeline.from_run(run)
    assert pipeline.facts["kind"] == f"sounds:rate={RATE}"
    assert of(pipeline).rate == RATE
    assert pipeline.shape == (1, 1024)
    assert pipeline.state_shape == (1, 64, 16)
    assert pipeline.codec.rate == RATE
    x = pipeline.sample(3, label="low", steps=2)
    assert x.shape == (3, 1, 1024)
    assert x.dtype == np.float32
    assert float(np.abs(x).max()) <= 1
    np.testing.assert_allclose(
        pipeline.sample(3, label="low", steps=2, rows=[1]), x[1:2], atol=1e-3
    )


def test_training_leaves_a_page_and_all_samples_in_one_file(run):
    page = run.image(3)
    assert page.exists()
    with wave.open(str(page.with_suffix(".wav"))) as file:
        assert file.getframerate() == RATE
        assert file.getnframes() == 4 * 1024 + 3 * 1000  # a quarter of a second between them


def test_sample_writes_a_folder_of_wav_files(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ["sample", str(run.path), "--class", "high", "--n", "3", "--steps", "2"]
    assert main([*args, "--out", "tones", "--play-all", "all.wav", "--animate", "film.gif"]) == 0
    assert capsys.readouterr().out.split() == ["tones/page.png", "all.wav", "film.gif"]
    names = sorted(path.name for path in (tmp_path / "tones").iterdir())
    assert names == ["000.wav", "001.wav", "002.wav", "page.png"]
    facts = read_metadata(tmp_path / "tones" / "page.png")
    assert facts["sampling"]["steps"] == 2
    assert facts["model"]["kind"] == f"sounds:rate={RATE}"
    with wave.open(str(tmp_path / "all.wav")) as file:
        assert file.getnframes() == 3 * 1024 + 2 * 1000
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames >= 2
    assert main(args) == 0
    assert (tmp_path / "samples" / "000.wav").exists()
    assert main([*args, "--out", "tones"]) == 73
    assert "tones exists already" in capsys.readouterr().err
    assert main([*args, "--out", "x.png"]) == 64
    assert "name one, as --out x" in capsys.readouterr().err


def test_only_sounds_are_played(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "digits", "--n", "1", "--steps", "1", "--play-all", "a.wav"]) == 64
    assert "--play-all is for sounds" in capsys.readouterr().err


@pytest.mark.parametrize("network", ["unet", "dit"])
def test_prompts_describe_sounds(folder, tmp_path, network):
    pytest.importorskip("tokenizers")
    run = train(
        folder, runs=str(tmp_path), quiet=True, labels=False, network=network, batch_size=4,
        channels_per_level=(8, 16), head_dim=8, width=32, depth=1, text_width=32, text_depth=1,
        steps=1, sample_count=2, sample_steps=1, threads=1,
    )  # fmt: skip
    pipeline = Pipeline.from_run(run)
    assert list(pipeline.conditioner.conditions) == ["text"]
    assert pipeline.sample(1, text="a low tone", steps=1).shape == (1, 1, 1024)


def test_mirrors_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="mirrors images"):
        train(folder, runs=str(tmp_path), quiet=True, flip=True, steps=1)


def test_a_page_shows_low_below_and_loud_bright():
    sounds = MODALITIES.make("sounds:rate=8000")
    t = np.arange(4096) / 8000
    x = np.stack([np.sin(2 * np.pi * f * t) for f in (200, 2000)])[:, None].astype(np.float32)
    loud = sounds.decibels(x)
    assert loud.shape == (2, 64, 32)
    assert float(loud.max()) == pytest.approx(0, abs=1.5)
    assert loud[0, :, 16].argmax() < loud[1, :, 16].argmax()
    page = np.asarray(sounds.draw(x).convert("L"), float)
    left, right = np.split(page, [page.shape[1] // 2], 1)
    heights = [part[:, 20:-20].mean(1)[6:-6].argmax() for part in (left, right)]
    assert heights[0] > heights[1]  # the low tone is drawn further below


def test_sounds_are_measured_by_what_is_heard(run, folder, monkeypatch):
    """Real sounds score as real ones do; the same ones upside down in pitch do not."""
    from demist import modalities
    from demist.codecs import LogMel
    from demist.evaluation.ruler import Asked, Ruler
    from demist.modalities.listening import pictures
    from demist.training.judge import train_classifier

    data = modalities.load(str(folder))
    kind = of(data)
    seen = pictures(kind, data.x)
    assert seen.shape == (12, 1, 64, 16)
    assert seen.dtype == np.uint8
    expert = train_classifier(seen, data.labels, data.classes, epochs=1, width=4)
    ruler = Ruler(data, data, judge=lambda train, test: expert)
    names = [data.classes[i] for i in data.labels]
    asked = Asked({"label": names}, [], "", classes="label")
    codec = Pipeline.from_run(run).codec
    assert isinstance(codec, LogMel)
    x = data.x[:]
    (report,) = kind.measure({0: x}, ruler, asked, codec)
    assert report["metrics"]["copies"]["value"] == 1  # they are the training sounds
    assert report["codec"]["metrics"]["fd"] > report["metrics"]["fd"]["value"]
    (other,) = kind.measure({0: np.sign(x)}, ruler, asked)
    assert other["metrics"]["fd"]["value"] > report["metrics"]["fd"]["value"]
    assert "codec" not in other
