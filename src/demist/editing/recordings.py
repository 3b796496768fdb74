"""What `demist sample` does with recordings and seconds: files read, sounds made, pages drawn."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float32

from demist import modalities
from demist.data.sounds.decode import decode, require_soundfile
from demist.editing.lasting import (
    continued,
    given_by,
    given_to_later,
    longer,
    parted,
    repaired,
    restyled,
)
from demist.errors import DataError, MissingError
from demist.measuring.pages import Page, made_page, plain, weak_facts
from demist.modalities import Sounds
from demist.model.fits import settled
from demist.model.sampling import Sampling
from demist.model.values import PROMPT, name_of, of_class, value_of

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

FRAMES = 200
"""Most images of a film."""


@dataclass(frozen=True)
class Asked:
    """What is to be made.

    Attributes:
        seconds: How long; None: as long as the recording, or as the model makes sounds.
        continued: The recording to go on from.
        repaired: The recording with a gap.
        begin: Of the gap, in seconds.
        end: Of the gap, in seconds.
        restyled: The recording to be made anew.
        strength: How much of it.
        toward: The prompt in the end.
    """

    seconds: float | None = None
    continued: Path | None = None
    repaired: Path | None = None
    begin: float | None = None
    end: float | None = None
    restyled: Path | None = None
    strength: float = 0.6
    toward: str | None = None

    @property
    def file(self) -> Path | None:
        """The recording."""
        return self.continued or self.repaired or self.restyled

    def facts(self) -> dict[str, Any]:
        """What was asked for, as JSON values."""
        found = {
            "seconds": self.seconds,
            "continue": self.continued and str(self.continued),
            "repair": self.repaired and str(self.repaired),
            "from": self.begin if self.restyled is None else str(self.restyled),
            "to": self.end,
            "strength": self.strength if self.restyled is not None else None,
            "to_prompt": self.toward,
        }
        return {name: value for name, value in found.items() if value is not None}


class Thinned:
    """Images of a film, of which every second one is dropped whenever there are too many.

    Args:
        most: Sounds in each.
    """

    def __init__(self, most: int):
        self.most, self.step, self.seen = most, 1, 0
        self.kept: list[np.ndarray] = []

    def add(self, x: np.ndarray) -> None:
        """Keep sounds `(n, 1, L)`, or let them go."""
        if self.seen % self.step == 0:
            self.kept.append(x[: self.most].copy())
        self.seen += 1
        if len(self.kept) == 2 * FRAMES:
            self.kept, self.step = self.kept[::2], 2 * self.step

    def all(self, last: np.ndarray) -> list[np.ndarray]:
        """What was kept, and the end; all of as many sounds."""
        found = [*self.kept, last]
        fewest = min(self.most, *(len(one) for one in found))
        return [one[:fewest] for one in found]


def page(
    pipeline: "Pipeline",
    asked: Asked,
    n: int,
    sampling: Sampling | None = None,
    *,
    labels: Sequence[str] = (),
    film: bool = False,
    columns: int | None = None,
    say: Callable[[str], None] = lambda _: None,
    **cond: Any,
) -> Page:
    """Sounds that last longer, or recordings that are changed, on a page.

    Args:
        pipeline: A model of sounds.
        asked: What is to be made.
        n: How many, each with a seed of its own.
        sampling: How.
        labels: Class of each; empty: the model is given none.
        film: Make a film, too: all windows, one after another.
        columns: Of the page.
        say: Called with what was understood.
        cond: Conditions by name, and what else `Pipeline.plan` takes.

    Raises:
        DemistError: The recording cannot be read, or does not fit what is asked for.
    """
    kind = cast(Sounds, modalities.of(pipeline))
    states = Thinned(kind.filmed)
    cond = {**of_class(pipeline, labels), **cond}
    how: dict[str, Any] = {
        "n": n, "progress": sys.stderr.isatty(), **cond,
        "look": states.add if film else None,
    }  # fmt: skip
    x = np.zeros(0, np.float32)
    if asked.file is not None:
        x, said = read_recording(asked.file, kind.rate)
        if said:
            say(said)
    count = len(x) if asked.seconds is None else round(asked.seconds * kind.rate)
    kept = asked.continued is not None or asked.repaired is not None
    if given_by(pipeline) is None and (kept or given_to_later(pipeline, count)):
        say(
            "this model was trained without --given, so what is there is put back after each step "
            "instead of being told: what follows fits it less"
        )
    if asked.repaired is not None:
        assert asked.begin is not None
        assert asked.end is not None
        made = repaired(pipeline, x, asked.begin, asked.end, sampling, **how)
    elif asked.restyled is not None:
        made = restyled(pipeline, x, asked.strength, sampling, **how)
    else:
        assert asked.seconds is not None
        if asked.toward is not None:
            text = name_of(pipeline, PROMPT)
            how["to"] = {text: value_of(pipeline, PROMPT, asked.toward)}
        if asked.continued is not None:
            made = continued(pipeline, x, asked.seconds, sampling, **how)
        else:
            made = longer(pipeline, asked.seconds, sampling, **how)
    known = (*pipeline.conditioner.conditions, "negative")
    options = {
        "n": n,
        **settled(pipeline, parted(sampling, cond)[0].over(pipeline.defaults)).recipe(),
        **weak_facts(cond.get("weak")),
        **plain({name: value for name, value in cond.items() if name in known}),
        **asked.facts(),
    }
    shown = states.all(made) if film else []
    return made_page(pipeline, made, options, labels=labels, columns=columns, states=shown)


def read_recording(path: Path, rate: int) -> tuple[Float32[np.ndarray, "l"], str]:
    """The samples of a file at `rate`, and a sentence on what was converted, or "".

    Raises:
        MissingError: There is no such file, or what reads it is not installed.
        DataError: It cannot be read, or there is nothing to hear in it.
    """
    require_soundfile()
    if not path.is_file():
        raise MissingError(f"{path}: there is no such file")
    try:
        x, head, peak = decode(path, rate)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RuntimeError) as error:
        raise DataError(f"{path}: {error}") from None
    did = []
    if head.channels > 1:
        did.append(f"its {head.channels} channels are mixed to one")
    if head.rate != rate:
        did.append(f"its {head.rate:,} samples a second are brought to the model's {rate:,}")
    if peak > 1:
        did.append("it goes beyond full scale and is brought down to it")
    return x, f"{path}: {', '.join(did)}" if did else ""
