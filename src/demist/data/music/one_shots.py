"""Drums from a folder of single strokes, whose names say what they are: `bd_808.flac`.

Words of a name are understood: `bd`, `kick` and `bass drum` are kicks, of which the half that
rings longer is `deep` and the rest `short`; `sn`, `sd` and `snare` are snares; `clap` and `snap`
are hands; `hat`, `hh` and `cymbal closed` are hi-hats. What is missing is made by code.
"""

import re
from dataclasses import dataclass

import numpy as np

from demist.data.files.folder import Folder
from demist.data.music.loop import RATE
from demist.data.music.mix import Kit
from demist.data.sounds.decode import decode, require_soundfile
from demist.data.sounds.endings import is_sound
from demist.errors import DataError

WORDS = {
    "kick": r"bd|kick|bass_?drum|drum_bass",
    "snare": r"sn|snare|sd",
    "clap": r"clap|claps|snap|snap\d",
    "hat": r"hat|hihat|hh|cymbal_closed",
}
SECONDS = 0.4
"""Of a stroke that are heard; the last tenth fades."""


@dataclass(frozen=True)
class FolderKit(Kit):
    """Strokes by what they are; what has none is made by code.

    Attributes:
        found: "deep kick", "short kick", "snare", "clap" and "hat" -> strokes.
    """

    found: dict[str, list[np.ndarray]]

    def kick(self, kind: str, variant: int) -> np.ndarray:
        some = self.found.get(f"{kind} kick")
        return some[variant % len(some)] if some else super().kick(kind, variant)

    def snare(self, kind: str, variant: int) -> np.ndarray:
        some = self.found.get(kind)
        return some[variant % len(some)] if some else super().snare(kind, variant)

    def hat(self, variant: int) -> np.ndarray:
        some = self.found.get("hat")
        return some[variant % len(some)] if some else super().hat(variant)

    def paragraph(self) -> str:
        """What was understood."""
        names = ("deep kick", "short kick", "snare", "clap", "hat")
        counts = [f"{len(self.found[n])} {n}{'s' * (len(self.found[n]) > 1)}" for n in names
                  if self.found.get(n)]  # fmt: skip
        missing = [name for name in names if not self.found.get(name)]
        made = f"; made by code: {', '.join(missing)}" if missing else ""
        return f"Drums from the folder: {', '.join(counts)}{made}."


def kit_of(folder: Folder) -> FolderKit:
    """The drums among the files of a folder; what cannot be read is left out.

    Raises:
        MissingError: What reads sounds is not installed.
        DataError: There are none.
    """
    require_soundfile()
    found = dict[str, list[np.ndarray]]()
    for name in sorted(filter(is_sound, folder.names)):
        what = kind_of(name)
        if what:
            try:
                wave, _, peak = decode(folder.path / name, RATE)
            except (OSError, ValueError):
                continue
            found.setdefault(what, []).append(_cut(wave / min(peak, 1.0)))
    kicks = sorted(found.pop("kick", []), key=_ringing, reverse=True)
    half = (len(kicks) + 1) // 2
    parts = {"deep kick": kicks[:half], "short kick": kicks[half:], **found}
    if not any(parts.values()):
        raise DataError(
            f"{folder.path} has no drums: names of files say what they are, with kick, snare, clap "
            f"or hat in them, as kick1.wav"
        )
    return FolderKit({name: some for name, some in parts.items() if some})


def kind_of(name: str) -> str:
    """One of `WORDS`, by the words in a file's name; "": none of them."""
    words = re.sub(r"[^a-z0-9]+", "_", name.rsplit("/", 1)[-1].rsplit(".", 1)[0].lower())
    fits = (what for what, word in WORDS.items() if re.search(rf"(^|_)({word})\d*(_|$)", words))
    return next(fits, "")


def _cut(wave: np.ndarray) -> np.ndarray:
    """From where it is first heard, and not too long."""
    begin = int((np.abs(wave) > 0.02).argmax())
    made = wave[begin : begin + round(SECONDS * RATE)].astype(np.float32)
    end = max(1, len(made) // 10)
    made[-end:] *= np.linspace(1, 0, end, dtype=np.float32)
    return made


def _ringing(wave: np.ndarray) -> float:
    """Seconds around which its power lies."""
    power = wave.astype(np.float64) ** 2
    return float((power * np.arange(len(power))).sum() / max(power.sum(), 1e-12) / RATE)
