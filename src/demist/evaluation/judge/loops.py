"""Does a loop sound as its prompt says? A judge of loops made by code, which hears the wave alone.

- Tempo: how alike the strength of onsets is to itself a step of time later (autocorrelation), over
  all steps between 0.17 and 0.4 seconds; two steps are a beat.
- Groove: at each step of that tempo, whether a kick and whether a snare strikes, in log odds; the
  pattern with the largest sum of them.
- Key: a linear discriminant of how loud the semitones are.
- Kick, snare, bass and lead: discriminants of the spectra after the strokes that were found, and of
  their mean and spread over time.

Discriminants are fitted to loops made by code, in closed form, in seconds. What is heard of a wave
does not depend on the prompt. The score of a fact is the share of loops that have it right, of
those whose prompt says it; `drums` is groove, kick and snare, `all` is everything that was said.

References:
    Fisher 1936, "The use of multiple measurements in taxonomic problems".
    Friedman 1989, "Regularized discriminant analysis", eq. 18: the covariance is shrunk towards a
    multiple of the identity.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from demist.data.music.loop import BEATS, FACTS, LENGTH, RATE
from demist.data.music.score import PATTERNS
from demist.errors import DataError

HEARD = (*FACTS, "drums", "all")
"""What is scored."""
LEARNED = ("kick", "snare", "bass", "lead")
"""Facts that discriminants tell of the whole loop."""
HOP = 64
"""Samples from one spectrum to the next."""
WINDOW = 256
"""Samples in a spectrum, for onsets."""
LONG = 2048
"""The same, for notes."""
TOLERANCE = 0.06
"""Share by which a step may be longer or shorter than that of a tempo."""
SHRINK = 0.05
_EDGES = (0, 94, 188, 281, 375, 500, 656, 875, 1125, 1500, 2000, 2625, 3250, 4001)
"""Hertz between bands."""
_NEAR = (-2, 10)
"""Spectra before and after the begin of a step that are looked at, of 8 ms."""
_QUIET = 0.1
"""Power that hardly counts: 50 dB below a tone of full scale."""
_SEMITONES = ((105, 250), (400, 2000))
"""Hertz between which notes of bass and lead lie, and the first overtones of those."""


@dataclass(frozen=True)
class Discriminant:
    """Linear scores of classes, whose differences are log odds.

    Attributes:
        weights: `(d, classes)`.
        bias: `(classes,)`.
    """

    weights: Float[np.ndarray, "d c"]
    bias: Float[np.ndarray, "c"]

    @classmethod
    def fit(
        cls, x: Float[np.ndarray, "n d"], labels: Int64[np.ndarray, "n"], classes: int
    ) -> "Discriminant":
        """Of Gaussians of one covariance, which is shrunk by `SHRINK`, and equally many of each.

        Raises:
            DataError: A class has no example.
        """
        if len(np.unique(labels)) < classes:
            raise DataError("a judge of loops learns from some of every kind: give more loops")
        means = np.stack([x[labels == k].mean(0) for k in range(classes)])
        rest = x - means[labels]
        spread = rest.T @ rest / len(x)
        target = np.trace(spread) / len(spread) * np.eye(len(spread))
        weights = np.linalg.solve((1 - SHRINK) * spread + SHRINK * target, means.T)
        return cls(weights, -0.5 * (means.T * weights).sum(0))

    def __call__(self, x: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... c"]:
        """A score for each class."""
        found: np.ndarray = x @ self.weights + self.bias
        return found


@dataclass(frozen=True)
class LoopJudge:
    """Hears loops.

    Attributes:
        strikes: Whether a kick, and whether a snare strikes at a step.
        tells: For each of `LEARNED`, what tells it.
        key: The key, by how loud the semitones are.
    """

    strikes: tuple[Discriminant, Discriminant]
    tells: Mapping[str, Discriminant]
    key: Discriminant

    @classmethod
    def fit(
        cls, waves: Float32[np.ndarray, "n 1 l"], facts: Sequence[Mapping[str, str]]
    ) -> "LoopJudge":
        """The judge that learns from real loops.

        Args:
            waves: The loops; a thousand or more.
            facts: Of each, all of `FACTS`.

        Raises:
            DataError: They are so few that some value of a fact is missing.
        """
        heard = [_Wave.of(wave[0]) for wave in waves]
        there = [_strokes(f["tempo"], f["groove"]) for f in facts]
        steps = np.concatenate([one.steps(f["tempo"]) for one, f in zip(heard, facts, strict=True)])
        struck = np.concatenate(there, 1).astype(np.int64)
        x = np.stack([one.features(*strokes) for one, strokes in zip(heard, there, strict=True)])

        notes = np.stack([one.notes for one in heard])

        def told(name: str, by: np.ndarray) -> Discriminant:
            labels = np.array([FACTS[name].index(f[name]) for f in facts])
            return Discriminant.fit(by, labels, len(FACTS[name]))

        kick, snare = (Discriminant.fit(steps, row, 2) for row in struck)
        return cls((kick, snare), {name: told(name, x) for name in LEARNED}, told("key", notes))

    def read(self, waves: Float32[np.ndarray, "n 1 l"]) -> list[dict[str, str]]:
        """What is heard of each loop; "" of tempo and groove where there is none."""
        found = []
        for wave in waves:
            one = _Wave.of(wave[0])
            groove = self._groove(one) if one.tempo else ""
            x = one.features(*_strokes(one.tempo or "medium", groove or "steady"))
            facts = {n: FACTS[n][int(tell(x).argmax())] for n, tell in self.tells.items()}
            key = FACTS["key"][int(self.key(one.notes).argmax())]
            found.append({"tempo": one.tempo, "groove": groove, **facts, "key": key})
        return found

    def score(
        self, waves: Float32[np.ndarray, "n 1 l"], asked: Sequence[Mapping[str, str]]
    ) -> dict[str, float]:
        """Share of loops that are as asked, by what is scored; NaN of what nobody asked for.

        Args:
            waves: One per prompt.
            asked: Facts by name, such as `demist.data.music.loop.understood` gives.
        """
        return compared(self.read(waves), asked)

    def _groove(self, one: "_Wave") -> str:
        steps = one.steps(one.tempo)
        odds = np.stack([np.diff(tell(steps), axis=1)[:, 0] for tell in self.strikes])
        return max(FACTS["groove"], key=lambda g: float(odds[_strokes(one.tempo, g)].sum()))


def compared(
    heard: Sequence[Mapping[str, str]], asked: Sequence[Mapping[str, str]]
) -> dict[str, float]:
    """The shares of `LoopJudge.score`."""
    scores = {}
    parts: dict[str, tuple[str, ...]] = {name: (name,) for name in FACTS}
    parts |= {"drums": ("groove", "kick", "snare"), "all": tuple(FACTS)}
    for name, members in parts.items():
        rows = [
            all(got[m] == said[m] for m in members if m in said)
            for got, said in zip(heard, asked, strict=True)
            if any(m in said for m in members)
        ]
        scores[name] = float(np.mean(rows)) if rows else float("nan")
    return scores


@dataclass(frozen=True)
class _Wave:
    """A loop, looked at.

    Attributes:
        bands: Decibels, `(bands, T)`.
        notes: Logarithms of how loud semitones are.
        tempo: Its name; "": none.
    """

    bands: Float[np.ndarray, "b t"]
    notes: Float[np.ndarray, "s"]
    tempo: str

    @classmethod
    def of(cls, x: Float32[np.ndarray, "l"]) -> "_Wave":
        """Look at a wave; its end is followed by its beginning."""
        bands = 10 * np.log10(_bands() @ _spectra(x, WINDOW, HOP) ** 2 + _QUIET)
        step = period((bands - np.roll(bands, 1, 1)).clip(0).mean(0))
        near = {name: abs(step / _step_of(beats) - 1) for name, beats in BEATS.items()}
        best = min(near, key=lambda name: near[name])
        loud = _semitones() @ _spectra(x, LONG, LONG // 4).mean(1)
        notes = np.log(loud + 0.01 * loud.max() + 1e-9)
        return cls(bands, notes - notes.mean(), best if near[best] < TOLERANCE else "")

    def steps(self, tempo: str) -> Float[np.ndarray, "steps d"]:
        """What is heard at each step of a tempo."""
        steps, times = 2 * BEATS[tempo], self.bands.shape[1]
        at = np.rint(np.arange(steps) * times / steps).astype(int)
        near = (at[:, None] + np.arange(*_NEAR)) % times
        return self.bands[:, near].transpose(1, 0, 2).reshape(steps, -1)

    def features(
        self, kick: Bool[np.ndarray, "steps"], snare: Bool[np.ndarray, "steps"]
    ) -> Float[np.ndarray, "d"]:
        """What is heard where kick and snare strike alone and where neither does, and of all."""
        tempo = next(name for name, beats in BEATS.items() if 2 * beats == len(kick))
        steps = self.steps(tempo)
        parts = [steps[rows].mean(0) for rows in (kick & ~snare, snare, ~kick & ~snare)]
        return np.concatenate([*parts, self.bands.mean(1), self.bands.std(1)])


def period(onsets: Float[np.ndarray, "t"]) -> float:
    """Seconds after which onsets come again, between 0.17 and 0.4; 0: there are none.

    Args:
        onsets: Their strength in a loop, every `HOP` samples.
    """
    spectrum = np.abs(np.fft.rfft(onsets - onsets.mean())) ** 2
    if not spectrum.max() > 1e-9:
        return 0.0
    like = np.fft.irfft(spectrum, len(onsets))
    seconds = np.arange(0.17, 0.4, 0.001)
    times = np.arange(1, 5)[:, None] * seconds * RATE / HOP
    return float(seconds[np.interp(times, np.arange(len(like)), like).mean(0).argmax()])


def _strokes(tempo: str, groove: str) -> Bool[np.ndarray, "2 steps"]:
    """Where kick and snare strike."""
    return np.array([[c == "x" for c in row] for row in PATTERNS[tempo, groove]])


def _step_of(beats: int) -> float:
    return LENGTH / RATE / (2 * beats)


def _spectra(x: Float32[np.ndarray, "l"], window: int, hop: int) -> Float[np.ndarray, "f t"]:
    """Magnitudes of a loop that goes round, each centred on its time."""
    at = np.arange(0, len(x), hop)[:, None] + np.arange(window) - window // 2
    hann = np.hanning(window + 1)[:-1].astype(np.float32)
    found: np.ndarray = np.abs(np.fft.rfft(x[at % len(x)] * hann, axis=1).T)
    return found


@cache
def _bands() -> Float[np.ndarray, "b f"]:
    """Which frequencies are in which band."""
    edges, f = np.array(_EDGES)[:, None], np.fft.rfftfreq(WINDOW, 1 / RATE)
    found: np.ndarray = ((f >= edges[:-1]) & (f < edges[1:])).astype(np.float64)
    return found


@cache
def _semitones() -> Float[np.ndarray, "s f"]:
    """How much each frequency counts for each semitone."""
    f = np.fft.rfftfreq(LONG, 1 / RATE).clip(1)
    ranges = [np.arange(math.ceil(_above(low)), float(_above(high))) for low, high in _SEMITONES]
    weights = np.exp(-0.5 * ((_above(f) - np.concatenate(ranges)[:, None]) / 0.35) ** 2)
    found: np.ndarray = weights / weights.sum(1, keepdims=True)
    return found


def _above(f: Float[np.ndarray, "..."] | float) -> np.ndarray:
    """Semitones above 440 Hz."""
    return np.asarray(12 * np.log2(np.asarray(f) / 440))
