"""Records: what an exercise gave that takes too long for a chapter, kept with all that decided it.

`course/full.py` writes them; a chapter shows one with a label that says that it was not computed
with the page:

    recorded = record(2)
    say(f"The FDr is **{recorded.figures['samples']['fdr']:.2f}**.")
    recorded.picture
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from demist.course.chapters import folder
from demist.course.figures import Shown, say
from demist.errors import DataError
from demist.io.files import json_sha256, read_described, read_json

_FACTS = ("configuration", "hash", "figures", "alt", "date", "machine", "minutes", "command")
"""What each record has."""


@dataclass(frozen=True)
class Record:
    """The result of an exercise, as it was found once.

    Attributes:
        configuration: All that decides it, but for the machine.
        hash: SHA-256 of that, in hexadecimal.
        figures: What was found, by name.
        date: Year, month and day.
        machine: Processor, and how much of it.
        minutes: Of that machine, training and measuring.
        command: What was typed.
        picture: To stand as the last line of a cell.
    """

    configuration: dict[str, Any]
    hash: str
    figures: dict[str, Any]
    date: str
    machine: str
    minutes: float
    command: str
    picture: Shown

    @property
    def label(self) -> str:
        """Where it comes from, in Markdown."""
        return (
            f"> **Recorded on {self.date}, not computed with this page**: {self.machine}; "
            f"{self.minutes:g} minutes; `{self.command}`; hash of the configuration "
            f"`{self.hash[:12]}`."
        )


def record(exercise: int, where: Path | None = None) -> Record:
    """The record of an exercise of the field, 1 to 5; its label is said at once.

    Args:
        exercise: Its number.
        where: Folder of records; None: those of the course.

    Raises:
        MissingError: There is no record, or no picture of it.
        DataError: Something is missing in it, or its hash is not that of its configuration.
    """
    file = (where or folder() / "records") / f"exercise_{exercise}.json"
    facts = read_json(file)
    if missing := [name for name in _FACTS if name not in facts]:
        raise DataError(f"{file} has no {missing[0]!r}; `course/full.py {exercise}` writes it")
    if json_sha256(facts["configuration"]) != facts["hash"]:
        raise DataError(
            f"{file}: the hash is not that of the configuration, so one of them was changed; "
            f"`course/full.py {exercise}` writes a new record"
        )
    data = read_described(file.with_suffix(".webp"))
    with Image.open(io.BytesIO(data)) as image:
        shown = Shown(data, "webp", facts["alt"], image.size).kept(file.stem)
    found = Record(**{name: facts[name] for name in _FACTS if name != "alt"}, picture=shown)
    say(found.label)
    return found
