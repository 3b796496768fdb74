"""`demist sample` with recordings and seconds: what is written, what is said, what is refused."""

import wave

import numpy as np
import pytest

from demist import train
from demist.cli import main
from demist.data.sounds.write import wav_bytes
from demist.drawing import read_metadata

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
RATE = 4000


def tone(seconds, pitch=300, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * pitch * t)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model that was shown parts, one that was not, and recordings."""
    pytest.importorskip("tokenizers")
    place = tmp_path_factory.mktemp("lasting")
    (place / "tones").mkdir()
    rows = ["file_name,label,text"]
    for i in range(8):
        word, pitch = (("low", 200), ("high", 900))[i % 2]
        (place / "tones" / f"{i}.wav").write_bytes(wav_bytes(tone(0.25, pitch + 10 * i), RATE))
        rows.append(f"{i}.wav,{word},a {word} tone")
    (place / "tones" / "metadata.csv").write_text("\n".join(rows))
    for given in (0.5, None):
        train(
            place / "tones", runs=str(place / "runs"), quiet=True, given=given, batch_size=4,
            channels_per_level=(8, 16), head_dim=8, text_width=32, text_depth=1, threads=1,
            steps=1, sample_count=2, sample_steps=1, name="told" if given else "untold",
        )  # fmt: skip
    (place / "a.wav").write_bytes(wav_bytes(tone(0.3), RATE))
    (place / "fast.wav").write_bytes(wav_bytes(tone(0.3, rate=8000), 8000))
    (place / "short.wav").write_bytes(wav_bytes(tone(0.01), RATE))
    (place / "silent.wav").write_bytes(wav_bytes(np.zeros(900), RATE))
    (place / "cut.wav").write_bytes(wav_bytes(tone(0.3), RATE)[:700])
    (place / "picture.wav").write_bytes(b"\xff\xd8\xff\xe0 no sound at all")
    return place


def samples_of(path):
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def ask(place, *words, run="1"):
    return main(["sample", run, "--runs", str(place / "runs"), "--steps", "2", *words])


def test_a_recording_is_continued_in_several_ways(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = str(place / "a.wav")
    more = ("--play-all", "all.wav", "--animate", "film.gif", "--arrays", "x.npy")
    assert ask(place, "--continue", file, "--seconds", "0.6", "--n", "2", "--out", "on", *more) == 0
    out, said = capsys.readouterr()
    assert out.split() == ["on/page.png", "all.wav", "x.npy", "film.gif"]
    assert "converted" not in said
    assert "without --given" not in said
    one, two = (samples_of(tmp_path / "on" / f"00{i}.wav") for i in range(2))
    kept = samples_of(file)
    assert len(one) == len(two) == 2400
    assert np.abs(one[: len(kept)] - kept).max() <= 1  # of 32,767
    assert not np.array_equal(one, two)
    facts = read_metadata(tmp_path / "on" / "page.png")["sampling"]
    assert facts["continue"] == file
    assert (facts["seconds"], facts["n"], facts["steps"]) == (0.6, 2, 2)
    assert np.load("x.npy").shape == (2, 1, 2400)


def test_what_is_converted_and_what_the_model_never_learned_is_said(place, tmp_path, capsys):
    file, out = str(place / "fast.wav"), str(tmp_path / "o")
    assert ask(place, "--continue", file, "--seconds", "0.5", "--out", out, run="2") == 0
    said = capsys.readouterr().err
    assert "8,000 samples a second are brought to the model's 4,000" in said
    assert "trained without --given, so what is there is put back" in said


@pytest.mark.slow
def test_gaps_are_repaired_and_recordings_restyled(place, tmp_path):
    file, kept = str(place / "a.wav"), samples_of(place / "a.wav")
    gap = ("--from", "0.1", "--to", "0.15")
    assert ask(place, "--repair", file, *gap, "--out", str(tmp_path / "r")) == 0
    made = samples_of(tmp_path / "r" / "000.wav")
    assert len(made) == len(kept)
    assert np.abs(made - kept)[[*range(400), *range(600, 1200)]].max() <= 1
    assert np.abs(made - kept)[400:600].max() > 30
    facts = read_metadata(tmp_path / "r" / "page.png")["sampling"]
    assert (facts["repair"], facts["from"], facts["to"]) == (file, 0.1, 0.15)
    assert ask(place, "--from", file, "--strength", "0", "--out", str(tmp_path / "s")) == 0
    assert np.abs(samples_of(tmp_path / "s" / "000.wav") - kept).max() <= 1
    assert ask(place, "--from", file, "--class", "low", "--out", str(tmp_path / "t")) == 0
    assert len(samples_of(tmp_path / "t" / "000.wav")) == len(kept)


@pytest.mark.slow
def test_prompts_change_over_time(place, tmp_path):
    words = ("--prompt", "a low tone", "--to-prompt", "a high tone", "--n", "1")
    assert ask(place, *words, "--seconds", "0.6", "--out", str(tmp_path / "p")) == 0
    assert len(samples_of(tmp_path / "p" / "000.wav")) == 2400
    facts = read_metadata(tmp_path / "p" / "page.png")["sampling"]
    assert (facts["text"], facts["to_prompt"]) == ("a low tone", "a high tone")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("--continue short.wav --seconds 1", 64, "lasts 0.01 s; to go on from it"),
        ("--continue a.wav --seconds 0.2", 64, "lasts 0.3 s already"),
        ("--continue a.wav", 64, "--continue: say how long the sound is"),
        ("--continue cut.wav --seconds 1", 65, "cut.wav: it is cut"),
        ("--continue silent.wav --seconds 1", 65, "silent.wav: it is silent"),
        ("--continue picture.wav --seconds 1", 65, "picture.wav: it is no sound"),
        ("--continue none.wav --seconds 1", 66, "none.wav: there is no such file"),
        ("--repair a.wav --from 0.2 --to 0.5", 64, "0.2 to 0.5 s does not lie within"),
        ("--repair a.wav --from 0.2", 64, "--repair: say where the gap begins and ends"),
        ("--repair a.wav --from 0.1 --to 0.2 --seconds 1", 64, "--repair makes no sound longer"),
        ("--from 0.2 --to 0.3", 64, "add --repair FILE"),
        ("--from a.wav --strength 1.5", 64, "--strength 1.5: give a number from 0 to 1"),
        ("--strength 0.5", 64, "--strength says how much of a recording"),
        ("--from a.wav --continue a.wav --seconds 1", 64, "each want a recording"),
        ("--seconds 0.5 --to-prompt x", 64, "--to-prompt is what --prompt changes to"),
        ("--prompt x --to-prompt y", 64, "--to-prompt changes what is asked for over time"),
        ("--seconds 0", 64, "seconds = 0: give more than 0"),
        ("--seconds 1 --grid guidance=1,2", 64, "--grid and --seconds do not go together"),
        ("--repair a.wav --from nan --to 0.1", 64, "nan to 0.1 s does not lie within"),
    ],
)
def test_each_mistake_is_one_sentence(place, capsys, monkeypatch, words, code, sentence):
    monkeypatch.chdir(place)
    assert ask(place, *words.split(), "--out", "never") == code
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert not (place / "never").exists()


def test_a_model_of_images_has_no_seconds(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "digits", "--seconds", "3"]) == 64
    assert "--seconds is for sounds, and this model makes images" in capsys.readouterr().err
