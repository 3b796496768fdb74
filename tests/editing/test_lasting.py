"""Sounds longer than a model makes at once, and recordings that are changed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from demist import Pipeline
from demist.codecs import LogMel, Pixels
from demist.conditions import Conditioner, GivenPart
from demist.core import X0, Denoiser, Linear
from demist.data.sounds.write import wav_bytes
from demist.editing import continued, lasting, longer, repaired, restyled
from demist.editing.lasting import seeds_of, windows
from demist.editing.one_window import REACH, joined, mirrored, told_of
from demist.editing.recordings import Thinned, read_recording
from demist.errors import DataError, MissingError, UsageError

RATE, HOP, LENGTH = 4000, 64, 1024


class Echo(torch.nn.Module):
    """Predicts a little of what it sees, and remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.1))
        self.told = []

    def forward(self, x, t, **cond):
        self.told.append({name: value.clone() for name, value in cond.items()})
        return self.weight * x


def tone(seconds=0.2, pitch=300):
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * pitch * t)).astype(np.float32)


def model(given=True):
    codec = LogMel(RATE, HOP, 4 * HOP, fits=5, rounds=4, mean=-5.0, std=2.0)
    shape = codec.state_shape((1, LENGTH))
    conditions = {"given": GivenPart(shape)} if given else {}
    denoiser = Denoiser(Echo(), Linear(), X0())
    return Pipeline(
        denoiser, codec, Conditioner(conditions), (1, LENGTH), facts={"kind": f"sounds:rate={RATE}"}
    )


HOW = {"steps": 2, "solver": "ddim"}


@pytest.mark.parametrize("given", [True, False])
def test_a_recording_goes_on_and_stays_as_it_is(given):
    pipeline, x = model(given), tone()
    made = continued(pipeline, x, 0.6, n=2, **HOW)
    assert made.shape == (2, 1, 2400)
    assert made.dtype == np.float32
    assert np.array_equal(made[0, 0, : len(x)], x)
    assert np.array_equal(made[1, 0, : len(x)], x)
    assert np.isfinite(made).all()
    assert float(np.abs(made).max()) <= 1
    assert np.abs(made[0] - made[1]).max() > 1e-3
    again = continued(pipeline, x, 0.6, n=1, **HOW)
    np.testing.assert_allclose(again[0], made[0], atol=1e-3)
    other = continued(pipeline, x, 0.6, n=1, seed=1, **HOW)
    assert np.abs(other[0] - made[0]).max() > 1e-3


def test_the_network_is_told_the_last_part_of_what_is_there():
    pipeline, x = model(), tone(0.4)
    continued(pipeline, x, 0.6, **HOW)
    net = pipeline.denoiser.net
    told = [(one["given.clean"][0], one["given.mask"][0]) for one in net.told]
    begins = windows(len(x) - LENGTH // 2, 2400, pipeline)
    assert len(begins) == 2
    clean, mask = told[0]
    piece = np.zeros((1, 1, LENGTH), np.float32)
    piece[0, 0, : LENGTH // 2] = x[-LENGTH // 2 :]
    piece[0, 0, LENGTH // 2 : LENGTH // 2 + 2 * HOP] = x[: -2 * HOP - 1 : -1]
    expected = pipeline.encode(piece)[0]
    known = mask[0, 0] == 0
    assert 4 <= int(known.sum()) <= LENGTH // 2 // HOP
    assert torch.equal(clean[..., known], expected[..., known])
    last = expected[..., known][..., -1:].expand_as(clean[..., ~known])
    assert torch.equal(clean[..., ~known], last)


@pytest.mark.parametrize("how", [{}, {"seed": 1}])
def test_windows_are_told_one_after_another_and_have_noise_of_their_own(how, monkeypatch):
    pipeline, seeds = model(), []
    monkeypatch.setattr(lasting, "seeds_of", lambda *a: seeds.append(seeds_of(*a)) or seeds[-1])
    x = longer(pipeline, 0.8, **HOW, **how)
    assert seeds[0] == how.get("seed", 0)
    assert len(set(seeds)) == len(seeds) == len(windows(0, 3200, pipeline))
    assert x.shape == (1, 1, 3200)
    begins = windows(0, 3200, pipeline)
    masks = [one["given.mask"] for one in pipeline.denoiser.net.told]
    shown = [not bool(mask.all()) for mask in masks]
    assert shown == [False] * 2 + [True] * 2 * (len(begins) - 1)
    parts = [x[0, 0, b + LENGTH // 2 : b + LENGTH - 2 * HOP] for b in begins[:2]]
    assert np.abs(parts[0] - parts[1]).max() > 1e-3


def test_the_own_length_is_an_ordinary_sample_and_less_is_cut_from_it():
    pipeline = model()
    plain = pipeline.sample(3, **HOW)
    assert np.array_equal(longer(pipeline, LENGTH / RATE, n=3, **HOW), plain)
    assert np.array_equal(longer(pipeline, 0.1, n=3, **HOW), plain[..., :400])


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("seconds", "gap"), [(0.2, (0.05, 0.12)), (1.0, (0.2, 0.7))])
def test_only_a_gap_is_made_anew(given, seconds, gap):
    x = tone(seconds)
    made = repaired(model(given), x, *gap, n=2, **HOW)
    assert made.shape == (2, 1, len(x))
    begin, end = (round(at * RATE) for at in gap)
    kept = np.ones(len(x), bool)
    kept[begin:end] = False
    assert np.array_equal(made[:, 0, kept], np.stack([x[kept]] * 2))
    assert np.abs(made[:, 0, ~kept] - x[~kept]).max() > 1e-3


def test_a_recording_is_made_anew_with_a_strength():
    pipeline, x = model(), tone(0.5)
    assert np.array_equal(restyled(pipeline, x, 0.0, n=2, **HOW)[1, 0], x)
    little, much = (restyled(pipeline, x, strength, **HOW) for strength in (0.05, 0.9))
    assert little.shape == much.shape == (1, 1, len(x))
    z, a, b = (pipeline.encode(np.pad(one.reshape(1, 1, -1), ((0, 0), (0, 0), (0, 48))))
               for one in (x, little, much))  # fmt: skip
    assert float((a - z).abs().mean()) < float((b - z).abs().mean())
    whole = tone(LENGTH / RATE)
    assert np.array_equal(restyled(pipeline, whole, 1.0, **HOW), pipeline.sample(1, **HOW))


def test_states_are_told_that_see_mostly_what_is_kept():
    """Whatever lies elsewhere changes them little, and the next ones much."""
    codec = LogMel(RATE, HOP, 4 * HOP)
    keep = torch.zeros(LENGTH, dtype=torch.bool)
    keep[:500] = True
    keep[800:] = True
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(20, 1, LENGTH, generator=noise)
    other = torch.where(keep, x, torch.randn(x.shape, generator=noise))
    a, b = codec.magnitudes(x), codec.magnitudes(other)
    moved = ((a - b).square().mean((0, 1)) / a.square().mean((0, 1))).sqrt()
    told = told_of(keep, codec, LENGTH // HOP)
    assert moved[told].max() < 0.4 < moved[~told].min()
    assert told_of(torch.ones(LENGTH, dtype=torch.bool), codec, LENGTH // HOP).all()


def test_states_of_other_codecs_see_nothing_but_what_is_kept():
    keep = torch.arange(40 * HOP) < 10 * HOP
    told = told_of(keep, Pixels(), 40)
    assert told.tolist() == [i + REACH + 1 <= 10 for i in range(40)]


def test_what_is_kept_is_turned_round_at_joints():
    x, keep = torch.arange(1.0, 13)[None, None], torch.zeros(12, dtype=torch.bool)
    keep[:3] = True
    assert mirrored(x, keep, 5)[0, 0].tolist() == [1, 2, 3, 3, 2, 1, 0, 0, 0, 0, 0, 0]
    assert mirrored(x, keep, 2)[0, 0].tolist() == [1, 2, 3, 3, 2, 0, 0, 0, 0, 0, 0, 0]
    assert mirrored(x, ~keep, 2)[0, 0, :5].tolist() == [0, 5, 4, 4, 5]
    keep[6:] = True  # a gap of three: a quarter, a half, three quarters of the other side
    found = mirrored(x, keep, 5)[0, 0]
    assert torch.allclose(found[3:6], torch.tensor([0.75 * 3 + 0.25 * 9, 5, 0.25 + 0.75 * 7]))
    assert torch.equal(found[keep], x[0, 0, keep])
    assert not mirrored(x, torch.zeros(12, dtype=torch.bool), 5).any()


def made_of(monkeypatch, value):
    """What each window begins with, and how much of the other prompt it is asked for."""
    begun = []

    def made(pipeline, x, keep, how, strength, cond, to, share, look):
        begun.append((x.clone(), share))
        return torch.full_like(x, value)

    monkeypatch.setattr(lasting, "_made", made)
    return begun


def test_prompts_change_from_the_first_window_to_the_last(monkeypatch):
    begun = made_of(monkeypatch, 0.0)
    continued(model(), tone(2), 2.8, to={"text": "b"}, **HOW)
    shares = [share for _, share in begun]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert np.allclose(np.diff(shares), 1 / (len(shares) - 1))


def test_every_window_is_restyled_from_the_recording(monkeypatch):
    x = tone(1)
    begun = made_of(monkeypatch, 0.25)
    out = restyled(model(), x, 0.5, **HOW)
    for begin, (own, _) in zip(windows(0, len(x), model()), begun, strict=True):
        fresh = own[0, 0, LENGTH // 2 : len(x) - begin]
        assert np.array_equal(fresh, x[begin + LENGTH // 2 :][: len(fresh)])
    assert (out == 0.25).all()


def test_windows_go_on_by_a_state_at_least():
    """One state covers four spectra here, and all windows overlap by more than they are long."""
    pipeline = model()
    coarse = SimpleNamespace(state_shape=(4, 16, 4), shape=pipeline.shape, facts=pipeline.facts)
    coarse.codec, coarse.conditioner = pipeline.codec, pipeline.conditioner
    begins = windows(0, 8 * LENGTH, coarse)
    assert set(np.diff(begins)) == {LENGTH // 4}


def test_films_of_long_sounds_stay_small():
    film = Thinned(2)
    for i in range(1234):
        film.add(np.full((3, 1, 4), i, np.float32))
    kept = film.all(np.full((3, 1, 4), 1234, np.float32))
    marks = [int(one[0, 0, 0]) for one in kept]
    assert 200 <= len(kept) <= 401
    assert set(np.diff(marks[:-1])) == {marks[1]}
    assert marks[-1] == 1234
    assert {one.shape for one in kept} == {(2, 1, 4)}


@pytest.mark.parametrize("gap", [1, 10, 39, 40, 41, 60])
def test_a_short_gap_between_equal_sounds_is_no_step(gap):
    """What was made is off by as much on both sides, and both corrections end within the gap."""
    keep = torch.ones(200, dtype=torch.bool)
    keep[80 : 80 + gap] = False
    out = joined(torch.zeros(1, 1, 200), torch.full((1, 1, 200), 0.5), keep, 40)
    assert float(out.max()) <= 0.5 + 1e-6
    assert float(out.diff().abs().max()) <= 0.5 / min(40, gap + 1) + 1e-6


def test_a_joint_has_no_click():
    keep = torch.arange(100) < 40
    x, made = torch.full((2, 1, 100), 0.5), torch.zeros(2, 1, 100)
    out = joined(made, x, keep, 10)
    assert torch.equal(out[..., :40], x[..., :40])
    assert float(out.diff().abs().max()) < 0.06
    assert not out[..., 50:].any()
    back = joined(made, x, ~keep, 10)
    assert torch.equal(back[..., 40:], x[..., 40:])
    assert float(back.diff().abs().max()) < 0.06
    assert not back[..., :30].any()


def test_phases_go_on_from_those_of_what_is_kept():
    codec = LogMel(RATE, HOP, 4 * HOP)
    t = np.arange(LENGTH) / RATE
    waves = sum(np.sin(2 * np.pi * pitch * t + pitch) for pitch in (220, 410, 730)) / 6
    x = torch.from_numpy(waves.astype(np.float32))[None, None]
    keep = torch.arange(LENGTH) < 600
    z = codec.encode(x)

    def error(y):
        beyond = slice(600, 700)
        return float((y - x)[..., beyond].square().mean() / x[..., beyond].square().mean())

    told = error(codec.decode_around(z, torch.where(keep, x, 0.0), keep))
    assert told < 0.1 < error(codec.decode(z))


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (lambda m: continued(m, tone(0.4), 0.4), "lasts 0.4 s already"),
        (lambda m: continued(m, tone(0.01), 0.4), "lasts 0.01 s; to go on.*at least 0.048 s"),
        (lambda m: continued(m, tone(), 5000), "at most an hour"),
        (lambda m: repaired(m, tone(), 0.1, 0.3), "0.1 to 0.3 s does not lie within.*0.2 s"),
        (lambda m: repaired(m, tone(), 0.15, 0.1), "does not lie within"),
        (lambda m: repaired(m, tone(), 0, 0.2), "is all of the recording"),
        (lambda m: restyled(m, tone(), 1.5), "strength = 1.5"),
        (lambda m: longer(m, 0.2, to={}), "one of 0.256 s; ask for more"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(do, words):
    with pytest.raises(UsageError, match=words):
        do(model())


def test_images_do_not_last():
    with pytest.raises(UsageError, match="this model makes images"):
        longer(Pipeline.load("digits"), 3.0)


def test_recordings_are_read_or_refused(tmp_path):
    pytest.importorskip("soundfile")
    pytest.importorskip("soxr")
    good = tmp_path / "a.wav"
    good.write_bytes(wav_bytes(tone(), RATE))
    x, said = read_recording(good, RATE)
    np.testing.assert_allclose(x, tone(), atol=1e-4)
    assert said == ""
    x, said = read_recording(good, 2000)
    assert len(x) == 400
    assert said == f"{good}: its 4,000 samples a second are brought to the model's 2,000"
    whole = good.read_bytes()
    for content, words in (
        (whole[:700], "cut"),
        (wav_bytes(np.zeros(100), RATE), "silent"),
        (b"\xff\xd8\xff\xe0 no sound", "no sound that can be read"),
        (b"", "empty"),
    ):
        good.write_bytes(content)
        with pytest.raises(DataError, match=words):
            read_recording(good, RATE)
    with pytest.raises(MissingError, match="no such file"):
        read_recording(tmp_path / "b.wav", RATE)
