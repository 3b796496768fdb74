"""Folders of sound: what is read, what is left out and why, and what is made of it."""

import io
import re
import wave

import numpy as np
import pytest

from demist import modalities
from demist.data import Dataset
from demist.data.sounds import clips, decode, write
from demist.errors import DataError, MissingError, UsageError
from demist.machine import memory, packages

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")


def tone(seconds=0.5, rate=8000, pitch=440.0, channels=1):
    t = np.arange(round(seconds * rate)) / rate
    x = 0.5 * np.sin(2 * np.pi * pitch * t)
    return np.stack([x] * channels, 1).astype(np.float32)


def save(path, x=None, rate=8000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(rate=rate) if x is None else x, rate, **options)


@pytest.fixture
def folder(tmp_path):
    """Two classes of three tones, each of its own pitch."""
    for i in range(6):
        save(tmp_path / "sounds" / ("low" if i < 3 else "high") / f"{i}.wav",
             tone(0.3 + 0.05 * i, pitch=200 + 100 * i))  # fmt: skip
    return tmp_path / "sounds"


def load(folder, **options) -> Dataset:
    return modalities.load(str(folder), **options)


def test_a_folder_of_sounds_with_classes(folder):
    data = load(folder)
    assert data.kind == "sounds:rate=8000"
    assert data.classes == ("high", "low")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.x.shape == (6, 1, 5120)  # 0.55 s, in multiples of 8 spectra
    x = data.x[:]
    assert x.dtype == np.float32
    assert float(np.abs(x).max()) == pytest.approx(0.5, abs=1e-3)
    assert not x[3, 0, 2400:].any()  # 0.wav, the first of "low"
    said = data.report.paragraph()
    assert "6 sounds, 2 classes of 3" in said
    assert "0.64 s of 8,000 samples a second (0.3 to 0.55 s before)" in said
    assert modalities.of(data).rate == 8000
    assert modalities.record(data) == {"kind": "sounds:rate=8000"}


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_every_format_is_read(tmp_path, ending):
    if ending == "mp3" and "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile knows no MP3")
    for i in range(2):
        save(tmp_path / f"{i}.{ending}")
    data = load(tmp_path)
    assert data.x.rate == 8000
    spectrum = np.abs(np.fft.rfft(data.x[0][0, :4000]))
    assert spectrum.argmax() * 2 == pytest.approx(440, abs=4)


def test_captions_and_further_columns_come_from_metadata(folder):
    lines = ["file_name,text,speaker"]
    lines += [f"{'low' if i < 3 else 'high'}/{i}.wav,tone number {i},{'ab'[i % 2]}"
              for i in range(6)]  # fmt: skip
    (folder / "metadata.csv").write_text("\n".join(lines))
    data = load(folder)
    assert data.texts == tuple(f"tone number {i}" for i in (3, 4, 5, 0, 1, 2))
    assert data.columns["speaker"].kind == "class"


def test_splits_are_found_and_share_rate_and_length(tmp_path):
    for i in range(4):
        save(tmp_path / "train" / f"{i}.wav", tone(0.6, 8000))
        save(tmp_path / "test" / f"{i}.wav", tone(0.2, 16000), 16000)
    assert modalities.splits(str(tmp_path)) == ("test", "train")
    train, test = modalities.train_and_test(str(tmp_path))
    assert train.x.shape == test.x.shape
    assert test.x.rate == 8000


def test_channels_are_mixed_and_rates_brought_together(tmp_path):
    save(tmp_path / "a.wav", tone(0.5))
    save(tmp_path / "b.wav", tone(0.5, channels=2))
    save(tmp_path / "c.wav", tone(0.5, 192_000), 192_000)
    save(tmp_path / "d.wav", tone(0.5, 4000), 4000)
    save(tmp_path / "e.wav", tone(0.5, channels=8))
    data = load(tmp_path)
    x = data.x[:][:, 0, 800:3200]
    np.testing.assert_allclose(x, np.repeat(x[:1], 5, 0), atol=2e-3)
    said = data.report.paragraph()
    assert "1 from 192,000 to 8,000 samples a second" in said
    assert "2 of up to 8 channels mixed to one" in said


def test_rate_and_seconds_can_be_said(folder):
    data = load(folder, rate=16_000, seconds=0.25)
    assert data.x.rate == 16_000
    assert data.x.shape == (6, 1, 4096)  # 0.256 s
    assert "of 6 longer ones training sees a part drawn anew in each epoch" in (
        data.report.paragraph()
    )


def test_a_part_is_drawn_where_it_is_said(folder):
    x = load(folder, seconds=0.25).x
    rows = np.arange(6)
    first, last = x.at(rows, np.zeros(6)), x.at(rows, np.full(6, 0.999999))
    whole = load(folder, seconds=0.6).x[:]
    assert np.array_equal(first[3], whole[3][:, :2048])
    n = x.sounds[3].samples
    assert np.array_equal(last[3], whole[3][:, n - 2048 : n])
    assert np.array_equal(x[[4, 2]], x[:][[4, 2]])


def bad(tmp_path, count=3):
    for i in range(count):
        save(tmp_path / f"good{i}.wav", tone(0.5, pitch=300 + i))


REASONS = {
    "empty": "it is empty",
    "cut": "it is cut",
    "aiff": "it is cut",
    "no samples": "it has no samples",
    "silent": "it is silent",
    "nan": "not a number",
    "jpeg": "no sound that can be read",
}


@pytest.mark.parametrize("what", REASONS)
def test_a_bad_file_is_left_out_with_its_reason(tmp_path, what):
    bad(tmp_path)
    path = tmp_path / ("bad.aiff" if what == "aiff" else "bad.wav")
    if what == "empty":
        path.write_bytes(b"")
    elif what == "jpeg":
        path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(500))
    else:
        x = tone()
        x = {"no samples": x[:0], "silent": 0 * x, "nan": np.where(x > 0.4, np.nan, x)}.get(what, x)
        save(path, x, subtype="FLOAT" if what == "nan" else "PCM_16")
    if what in ("cut", "aiff"):
        path.write_bytes(path.read_bytes()[:-3000])
    data = load(tmp_path, max_bad=0.5)
    assert len(data) == 3
    (fault,) = data.bad
    assert fault.path == path.name
    assert REASONS[what] in fault.reason
    with pytest.raises(DataError, match=r"1 % of the 4 sounds .* cannot be read"):
        load(tmp_path)


@pytest.mark.slow
def test_few_bad_ones_among_many_are_tolerated(tmp_path):
    whole = write.wav_bytes(tone(0.05)[:, 0], 8000)
    for i in range(1000):
        (tmp_path / f"{i:03d}.wav").write_bytes(whole)
    silent = write.wav_bytes(np.zeros(400), 8000)
    bad = [b"", whole[:300], silent, write.wav_bytes(np.zeros(0), 8000), b"\xff\xd8" + bytes(99)]
    for i, content in enumerate(bad):
        (tmp_path / f"{100 * i:03d}.wav").write_bytes(content)
    data = load(tmp_path)
    assert len(data) == 995
    words = ("empty", "cut", "silent", "no samples", "no sound that can be read")
    assert all(word in one.reason for word, one in zip(words, data.bad, strict=True))
    assert "Left out: 5 unreadable files (000.wav, 100.wav" in data.report.paragraph()


@pytest.mark.slow
def test_an_hour_among_short_ones_does_not_lengthen_them(tmp_path):
    """Whose length is the 95th percentile of all, at most 4 s; the hour is read in blocks."""
    for i in range(3):
        save(tmp_path / f"{i}.wav", tone(0.5, 4000), 4000)
    hour = np.tile(tone(1, 4000), (3600, 1))
    save(tmp_path / "hour.wav", hour, 4000)
    data = load(tmp_path)
    assert data.x.shape == (4, 1, 16_384)  # 4 s, in multiples of 8 spectra
    assert data.x.sounds[3].samples == 3600 * 4000
    at = data.x.at(np.array([3]), np.array([0.999]))[0, 0]
    assert float(np.abs(at).max()) == pytest.approx(0.5, abs=1e-3)
    assert "0.5 to 3.6e+03 s before" in data.report.paragraph()


def test_very_short_ones_are_followed_by_silence(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.wav", tone(0.003))
    assert load(tmp_path).x.shape == (3, 1, 1024)


def test_two_kinds_in_one_folder_are_asked_about(folder):
    from PIL import Image

    for i in range(6):
        Image.new("L", (8, 8), 40 * i).save(folder / f"{i}.png")
    with pytest.raises(UsageError, match="--kind images or --kind sounds"):
        load(folder)
    assert len(load(folder, kind="sounds")) == 6


def test_what_is_no_folder_of_sounds_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match="is a single sound"):
        load(folder / "low" / "0.wav")
    with pytest.raises(UsageError, match="--rate and --seconds are for sounds"):
        modalities.load("digits", rate=8000)
    with pytest.raises(UsageError, match="--size and --channels are for images"):
        load(folder, size=32)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("a")
    with pytest.raises(DataError, match=r"is called like a sound.*there are: \.txt"):
        load(tmp_path / "none", kind="sounds")


def test_without_the_library_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr(packages, "installed", lambda package: package != "soundfile")
    with pytest.raises(MissingError, match=re.escape("pip install 'demist[sound]'")):
        load(folder)


def test_an_archive_is_read_as_a_folder_is(folder, tmp_path):
    import shutil

    path = shutil.make_archive(str(tmp_path / "sounds"), "zip", folder)
    np.testing.assert_array_equal(load(path).x[:], load(folder).x[:])


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
def test_sounds_on_the_disk_are_those_in_memory(tmp_path, monkeypatch, rate):
    draw = np.random.default_rng(0)
    for i, seconds in enumerate((0.3, 9.0)):
        x = np.cumsum(draw.normal(size=(round(seconds * rate), 1)), 0)
        save(tmp_path / f"{i}.wav", (x / np.abs(x).max()).astype(np.float32), rate)
    held = load(tmp_path, rate=8000, seconds=0.5)
    monkeypatch.setattr(memory, "SHARE", 1e-12)
    stays = load(tmp_path, rate=8000, seconds=0.5)
    assert stays.lazy
    assert not held.lazy
    assert stays.fingerprint == held.fingerprint
    rows, places = np.array([0, 1, 1, 1]), np.array([0.0, 0.0, 0.61, 0.9999])
    np.testing.assert_allclose(stays.x.at(rows, places), held.x.at(rows, places), atol=2e-4)
    (tmp_path / "1.wav").unlink()
    with pytest.raises(DataError, match="restore it"):
        stays.x[1]


def test_held_out_sounds_are_others(folder):
    train, test = load(folder).divided(np.array([1, 4]))
    assert (len(train), len(test)) == (4, 2)
    assert isinstance(train.x, clips.Clips)
    assert train.fingerprint != test.fingerprint


def test_a_wav_file_holds_what_was_written():
    x = tone()[:, 0]
    with wave.open(io.BytesIO(write.wav_bytes(x, 8000))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        found = np.frombuffer(file.readframes(len(x)), "<i2") / 32767
    np.testing.assert_allclose(found, x, atol=1e-4)
    both = write.in_turn(np.stack([x, x])[:, None], 8000)
    assert len(both) == 2 * len(x) + 2000


def test_loud_floats_are_brought_to_full_scale():
    file = io.BytesIO()
    soundfile.write(file, 8 * tone(), 8000, format="WAV", subtype="FLOAT")
    x, _, peak = decode.decode(file.getvalue(), 8000)
    assert peak == pytest.approx(4, abs=0.01)
    assert np.abs(x).max() == 1
