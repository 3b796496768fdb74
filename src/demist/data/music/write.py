"""Loops as a folder of WAV files with `metadata.csv`, as anyone's recordings are kept."""

import csv
import io
from pathlib import Path

from tqdm import tqdm

from demist.data.files.folder import Folder
from demist.data.music.loop import FACTS, LENGTH, RATE
from demist.data.music.mix import Kit
from demist.data.music.one_shots import kit_of
from demist.data.readers.loops import draw
from demist.data.sounds.write import wav_bytes
from demist.errors import CannotCreateError, MissingError
from demist.io.folders import atomic_folder


def write_loops(
    out: Path, n: int, split: str = "train", seed: int = 0, drums: Path | None = None
) -> list[str]:
    """Write loops into a new folder, which appears when it is whole.

    Args:
        out: The folder.
        n: How many.
        split: As for `demist.data.readers.loops.draw`; so is the next.
        seed: Of the loops.
        drums: Folder of single strokes that replace those made by code.

    Returns:
        Sentences: what was understood of the drums, what was written, and what it is for.

    Raises:
        CannotCreateError: There is such a folder, or no place to make it in.
        MissingError: There is no folder of drums, or what reads sounds is not installed.
        DataError: There are no drums in it.
    """
    if not out.absolute().parent.is_dir():
        raise CannotCreateError(f"there is no folder {out.parent} to make {out.name} in")
    if drums is not None and not drums.is_dir():
        raise MissingError(f"there is no folder of drums at {drums}")
    kit = None if drums is None else kit_of(Folder.scan(drums))
    data, loops = draw(n, split, seed, kit=kit or Kit())
    assert data.texts is not None
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["file_name", "text", *FACTS])
    with atomic_folder(out) as folder:
        for i in tqdm(range(n), "writing loops", delay=1, leave=False, disable=None):
            name = f"{i:05d}.wav"
            (folder / name).write_bytes(wav_bytes(data.x[i][0], RATE))
            rows.writerow([name, data.texts[i], *loops[i].facts.values()])
        (folder / "metadata.csv").write_text(table.getvalue(), encoding="utf-8")
    said = [] if kit is None else [kit.paragraph()]
    return [
        *said,
        f"{n:,} loops of {LENGTH / RATE:g} s, {RATE:,} samples a second; columns text, "
        f"{', '.join(FACTS)}",
        f"train on them: demist train {out} --recipe loops",
    ]
