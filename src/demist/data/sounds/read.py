"""Many files of sound become one data set, at one rate and of one length.

What memory would not hold is decoded all the same, to leave out what cannot be read, and stays on
the disk; see `clips`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from demist.data.dataset import BadFile, Dataset, choose
from demist.data.files.folder import Folder
from demist.data.files.tree import Tree
from demist.data.images.classes import Listing
from demist.data.images.layout import arrange
from demist.data.images.metadata import Asked
from demist.data.images.read import too_many
from demist.data.report import Report
from demist.data.sounds.clips import Clips, InMemory, OnDisk, Sound, digest_of
from demist.data.sounds.decode import Header, Place, decode, header, require_soundfile
from demist.errors import DataError
from demist.machine.memory import check_memory, memory_limit

MOST_RATE, MOST_SECONDS = 16_000, 4.0
"""Of what is chosen where nobody says: more is rarely needed, and costs time."""
PERCENTILE = 95
"""Of the lengths, which is the length that is chosen."""
_TOGETHER = 64
"""Files that are read at a time."""
T = TypeVar("T")


@dataclass(frozen=True)
class Form:
    """What all sounds of a data set have in common.

    Attributes:
        rate: Samples a second.
        length: Samples of each.
    """

    rate: int
    length: int


def read_sounds(
    tree: Tree,
    split: str,
    *,
    multiple: Callable[[int], int],
    rate: int | None = None,
    seconds: float | None = None,
    limit: int | None = None,
    max_bad: float = 0.01,
    seed: int = 0,
    asked: Asked = Asked(what="sounds"),  # noqa: B008 (frozen)
) -> Dataset:
    """Decode the sounds of one split of a folder or archive.

    Args:
        tree: The files.
        split: "train", "valid" or "test".
        multiple: Gives for a rate the number of samples of which a length is a multiple.
        rate: Samples a second; None: that of most files of the training split, at most
            `MOST_RATE`.
        seconds: Length of each; None: the `PERCENTILE`th percentile of those of the training
            split, at most `MOST_SECONDS`. It is rounded up to whole multiples.
        limit: Use at most so many, chosen by `choose`.
        max_bad: Largest fraction that may be unreadable; they are skipped.
        seed: Seed of the choice.
        asked: Which columns and folders are meant.

    Raises:
        MissingError: What reads sounds is not installed.
        DataError: See `arrange`; or too many sounds are unreadable, or memory would not hold them
            and they lie in an archive.
    """
    require_soundfile()
    listing = arrange(tree, split, asked)
    chosen = choose(len(listing.names), listing.labels, limit, seed)
    names = [listing.names[i] for i in chosen]
    heads = dict(_each(tree, names, header))
    training = heads if split == "train" else dict(_each(tree, _training(tree, asked), header))
    known = _good(training) or _good(heads)
    if not known:
        raise DataError(too_many(_faults(heads), len(names), max_bad, tree.path, "sounds"))
    form = choose_form(known, multiple, rate, seconds)
    expected = sum(head.samples(form.rate) for head in _good(heads))
    stays = isinstance(tree, Folder) and 4 * expected > memory_limit()
    if not stays:
        check_memory((expected,), str(tree.path), 4)
    sounds, found = dict[str, Sound](), dict[str, Header]()
    peaks, bad = dict[str, float](), dict[str, str]()
    todo = [name for name in names if isinstance(heads[name], Header)]
    bad |= {name: head for name, head in heads.items() if isinstance(head, str)}
    reading = _each(tree, todo, partial(decode, rate=form.rate))
    for name, one in tqdm(reading, "reading sounds", len(todo), delay=1, leave=False, disable=None):
        if isinstance(one, str):
            bad[name] = one
            continue
        x, found[name], peaks[name] = one
        if stays:
            assert isinstance(tree, Folder)
            sounds[name] = OnDisk(tree, name, form.rate, len(x), digest_of(x), peaks[name])
        else:
            sounds[name] = InMemory(x)
    kept = [i for i, name in enumerate(names) if name in sounds]
    faults = _faults({name: bad[name] for name in names if name in bad})
    if len(bad) > max_bad * len(names) or not kept:
        raise DataError(too_many(faults, len(names), max_bad, tree.path, "sounds"))
    rows = chosen[kept]
    own = [names[i] for i in kept]
    return Dataset(
        Clips([sounds[name] for name in own], form.rate, form.length),
        labels=None if listing.labels is None else listing.labels[rows],
        classes=listing.classes,
        texts=None if listing.texts is None else tuple(listing.texts[i] for i in rows),
        columns={name: column.take(rows) for name, column in listing.columns.items()},
        bad=faults,
        seen=_seen(listing, [found[n] for n in own], [peaks[n] for n in own], sounds, form),
    )


def choose_form(
    heads: Sequence[Header],
    multiple: Callable[[int], int],
    rate: int | None,
    seconds: float | None,
) -> Form:
    """Rate and length for sounds with these headers; see `read_sounds`."""
    if rate is None:
        rates = Counter(head.rate for head in heads)
        rate = min(MOST_RATE, max(rates, key=lambda r: (rates[r], r)))
    if seconds is None:
        lengths = [head.frames / head.rate for head in heads]
        seconds = min(MOST_SECONDS, float(np.percentile(lengths, PERCENTILE)))
    step = multiple(rate)
    return Form(rate, step * max(1, int(np.ceil(seconds * rate / step - 1e-6))))


def _training(tree: Tree, asked: Asked) -> list[str]:
    """The files that say rate and length of a split that is not for training, if there are any."""
    with suppress(DataError):
        return list(arrange(tree, "train", asked).names)
    return []


def _good(heads: dict[str, Header | str]) -> list[Header]:
    return [head for head in heads.values() if isinstance(head, Header)]


def _faults(found: dict[str, Header | str] | dict[str, str]) -> tuple[BadFile, ...]:
    return tuple(BadFile(name, one) for name, one in found.items() if isinstance(one, str))


def _each(
    tree: Tree, names: Sequence[str], do: Callable[[Place], T]
) -> Iterator[tuple[str, T | str]]:
    """What `do` makes of each file, in threads, or what is wrong with it."""

    def one(name: str, place: Callable[[], Place]) -> tuple[str, T | str]:
        try:
            return name, do(place())
        except OSError as error:
            return name, error.strerror or str(error)
        except (ValueError, RuntimeError, MemoryError) as error:
            return name, str(error) or type(error).__name__

    files: Iterator[tuple[str, Callable[[], Place]]]
    if isinstance(tree, Folder):  # opened where they lie: an hour of sound is not read twice

        def at(path: Path) -> Path:
            return path

        files = ((name, partial(at, tree.path / name)) for name in names)
    else:
        files = iter(tree.stream(names))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while some := list(islice(files, _TOGETHER)):
            yield from pool.map(lambda each: one(*each), some)


def _seen(
    listing: Listing,
    heads: Sequence[Header],
    peaks: Sequence[float],
    sounds: dict[str, Sound],
    form: Form,
) -> Report:
    """What was understood of the files that could be read."""
    converted = dict[str, int]()
    for rate, count in sorted(Counter(head.rate for head in heads).items()):
        if rate != form.rate:
            converted[f"from {rate:,} to {form.rate:,} samples a second"] = count
    if mixed := sum(head.channels > 1 for head in heads):
        most = max(head.channels for head in heads)
        converted["of 2 channels mixed to one" if most == 2 else
                  f"of up to {most} channels mixed to one"] = mixed  # fmt: skip
    if loud := sum(peak > 1 for peak in peaks):
        converted["beyond full scale brought down to it"] = loud
    equal = len(sounds) - len({sound.digest for sound in sounds.values()})
    notes = (*listing.seen.notes, _lengths([h.frames / h.rate for h in heads], sounds, form))
    return replace(listing.seen, converted=converted, equal=equal, notes=notes)


def _lengths(seconds: Sequence[float], sounds: dict[str, Sound], form: Form) -> str:
    low, high, own = min(seconds), max(seconds), form.length / form.rate
    were = f"{low:.3g} s" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g} s"
    short = sum(sound.samples < form.length for sound in sounds.values())
    long = sum(sound.samples > form.length for sound in sounds.values())
    ends = [f"{short:,} shorter ones are followed by silence"] * bool(short)
    ends += [f"of {long:,} longer ones training sees a part drawn anew in each epoch"] * bool(long)
    made = ": " + ", ".join(ends) if ends else ""
    return f"Each is {own:.3g} s of {form.rate:,} samples a second ({were} before){made}."
