"""The class folder of every image, and what folders and labels are no classes."""

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from demist.data.column import Column
from demist.data.dataset import label_indices
from demist.data.files.spelling import printable
from demist.data.images.further import natural
from demist.data.images.metadata import Asked
from demist.data.report import Report
from demist.errors import DataError, UsageError

_FEW = 10
"""From so many images on, nearly as many classes as images are none."""


@dataclass(frozen=True)
class Listing:
    """The images of one split, sorted by name, with what is known of each.

    Columns of images and masks hold names of files.

    Attributes:
        names: Of the images.
        labels: Indices into `classes`.
        classes: Names of the classes.
        texts: Captions.
        columns: What else is known.
        seen: How it was understood, and what was left out.
    """

    names: tuple[str, ...]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    texts: tuple[str, ...] | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    seen: Report = Report()  # noqa: RUF009 (a frozen value)


def left_out(left: Mapping[str, int], why: str, what: str = "images") -> list[str]:
    """A sentence on images, or what else they are, that are left out."""
    if not left:
        return []
    most = sorted(left, key=lambda place: (-left[place], place))
    places = ", ".join(f"{left[p]} in {p}" if p.endswith("/") else p for p in most[:4])
    more = f" and {len(most) - 4} more places" if len(most) > 4 else ""
    count = sum(left.values())
    return [f"Left out {count} {what if count > 1 else what[:-1]} {why}: {places}{more}."]


def hardly_repeat(classes: int, count: int, titled: bool, asked: Asked) -> str:
    """A sentence on labels that are no classes, or "".

    Args:
        classes: How many there are.
        count: Of the images.
        titled: Whether there are captions, too.
        asked: What was said of columns.
    """
    if asked.label_column or 2 * classes <= count or not (
        count >= _FEW or (titled and classes == count)
    ):  # fmt: skip
        return ""
    return (
        f"{classes} different labels for {count} {asked.what} are no classes, and not used; "
        "--label-column and its name takes them for classes."
    )


def from_folders(
    chosen: list[str], folders: Mapping[str, tuple[str, ...]], asked: Asked
) -> Listing:
    """Labels from the class folders.

    Args:
        chosen: The images.
        folders: Image -> its folders, of all splits.
        asked: Which level of folders is meant.

    Raises:
        DataError: Many images lie beside the class folders.
        UsageError: There are not so many levels.
    """
    level = asked.class_level or 1
    depths = [len(folders[name]) for name in chosen]
    if asked.class_level and max(depths, default=0) < level:
        raise UsageError(
            f"--class-level {level}: the {asked.what} lie in {max(depths, default=0)} folders "
            "below what they share"
        )
    if asked.class_level is None and (note := _only_divide(folders)):
        return Listing(tuple(chosen), seen=Report(notes=(note,)))
    kinds = _kinds(folders, level)
    classes = sorted(set(kinds.values()) - {""}, key=natural)
    loose = [name for name in chosen if not kinds[name]]
    if len(loose) == len(chosen) or (len(classes) == 1 and not loose):
        return Listing(tuple(chosen))
    if loose and len(classes) > 1 and len(loose) * 10 < len(chosen):
        chosen = [name for name in chosen if kinds[name]]
        unused = left_out(Counter(loose), "in no class folder", asked.what)
        rest = from_folders(chosen, {n: folders[n] for n in folders if kinds[n]}, asked)
        return replace(rest, seen=replace(rest.seen, notes=(*unused, *rest.seen.notes)))
    if loose and len(classes) == 1:
        inside = len(chosen) - len(loose)
        words = (
            f"{len(loose)} {asked.what} lie beside the folder {classes[0]!r} and {inside} in it: "
            "all are used, without classes."
        )
        return Listing(tuple(chosen), seen=Report(notes=(words,)))
    if loose:
        raise DataError(
            f"{len(loose)} of {len(chosen)} {asked.what} lie beside the class folders, "
            f"first {loose[0]!r}: move them into one, or give all labels in a metadata.csv"
        )
    if note := hardly_repeat(len(classes), len(folders), False, Asked(what=asked.what)):
        note = note.partition(";")[0].replace("labels", "folders")
        return Listing(tuple(chosen), seen=Report(notes=(f"{note}.",)))
    labels = label_indices([kinds[name] for name in chosen], classes)
    deeper = {folders[name][level] for name in folders if len(folders[name]) > level}
    notes = (
        f"The classes are the folders of level {level}; below them lie {some(deeper)}, which "
        f"--class-level {level + 1} takes instead.",
    )
    seen = Report(notes=notes if len(deeper) > 1 else ())
    return Listing(tuple(chosen), labels, tuple(map(printable, classes)), seen=seen)


def _kinds(folders: Mapping[str, tuple[str, ...]], level: int) -> dict[str, str]:
    """Image -> its class folder; with those above it where its name alone would not be enough."""
    own = {name: path[:level] for name, path in folders.items()}
    above: dict[str, set[tuple[str, ...]]] = {}
    for path in own.values():
        if len(path) == level:
            above.setdefault(path[-1], set()).add(path)
    twice = any(len(paths) > 1 for paths in above.values())
    return {
        name: "" if len(path) < level else "/".join(path) if twice else path[-1]
        for name, path in own.items()
    }


_SHARDS = re.compile(
    r"(fold|part|batch|shard|chunk|subset|folder|page|images?|imgs?)[-_ .]?[0-9]+"
    r"|[0-9]{3}[a-z_]{5}"  # 100APPLE: a camera's
)


def _only_divide(folders: Mapping[str, tuple[str, ...]]) -> str:
    """A sentence on folders that say nothing of their images, or ""."""
    tops: dict[str, list[str]] = {}
    for name, path in folders.items():
        tops.setdefault(path[0] if path else "", []).append(
            posixpath.splitext(posixpath.basename(name))[0]
        )
    if len(tops) < 2 or "" in tops or max(map(len, folders.values())) > 1:
        return ""
    words = all(_SHARDS.fullmatch(top.lower()) for top in tops)
    digits = all(top.isdigit() and len(top) > 2 for top in tops)
    stems = [stem for each in tops.values() for stem in each]
    numbered = digits and all(map(str.isdigit, stems)) and len(set(stems)) == len(stems)
    if not words and not (numbered and (_by_range(tops) or _by_end(tops))):
        return ""
    return f"The folders {some(tops)} only divide the files: they are no classes."


def _by_range(tops: Mapping[str, Sequence[str]]) -> bool:
    """Whether `01000` holds the images from 1000 on."""
    starts = sorted(map(int, tops))
    ends = dict(zip(starts, [*starts[1:], 10**18], strict=True))
    return all(int(t) <= int(s) < ends[int(t)] for t, each in tops.items() for s in each)


def _by_end(tops: Mapping[str, Sequence[str]]) -> bool:
    """Whether `0017` holds the images whose numbers end so."""
    return all(stem[-len(top) + 1 :] == top[1:] for top, each in tops.items() for stem in each)


def some(words: Collection[str]) -> str:
    """The first of them, and how many more there are."""
    first = [repr(word) for word in sorted(words, key=natural)[:3]]
    return ", ".join(first) + (f" and {len(words) - 3} more" if len(words) > 3 else "")
