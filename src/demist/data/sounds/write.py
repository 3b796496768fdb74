"""Sounds as WAV files of 16 bits, which every player knows; nothing but Python is needed."""

import io
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demist.io.files import write_bytes

PAUSE = 0.25
"""Seconds of silence between sounds that are played one after another."""


def wav_bytes(x: np.ndarray, rate: int) -> bytes:
    """A WAV file.

    Args:
        x: Samples in [-1, 1], `(L,)`; what goes beyond is cut off.
        rate: Samples a second.
    """
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        numbers = np.rint(np.asarray(x, np.float64).clip(-1, 1) * 32767).astype("<i2")
        out.writeframes(numbers.tobytes())
    return file.getvalue()


def write_wav(x: np.ndarray, rate: int, path: Path) -> None:
    """Write a sound; see `wav_bytes`."""
    write_bytes(path, wav_bytes(x, rate))


def in_turn(x: Sequence[np.ndarray] | np.ndarray, rate: int) -> np.ndarray:
    """Sounds `(n, 1, L)` one after another, `PAUSE` between them: `(T,)`."""
    silence = np.zeros(round(PAUSE * rate), np.float32)
    parts = [part for sound in x for part in (sound.reshape(-1), silence)]
    return np.concatenate(parts[:-1]) if parts else silence
