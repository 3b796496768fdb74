"""Which split an image is of, and which of its folders say more, by the names of its folders.

1. Folders whose names have a word for a split in them (`train2017`, `test_set`, `trainA`) are
   splits where two different ones lie side by side, at any depth. What lies beside them is left
   out.
2. One such folder is a split if it holds all there is, or if it alone has folders of images in it;
   otherwise it is a class.
3. What is left of the names, such as `A` of `trainA`, counts as a folder if it differs within a
   split.
4. Without such folders, the names of the files say the splits, if all have such a word in them and
   not all the same.
5. Without splits, all of it is "train".
6. A folder called `images` says nothing, where other folders lie at its level.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from demist.data.words import SPLITS, split_word, without_split

Path = tuple[str, ...]


@dataclass(frozen=True)
class Division:
    """The splits of images, and what is left out.

    Attributes:
        splits: Image -> its split.
        folders: Image -> the folders that say more of it, from the top.
        left: Folder, or file, beside the splits -> how many images are left out with it.
        notes: Sentences on what could be understood otherwise.
    """

    splits: Mapping[str, str]
    folders: Mapping[str, Path]
    left: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def divide(places: Mapping[str, str]) -> Division:
    """Divide images by where they lie, by the rules above.

    Args:
        places: Image -> its place, with "/" between folders.
    """
    paths = {name: tuple(place.split("/")[:-1]) for name, place in places.items()}
    below = _children(paths.values())
    forks = {place: found for place, names in below.items() if (found := _fork(names))}
    notes: tuple[str, ...] = ()
    if not forks:
        forks, notes = _lone(paths.values(), below)
    if not forks:
        words = {name: split_word(place.rpartition("/")[2]) for name, place in places.items()}
        if "" in words.values() or len(set(words.values())) < 2:
            words = dict.fromkeys(paths, "train")
        else:
            notes = (*notes, "The splits are those that the names of the files say.")
        return Division(words, _unshared(paths), notes=notes)
    remains = {place: _remains(found) for place, found in forks.items()}
    splits: dict[str, str] = {}
    folders: dict[str, Path] = {}
    left: Counter[str] = Counter()
    for name, path in paths.items():
        depth = next((i for i in range(len(path) + 1) if path[:i] in forks), None)
        if depth is None:
            depth = _word_at(path)
            split = "" if depth is None else split_word(path[depth])
            more: Path = ()
        else:
            split = forks[path[:depth]].get(path[depth], "") if depth < len(path) else ""
            more = remains[path[:depth]].get(path[depth], ()) if split else ()
        if depth is None or not split:
            left[_beside(path, depth, forks, places[name])] += 1
            continue
        rest = path[depth + 1 :]
        while rest and split_word(rest[0]) == split and not without_split(rest[0]):
            rest = rest[1:]  # test_set/test_set/cats
        splits[name], folders[name] = split, path[:depth] + more + rest
    return Division(splits, _unshared(folders), dict(left), notes)


def _children(paths: Collection[Path]) -> dict[Path, set[str]]:
    below: dict[Path, set[str]] = {}
    for path in set(paths):
        for i, name in enumerate(path):
            below.setdefault(path[:i], set()).add(name)
    return below


def _fork(names: Collection[str]) -> dict[str, str]:
    """Folder -> split, of folders side by side that are at least two different splits."""
    found = {name: word for name in names if (word := split_word(name))}
    exact = {SPLITS[name.lower()] for name in names if name.lower() in SPLITS}
    others = len(names) - len(found)
    many = others > 2 * len(found) + 2  # steam_train and test_tube among a hundred classes
    return found if len(exact) > 1 or (len(set(found.values())) > 1 and not many) else {}


def _lone(
    paths: Collection[Path], below: Mapping[Path, set[str]]
) -> tuple[dict[Path, dict[str, str]], tuple[str, ...]]:
    """The place of a folder that is a split although no other is beside it, if there is one."""
    counts = Counter(paths)
    place: Path = ()
    while len(below.get(place, ())) == 1:
        (name,) = below[place]
        word = SPLITS.get(name.lower()) or (split_word(name) == "train" and "train")
        loose, inside = counts[place], sum(n for p, n in counts.items() if p[: len(place)] == place)
        if word and 2 * loose < inside:
            return {place: {name: word}}, ()
        if loose:
            return {}, ()
        place += (name,)
    names = below.get(place, set())
    found = {name: word for name in names if (word := split_word(name))}
    others = names - found.keys()
    if found and not others and set(found.values()) == {"train"}:
        return {place: found}, ()  # trainA and trainB
    if len(found) != 1:
        return {}, ()
    ((name, word),) = found.items()
    deep = {n for n in names if len(below.get((*place, n), ())) > 1}
    if word == "train" and deep == {name}:
        return {place: found}, ()
    if word != "train" and len(others) == 1 and deep == names:
        (other,) = others
        if set(without_split(name).split("_")) & set(without_split(other).split("_")) - {""} or (
            _common(name, other) >= 4
        ):
            note = f"{other!r} is taken for the split train, as {name!r} beside it is for {word}."
            return {place: {name: word, other: "train"}}, (note,)
    note = (
        f"The folder {name!r} is taken for a class, as no other folder beside it is called like a "
        "split."
    )
    return {}, (note,) if name.lower() in SPLITS else ()


def _common(one: str, other: str) -> int:
    """How many letters two names begin with."""
    pairs = zip(one.lower(), other.lower(), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _remains(found: Mapping[str, str]) -> dict[str, Path]:
    """Folder -> what its name says beside the split, where that differs within a split."""
    rest = {name: without_split(name) for name in found}
    kinds = {split: {rest[n] for n in found if found[n] == split} for split in found.values()}
    differ = all(rest.values()) and any(len(each) > 1 for each in kinds.values())
    return {name: (word,) if differ else () for name, word in rest.items()}


def _word_at(path: Path) -> int | None:
    """Where a folder is called like a split, exactly."""
    return next((i for i, name in enumerate(path) if name.lower() in SPLITS), None)


def _beside(path: Path, depth: int | None, forks: Collection[Path], place: str) -> str:
    """The folder or file to name when an image is left out."""
    if depth is not None:
        return "/".join(path[: depth + 1]) + "/" if depth < len(path) else place
    for i in range(1, len(path) + 1):
        if not any(fork[:i] == path[:i] for fork in forks):
            return "/".join(path[:i]) + "/"
    return place


def _unshared(paths: Mapping[str, Path]) -> dict[str, Path]:
    """Without the folders that all share at the top, and without those called `images`."""
    shared = _shared(list(paths.values()))
    cut = {name: path[shared:] for name, path in paths.items()}
    if {path[0].lower() for path in cut.values() if path} <= _PLAIN:
        return cut
    return {name: tuple(f for f in path if f.lower() not in _PLAIN) for name, path in cut.items()}


_PLAIN = {"images", "imgs", "image", "img", "jpegimages", "jpg", "jpeg", "png"}


def _shared(paths: Sequence[Path]) -> int:
    low, high = min(paths, default=()), max(paths, default=())
    pairs = zip(low, high, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(low), len(high)))
