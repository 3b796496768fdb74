"""Loops of music made by code: what is said of them is what is heard, and what is written."""

import csv
import wave

import numpy as np
import pytest

from demist import modalities
from demist.cli import main
from demist.data import load
from demist.data.music import instruments, mix
from demist.data.music.loop import BEATS, FACTS, KEYS, LENGTH, RATE, Loop, describe, understood
from demist.data.music.loop import invent as any_loop
from demist.data.music.one_shots import kind_of
from demist.data.music.score import PATTERNS, SCALES, Note, Score, compose
from demist.data.readers import loops
from demist.data.sounds.write import wav_bytes
from demist.errors import UsageError

LOOP = Loop("medium", "steady", "deep", "snare", "round", "bright", "a minor")


def test_loops_are_a_function_of_the_seed():
    a, b, c = (loops.draw(4, seed=seed) for seed in (0, 0, 1))
    assert a[0].fingerprint == b[0].fingerprint != c[0].fingerprint
    assert a[1] == b[1] != c[1]
    assert a[0].x.shape == (4, 1, LENGTH)
    assert float(np.abs(a[0].x[:]).max()) == pytest.approx(mix.PEAK)
    assert loops.draw(4, "test")[1] != a[1]
    data = modalities.load("loops", limit=4)
    assert data.fingerprint == a[0].fingerprint
    assert data.kind == f"sounds:rate={RATE}"
    assert "4 sounds, captions" in data.report.paragraph()


def test_training_has_nothing_held_out_and_the_held_out_set_nothing_else():
    rng = np.random.default_rng(0)
    every = [any_loop(rng) for _ in range(150)]
    kept = {(one.lead, one.tempo) for one in every if not one.unseen}
    assert len(kept) == 6
    assert {lead for lead, _ in kept} == set(FACTS["lead"])
    assert {tempo for _, tempo in kept} == set(FACTS["tempo"])
    assert all(not one.unseen for one in loops.draw(20)[1])
    assert all(one.unseen == {"bindings"} for one in loops.draw(20, held_out="bindings")[1])


def test_every_caption_is_true_and_whole_ones_say_all():
    rng, counts = np.random.default_rng(0), set()
    for _ in range(60):
        loop = any_loop(rng)
        assert understood(describe(loop, rng, whole=True)) == loop.facts
        said = understood(describe(loop, rng))
        assert said.items() <= loop.facts.items()
        assert {"tempo", "kick", "lead", "key"} <= said.keys()
        counts.add(len(said))
    assert counts == {4, 5, 6, 7}


def test_captions_are_the_same_in_every_process():
    """Facts are left out in their own order, and not in that of a set."""
    said = [describe(LOOP, np.random.default_rng(seed)) for seed in range(4)]
    assert said == [
        "in a minor, a moderate beat with a round bass, a sharp lead and a deep kick",
        "a medium steady beat with a round bass, a sharp lead, a deep kick and a snare in a minor",
        "in a minor, a moderate steady beat with a deep kick, a round bass and a bright melody",
        "moderate steady beat, a deep kick, a snare, a bright lead, in a minor",
    ]


def test_prompts_are_read_or_refused():
    assert understood("A fast beat with a deep kick and a bright lead in a minor") == {
        "tempo": "fast", "kick": "deep", "lead": "bright", "key": "a minor",
    }  # fmt: skip
    with pytest.raises(UsageError, match="'a fast beat with a banjo' is in other words"):
        understood("a fast beat with a banjo")
    with pytest.raises(UsageError, match="two of tempo: slow and fast"):
        understood("a slow fast beat")
    with pytest.raises(UsageError, match="in other words"):
        understood("")


def test_notes_are_of_the_key_and_strokes_of_the_groove():
    rng = np.random.default_rng(0)
    for _ in range(200):
        loop = any_loop(rng)
        score = compose(loop, rng)
        assert score.steps == 2 * BEATS[loop.tempo] == len(PATTERNS[loop.tempo, loop.groove][0])
        rows = ["".join("x" if i in {n.step for n in part} else "." for i in range(score.steps))
                for part in (score.kick, score.snare)]  # fmt: skip
        assert tuple(rows) == PATTERNS[loop.tempo, loop.groove]
        tonic, minor = KEYS[loop.key]
        played = [(note.pitch - tonic) % 12 for note in score.lead]
        assert set(played) <= set(SCALES[minor])
        assert {0, 3 if minor else 4, 7} <= set(played)
        assert {(note.pitch - tonic) % 12 for note in score.bass} <= {0, 7}
        assert all(note.step + note.steps <= score.steps for note in (*score.lead, *score.bass))


def test_patterns_of_a_tempo_differ_and_have_its_steps():
    for tempo, beats in BEATS.items():
        rows = [PATTERNS[tempo, groove] for groove in FACTS["groove"]]
        assert len(set(rows)) == 3
        assert {len(row) for pair in rows for row in pair} == {2 * beats}


def test_a_loop_goes_round():
    """What rings when it ends is heard when it begins again: shifted notes are a shifted wave."""

    def played(step):
        note = (Note(step),)
        return mix.mixed(Score(8, note, note, note, (), ()), LOOP, (0, 0, 0))

    np.testing.assert_allclose(np.roll(played(7), LENGTH // 8), played(0), atol=1e-6)
    assert np.abs(played(7)[: LENGTH // 16]).max() > 0.01


@pytest.mark.parametrize("pitch", [69, 76, 84])
@pytest.mark.parametrize("kind", FACTS["lead"])
def test_a_lead_has_its_pitch(kind, pitch):
    x = instruments.lead(kind, pitch, RATE // 2)
    assert np.abs(np.fft.rfft(x)).argmax() * 2 == pytest.approx(instruments.frequency(pitch), abs=3)


def test_one_shots_are_classes():
    data = modalities.load("one-shots", limit=40)
    assert data.classes == mix.STROKES
    assert np.bincount(data.labels).tolist() == [4] * 10
    assert data.x.shape == (40, 1, mix.STROKE)
    assert modalities.splits("one-shots") == ("train", "test")


def test_their_rate_and_length_are_what_they_are():
    assert modalities.load("loops", limit=2, rate=8000, seconds=2.048).x.rate == 8000
    for wrong in ({"rate": 16_000}, {"seconds": 1.0}):
        with pytest.raises(UsageError, match=r"loops are 2.048 s of 8,000 .* leave out --rate"):
            modalities.load("loops", limit=2, **wrong)
    with pytest.raises(UsageError, match="loops holds sounds: --size and --channels are for imag"):
        modalities.load("loops", limit=2, size=32)
    with pytest.raises(UsageError, match="no split 'valid'; there are train and test"):
        load("loops", limit=2, split="valid")


def test_make_loops_writes_a_folder_that_is_read_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["make-loops", "--out", "mine", "--n", "3"]) == 0
    assert "train on them: demist train mine --recipe loops" in capsys.readouterr().out
    with (tmp_path / "mine" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    data, known = loops.draw(3)
    assert [row["text"] for row in rows] == list(data.texts)
    assert [{name: row[name] for name in FACTS} for row in rows] == [one.facts for one in known]
    with wave.open(str(tmp_path / "mine" / rows[1]["file_name"])) as file:
        assert (file.getframerate(), file.getnframes()) == (RATE, LENGTH)
        x = np.frombuffer(file.readframes(LENGTH), "<i2") / 32767
    np.testing.assert_allclose(x, data.x[1][0], atol=1e-4)
    assert main(["make-loops", "--out", "mine", "--n", "3"]) == 73
    assert main(["make-loops", "--out", "x/y", "--n", "3"]) == 73
    assert main(["make-loops", "--out", "x", "--n", "0"]) == 64
    assert main(["make-loops", "--out", "x", "--drums", "none"]) == 66
    assert "there is no folder of drums at none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bd_808.flac", "kick"), ("a/Kick 01.wav", "kick"), ("drum_heavy_kick.wav", "kick"),
        ("kick2.wav", "kick"), ("drum_bass_hard.wav", "kick"), ("sn_dub.wav", "snare"),
        ("elec_hi_snare.flac", "snare"), ("perc_snap2.wav", "clap"), ("Clap-1.aif", "clap"),
        ("hat_bdu.flac", "hat"), ("tabla_re.flac", ""), ("drum_cymbal_open.wav", ""),
        ("snake.wav", ""),
    ],
)  # fmt: skip
def test_names_say_what_a_stroke_is(name, kind):
    assert kind_of(name) == kind


def test_drums_of_a_folder_take_the_place_of_those_made(tmp_path, monkeypatch, capsys):
    pytest.importorskip("soundfile")
    pytest.importorskip("soxr")
    monkeypatch.chdir(tmp_path)
    t = np.arange(4000) / RATE
    for name, seconds in (("kick long", 0.1), ("kick quick", 0.01)):
        x = np.sin(2 * np.pi * 333 * t) * np.exp(-t / seconds)
        (tmp_path / f"{name}.wav").write_bytes(wav_bytes(x, RATE))
    (tmp_path / "snare.wav").write_bytes(b"")
    assert main(["make-loops", "--out", "mine", "--n", "2", "--drums", "."]) == 0
    said = capsys.readouterr().out
    assert "1 deep kick, 1 short kick; made by code: snare, clap, hat." in said
    from demist.data.files.folder import Folder
    from demist.data.music.one_shots import kit_of

    kit = kit_of(Folder.scan(tmp_path))
    deep, short = kit.kick("deep", 5), kit.kick("short", 5)
    assert (deep[400:] ** 2).sum() > 10 * (short[400:] ** 2).sum()
    assert np.array_equal(kit.snare("snare", 3), instruments.snare("snare", 3))
    for name in ("kick long", "kick quick"):
        (tmp_path / f"{name}.wav").unlink()
    assert main(["make-loops", "--out", "other", "--n", "2", "--drums", "."]) == 65
    assert "has no drums: names of files say what they are" in capsys.readouterr().err
