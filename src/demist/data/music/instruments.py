"""How each instrument sounds, at `RATE` samples a second: sums of sines, and noise that fades.

Everything is a function of its arguments; strokes have `VARIANTS`, as no two are alike.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32

from demist.data.music.loop import RATE

VARIANTS = 6
"""Of each stroke."""
_TOP = 0.45 * RATE
"""Hertz above which no overtone lies."""
Wave = Float32[np.ndarray, "t"]


@cache
def kick(kind: str, variant: int) -> Wave:
    """A drum whose pitch falls: `deep` to 48 Hz within a quarter of a second; `short`, higher."""
    draw = _draw(0, kind == "deep", variant)
    start, end, fall, fade, seconds = (
        (150, 48, 0.035, 0.11, 0.35) if kind == "deep" else (420, 130, 0.018, 0.028, 0.12)
    )
    t = _times(seconds)
    high = draw.uniform(0.93, 1.07)
    pitch = high * (end + (start - end) * np.exp(-t / fall))
    body = np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * np.exp(
        -t / (fade * draw.uniform(0.85, 1.2))
    )
    click = draw.standard_normal(len(t)) * np.exp(-t / 0.002)
    return _made(body + (0.1 if kind == "deep" else 0.5) * click)


@cache
def snare(kind: str, variant: int) -> Wave:
    """`snare`: a tone of 190 Hz and wide noise. `clap`: four bursts of noise around 1.2 kHz."""
    draw = _draw(1, kind == "snare", variant)
    t = _times(0.25)
    noise = draw.standard_normal(len(t))
    if kind == "snare":
        tone = np.sin(2 * np.pi * 190 * draw.uniform(0.95, 1.05) * t) * np.exp(-t / 0.04)
        return _made(0.6 * tone + 0.5 * _band(noise, 700, 3900) * np.exp(-t / 0.055))
    bursts = sum(np.where(t >= s, np.exp(-(t - s) / 0.004), 0) for s in (0, 0.011, 0.022))
    tail = np.where(t >= 0.033, np.exp(-(t - 0.033) / (0.05 * draw.uniform(0.85, 1.2))), 0)
    return _made(_band(noise, 900, 1700) * (bursts + tail))


@cache
def hat(variant: int) -> Wave:
    """Two plates that meet: noise above 3 kHz, gone after a twentieth of a second."""
    draw = _draw(2, False, variant)
    t = _times(0.09)
    fade = 0.016 * draw.uniform(0.85, 1.2)
    return _made(_band(draw.standard_normal(len(t)), 3000, 3990) * np.exp(-t / fade))


@cache
def bass(kind: str, pitch: int, samples: int) -> Wave:
    """`round`: hardly more than a sine. `buzzing`: overtones up to 1.6 kHz."""
    t, f = np.arange(samples) / RATE, frequency(pitch)
    if kind == "round":
        tone = np.sin(2 * np.pi * f * t) + 0.12 * np.sin(4 * np.pi * f * t)
    else:
        tone = _saw(f, t, 1600)
    return _shaped(tone, 0.006, 0.6, 0.03)


@cache
def lead(kind: str, pitch: int, samples: int) -> Wave:
    """`bright`: all overtones. `soft`: a sine that swells and trembles. `plucked`: it fades."""
    t, f = np.arange(samples) / RATE, frequency(pitch)
    if kind == "bright":
        return _shaped(_saw(f, t, _TOP), 0.004, 1.5, 0.02)
    if kind == "soft":
        turn = 2 * np.pi * f * t + 0.001 * f * np.sin(2 * np.pi * 6 * t)
        return _shaped(np.sin(turn) + 0.05 * np.sin(2 * turn), 0.06, 2.0, 0.06)
    numbers = np.arange(1, max(2, int(_TOP / f) + 1))
    tones = [np.sin(2 * np.pi * k * f * t) * np.exp(-t * k / 0.12) / k**0.5 for k in numbers]
    return _shaped(np.sum(tones, 0), 0.002, 0.1, 0.01)


def frequency(pitch: int) -> float:
    """Hertz of a note by its number."""
    return float(440 * 2 ** ((pitch - 69) / 12))


def _saw(f: float, t: np.ndarray, top: float) -> np.ndarray:
    numbers = np.arange(1, max(2, int(top / f) + 1))
    found: np.ndarray = (np.sin(2 * np.pi * np.outer(numbers, f * t)) / numbers[:, None]).sum(0)
    return found


def _shaped(tone: np.ndarray, attack: float, fade: float, release: float) -> Wave:
    """With a beginning and an end, in seconds, and fading between."""
    n = len(tone)
    t = np.arange(n) / RATE
    end = (n - np.arange(n)) / RATE
    return _made(
        tone * np.minimum(t / attack, 1) * np.exp(-t / fade) * np.minimum(end / release, 1)
    )


def _band(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Noise between two frequencies, at a level of about 1."""
    spectrum, f = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / RATE)
    found: np.ndarray = np.fft.irfft(spectrum * ((f >= low) & (f <= high)), len(x))
    found /= found.std()
    return found


def _made(x: np.ndarray) -> Wave:
    """At full scale, and not to be changed: it is kept."""
    made: Wave = (x / np.abs(x).max()).astype(np.float32)
    made.flags.writeable = False
    return made


def _times(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def _draw(*key: int) -> np.random.Generator:
    return np.random.default_rng([int(k) for k in key])
