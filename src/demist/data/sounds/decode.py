"""One file of sound as samples: one channel, the rate that is wanted, full scale at 1."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from demist.data.sounds.cut import require_whole
from demist.machine.packages import require_packages

RATES = (1000, 768_000)
"""Samples a second that a file may have."""
SILENT = 1e-5
"""Largest sample of what is silent: 100 dB below full scale."""
_BLOCK = 2**20
"""Samples that are decoded at a time."""
_MARGIN = 2**12
"""Samples before and after a part that its resampling sees, at the lower of both rates."""

Place = Path | bytes
"""Where a file lies, or what it holds."""


@dataclass(frozen=True)
class Header:
    """What the beginning of a file says.

    Attributes:
        rate: Samples a second.
        channels: How many.
        frames: Samples of each.
    """

    rate: int
    channels: int
    frames: int

    def samples(self, rate: int) -> int:
        """How many there are at another rate."""
        return math.ceil(self.frames * rate / self.rate)


def require_soundfile() -> None:
    """Check that what reads sounds is there.

    Raises:
        MissingError: It is not.
    """
    require_packages("reading sounds", ["soundfile", "soxr"], "sound")


def header(place: Place) -> Header:
    """What the beginning of a file says.

    Raises:
        ValueError: It is no file of sound, empty, or cut.
    """
    with _opened(place) as file:
        return Header(file.samplerate, file.channels, file.frames)


def decode(place: Place, rate: int) -> tuple[Float32[np.ndarray, "t"], Header, float]:
    """All of a file: the mean of its channels, at `rate` samples a second.

    Returns:
        Its samples, its header, and its largest one. What goes beyond 1 is brought down to it.

    Raises:
        ValueError: It cannot be read, or there is nothing to hear in it.
    """
    with _opened(place) as file:
        found = Header(file.samplerate, file.channels, file.frames)
        parts, there = _resampled(_blocks(file), found.rate, rate)
    if there < found.frames:
        raise ValueError(f"it is cut: {there:,} of {found.frames:,} samples are there")
    x = np.concatenate(parts)[: found.samples(rate)]
    if not np.isfinite(x).all():
        raise ValueError("it holds values that are infinite or not a number")
    peak = float(np.abs(x).max(initial=0))
    if peak < SILENT:
        raise ValueError("it is silent")
    return (x / peak if peak > 1 else x), found, peak


def part(
    place: Place, rate: int, begin: int, length: int, peak: float = 1.0
) -> Float32[np.ndarray, "t"]:
    """A part of what `decode` gives, without decoding the rest; it may end early.

    Args:
        place: The file.
        rate: Samples a second that are wanted.
        begin: Its first sample, at `rate`.
        length: How many.
        peak: Largest sample of the whole.

    Raises:
        ValueError: It cannot be read any more.
    """
    with _opened(place) as file:
        source = file.samplerate
        # Both rates have a sample at each of these places, so that the phases agree.
        ours, theirs = rate // math.gcd(rate, source), source // math.gcd(rate, source)
        margin = max(_MARGIN, _MARGIN * rate // source)
        first = max(0, begin - margin) // ours
        file.seek(min(first * theirs, file.frames))
        wanted = (begin + length + margin - first * ours) * source // rate + 1
        x = _mono(file.read(wanted, dtype="float32", always_2d=True))
    made: np.ndarray = _libraries()[1].resample(x, source, rate)
    x = made[begin - first * ours :][:length]
    return x / peak if peak > 1 else x


def _blocks(file: Any) -> Iterator[np.ndarray]:
    for block in file.blocks(_BLOCK, dtype="float32", always_2d=True):
        yield _mono(block)


def _mono(block: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(block.mean(1, dtype=np.float32))


def _resampled(blocks: Iterator[np.ndarray], source: int, rate: int) -> tuple[list[Any], int]:
    """The blocks at another rate, and how many samples they had."""
    found, there = [np.empty(0, np.float32)], 0
    stream = (
        None if source == rate else _libraries()[1].ResampleStream(source, rate, 1, dtype="float32")
    )
    for block in blocks:
        there += len(block)
        found.append(block if stream is None else stream.resample_chunk(block))
    if stream is not None:
        found.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    return found, there


@contextmanager
def _opened(place: Place) -> Iterator[Any]:
    """The file, open; whatever is wrong with it is a ValueError."""
    with _bytes(place) as raw:
        if raw.seek(0, 2) == 0:
            raise ValueError("it is empty")
        raw.seek(0)
        require_whole(raw)
        library, _ = _libraries()
        try:
            with library.SoundFile(raw) as file:
                if not file.frames:
                    raise ValueError("it has no samples")
                if not RATES[0] <= file.samplerate <= RATES[1]:
                    raise ValueError(
                        f"it has {file.samplerate:,} samples a second; {RATES[0]:,} to "
                        f"{RATES[1]:,} are read"
                    )
                yield file
        except library.LibsndfileError as error:
            raise ValueError(f"it is no sound that can be read: {_words(error)}") from None


def _words(error: Any) -> str:
    return str(error.error_string).strip().rstrip(".").removesuffix(" Error") or "unknown format"


def _bytes(place: Place) -> io.BufferedIOBase:
    return io.BytesIO(place) if isinstance(place, bytes) else place.open("rb")


def _libraries() -> tuple[Any, Any]:
    """What decodes, and what resamples."""
    import soundfile
    import soxr

    return soundfile, soxr
