"""The judge of loops hears what is there, and each mistake in its own column."""

from dataclasses import replace

import numpy as np
import pytest

from demist.data.music.loop import BEATS, FACTS, LENGTH, RATE, Loop
from demist.data.music.mix import render
from demist.data.readers import loops
from demist.errors import DataError
from demist.evaluation.judge.loops import (
    HEARD,
    HOP,
    Discriminant,
    LoopJudge,
    _Wave,
    compared,
    period,
)


@pytest.mark.parametrize("beats", BEATS.values())
def test_a_tempo_is_what_autocorrelation_finds(beats):
    """Clicks at every step, and those of another tempo."""
    onsets = np.zeros(LENGTH // HOP)
    onsets[np.rint(np.arange(2 * beats) * len(onsets) / (2 * beats)).astype(int)] = 1
    assert period(onsets) == pytest.approx(LENGTH / RATE / (2 * beats), abs=0.008)
    assert period(0 * onsets) == 0


def test_a_loop_at_another_tempo_has_none_of_ours():
    x = render(Loop("medium", "steady", "deep", "snare", "round", "plucked", "c major"),
               np.random.default_rng(0))  # fmt: skip
    assert _Wave.of(x).tempo == "medium"
    slower = np.interp(np.arange(LENGTH) * 0.87, np.arange(LENGTH), x).astype(np.float32)
    assert _Wave.of(slower).tempo == ""


def test_discriminants_are_fishers():
    """Two Gaussians of one covariance: the weights are its inverse times their distance."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 20_000)
    x = rng.normal(size=(20_000, 2)) @ np.diag([1.0, 2.0]) + y[:, None] * np.array([1.0, 2.0])
    found = Discriminant.fit(x, y, 2)
    spread = 0.95 * np.diag([1.0, 4.0]) + 0.05 * 2.5 * np.eye(2)
    expected = np.linalg.solve(spread, [1.0, 2.0])
    np.testing.assert_allclose(np.diff(found.weights)[:, 0], expected, atol=0.03)
    assert float((found(x).argmax(1) == y).mean()) == pytest.approx(0.76, abs=0.01)
    with pytest.raises(DataError, match="learns from some of every kind"):
        Discriminant.fit(x, 0 * y, 2)


def test_what_was_not_asked_for_is_not_scored():
    heard = [{name: values[0] for name, values in FACTS.items()}] * 2
    asked = [{"tempo": "slow"}, {"tempo": "fast", "kick": "deep"}]
    scores = compared(heard, asked)
    assert scores["tempo"] == 0.5
    assert scores["kick"] == scores["drums"] == 1
    assert scores["all"] == 0.5
    assert np.isnan(scores["bass"])
    assert tuple(scores) == HEARD


@pytest.mark.slow
def test_real_loops_are_right_others_wrong_and_each_mistake_is_seen():
    data, known = loops.draw(1000, seed=1)
    judge = LoopJudge.fit(data.x[:], [one.facts for one in known])
    real, asked = loops.draw(150, "test", seed=2)
    facts = [one.facts for one in asked]
    ceiling, floor = judge.score(real.x[:], facts), judge.score(np.roll(real.x[:], 1, 0), facts)
    for name in set(HEARD) - {"key", "all"}:
        assert ceiling[name] > 0.97, name
    assert ceiling["key"] > 0.85
    assert floor["all"] < 0.03
    for name, values in FACTS.items():
        wrong = [
            replace(one, **{name: values[(values.index(getattr(one, name)) + 1) % len(values)]})
            for one in asked
        ]
        now = judge.score(real.x[:], [one.facts for one in wrong])
        lost = {what for what in HEARD if ceiling[what] - now[what] > 0.3}
        drums = {"drums"} if name in ("groove", "kick", "snare") else set()
        assert lost == {name, "all", *drums}
    silence = judge.score(0 * real.x[:2], facts[:2])
    assert silence["tempo"] == silence["groove"] == 0
