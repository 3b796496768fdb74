"""Sounds: waves of one channel, learned as spectrograms, drawn as such, written as WAV files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from PIL import Image

from demist.codecs import Codec, LogMel, hop_of
from demist.data import Dataset, Tree
from demist.data.dataset import Samples
from demist.data.images.layout import canonical_split, splits_of
from demist.data.images.metadata import Asked
from demist.data.sounds.endings import ENDINGS
from demist.data.sounds.read import read_sounds
from demist.data.sounds.write import in_turn, write_wav
from demist.drawing.spectrogram import spectrograms
from demist.errors import DataError, UsageError
from demist.modalities.listening import listened, measure
from demist.modalities.modality import Modality, Shape, Wanted

if TYPE_CHECKING:
    from demist.evaluation.report import Report
    from demist.evaluation.ruler import Asked as AskedFor
    from demist.evaluation.ruler import Ruler

HALVINGS = 8
"""Spectra of a sound are a multiple of this, so that networks can halve them."""
BLOCK = 256
"""Sounds that are looked at together."""
LISTING = Asked(what="sounds")


@dataclass(frozen=True)
class Sounds(Modality):
    """Sounds of one channel and one length.

    Attributes:
        rate: Samples a second.
    """

    name: ClassVar[str] = "sounds"
    arrays: ClassVar[str] = "no arrays but files of sound"
    endings: ClassVar[tuple[str, ...]] = ENDINGS
    companions: ClassVar[tuple[str, ...]] = (
        ".txt", ".caption", ".json", ".jsonl", ".csv", ".tsv", ".cls", ".lst",
    )  # fmt: skip
    networks: ClassVar[tuple[str, ...]] = ("unet", "dit")
    guidance: ClassVar[float] = 1.5
    described: ClassVar[bool] = True
    lasting: ClassVar[bool] = True
    judged: ClassVar[bool] = True
    drawn: ClassVar[int] = 40
    filmed: ClassVar[int] = 40
    rate: int = 16_000

    def claims(self, shape: Shape, dtype: np.dtype[Any]) -> bool:
        """Never: an array does not say its rate."""
        return False

    def fits(self, shape: Shape) -> bool:
        """One channel of samples."""
        return len(shape) == 2 and shape[0] == 1

    def read(self, path: Path, wanted: Wanted, tree: Tree | None = None) -> Dataset:
        """A folder or archive of files; classes and captions as of images."""
        if wanted.limit is not None and wanted.limit < 2:
            raise UsageError(f"--limit {wanted.limit}: a data set needs at least 2 samples")
        data = read_sounds(
            _tree(path, tree), canonical_split(wanted.split), multiple=_step_of, rate=wanted.rate,
            seconds=wanted.seconds, limit=wanted.limit, max_bad=wanted.max_bad, seed=wanted.seed,
            asked=replace(
                LISTING, label_column=wanted.label_column, caption_column=wanted.caption_column,
                class_level=wanted.class_level,
            ),
        )  # fmt: skip
        if len(data) < 2:
            raise DataError(f"{path}: {len(data)} usable sound(s); a data set needs at least 2")
        kind = f"{self.name}:rate={data.x.rate}"
        return replace(data, name=path.resolve().name.split(".")[0] or str(path), kind=kind)

    def splits(self, path: Path, tree: Tree | None = None) -> tuple[str, ...]:
        """By folders, lists and tables, as of images."""
        return splits_of(_tree(path, tree), LISTING)

    def codec(self, x: Samples) -> Codec:
        """Spectrograms in mels."""
        return LogMel.of(x, self.rate)

    def options_of(self, shape: Shape) -> dict[str, Any]:
        """Rate and seconds."""
        return {"rate": self.rate, "seconds": shape[1] / self.rate}

    def drawable(self, shape: Shape) -> bool:
        """Always."""
        return True

    def draw(
        self, x: np.ndarray, labels: Sequence[str] = (), columns: int | None = None
    ) -> Image.Image:
        """Spectrograms in rows."""
        return spectrograms(self.decibels(x), None, labels, columns)

    def film(
        self, states: Sequence[np.ndarray], labels: Sequence[str] = (), columns: int | None = None
    ) -> list[Image.Image]:
        """Spectrograms for each state, as bright as those of the last."""
        top = float(self.decibels(states[-1]).max())
        return [spectrograms(self.decibels(x), top, labels, columns) for x in states]

    def decibels(self, x: np.ndarray) -> np.ndarray:
        """How loud sounds `(n, 1, L)` are in each band at each time, `(n, bands, L / hop)`.

        0 is the largest that a tone of full scale can be, -100 the least that is told apart.
        """
        hop = hop_of(self.rate)
        ear = LogMel(self.rate, hop, 4 * hop)
        weights = ear.weights
        full = float(weights.max()) * ear.window / 4
        found = []
        for begin in range(0, len(x), BLOCK):
            some = torch.from_numpy(np.array(x[begin : begin + BLOCK], np.float32))
            found.append((ear.magnitudes(some) / full + 1e-5).log10().numpy() * 20)
        return np.concatenate(found).astype(np.float32)

    def looked_at(self, data: Dataset) -> Dataset:
        """Spectrograms of what is heard."""
        return listened(self, data)

    def write(self, x: np.ndarray, folder: Path) -> Path:
        """A WAV file each: `000.wav`, `001.wav`, ..."""
        folder.mkdir(parents=True, exist_ok=True)
        digits = max(3, len(str(len(x) - 1)))
        for i, sound in enumerate(x):
            write_wav(sound.reshape(-1), self.rate, folder / f"{i:0{digits}d}.wav")
        return folder

    def write_together(self, x: np.ndarray, path: Path) -> Path:
        """One WAV file, one sound after another."""
        target = path.with_suffix(".wav")
        write_wav(in_turn(x, self.rate), self.rate, target)
        return target

    def measure(
        self,
        samples: Mapping[int, np.ndarray],
        ruler: "Ruler",
        asked: "AskedFor",
        codec: Codec | None = None,
    ) -> list["Report"]:
        """As images are, of spectrograms of what is heard; see `demist.modalities.listening`."""
        return measure(self, samples, ruler, asked, codec)


def _step_of(rate: int) -> int:
    """Samples of which the length of a sound is a multiple."""
    return HALVINGS * hop_of(rate)


def _tree(path: Path, tree: Tree | None) -> Tree:
    if tree is None:
        raise DataError(f"{path} is a single sound: pass the folder that holds all of them")
    return tree
