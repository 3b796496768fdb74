"""What files beside an image say of it: `a.json`, `a.cls`, `a.caption` and `a.txt` of `a.jpg`."""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from demist.data.files.tree import Tree, read_all
from demist.data.images.further import Row
from demist.data.images.metadata import Asked, caption_of, class_of
from demist.data.images.tables import decoded, parsed_object
from demist.data.words import LABELS, TEXTS, pick

_ENDINGS = (".json", ".cls", ".caption", ".txt")


@dataclass(frozen=True)
class Companions:
    """What they say.

    Attributes:
        rows: Image -> what is said of it.
        sources: Files that were read and used.
        captions_from: Ending of the files with captions, or "".
        notes: Sentences on those that were not used.
    """

    rows: Mapping[str, Row]
    sources: frozenset[str]
    captions_from: str = ""
    notes: tuple[str, ...] = ()


def read_companions(tree: Tree, keys: Mapping[str, str], asked: Asked) -> Companions:
    """Read the files beside images.

    Args:
        tree: The files.
        keys: Image -> how files beside it are called, without extension.
        asked: Which columns are meant.

    Raises:
        DataError: One cannot be understood.
    """
    there = set(tree.names)
    if apart := _captions_apart(tree, keys):
        contents = read_all(tree, sorted(apart.values()))
        words = {name: decoded(contents[file], file).strip() for name, file in apart.items()}
        if all(words.values()) and 2 * sum(map(_is_numbers, words.values())) < len(words):
            rows = {
                name: Row(None, text, {}, posixpath.dirname(name)) for name, text in words.items()
            }
            return Companions(rows, frozenset(apart.values()), ".txt")
    wanted = {f"{key}{ending}" for key in keys.values() for ending in _ENDINGS} & there
    contents = read_all(tree, sorted(wanted))
    texts = {name: decoded(content, name).strip() for name, content in contents.items()}
    notes: list[str] = []
    used = {name for name, text in texts.items() if text}
    for ending in (".caption", ".txt"):
        own = [name for name in used if name.endswith(ending)]
        numbers = [name for name in own if _is_numbers(texts[name])]
        if len(numbers) * 2 > len(own):
            notes.append(
                f"The {ending} files beside the images hold numbers, boxes perhaps: they are not "
                "read as captions."
            )
            used -= set(own)
    captions = next((e for e in (".caption", ".txt") if any(n.endswith(e) for n in used)), "")
    if captions == ".caption" and any(name.endswith(".txt") for name in used):
        notes.append("The .caption files beside the images are the captions, not the .txt files.")
        used = {name for name in used if not name.endswith(".txt")}
    rows = {name: _row(key, texts, used, captions, asked) for name, key in keys.items()}
    if ".json" not in {posixpath.splitext(name)[1] for name in used}:
        return Companions(rows, frozenset(used), captions, tuple(notes))
    fields = any(row.text is not None for row in rows.values())
    return Companions(rows, frozenset(used), captions or (".json" if fields else ""), tuple(notes))


def _row(key: str, texts: Mapping[str, str], used: set[str], captions: str, asked: Asked) -> Row:
    source = f"{key}.json"
    fields = parsed_object(texts[source], source) if source in used else {}
    if isinstance(fields.get("shapes"), list) and "imagePath" in fields:  # LabelMe's
        kinds = {str(each.get("label")) for each in fields["shapes"] if isinstance(each, dict)}
        fields = {"classes": sorted(kinds)}
    fields = {header: value for header, value in fields.items() if value not in (None, "")}
    label = pick(fields, LABELS, asked.label_column)
    if label and label != asked.label_column and isinstance(fields[label], list):
        label = None
    text = pick(fields, TEXTS, asked.caption_column)
    beside = texts.get(f"{key}{captions}") if f"{key}{captions}" in used else None
    named = class_of(fields.get(label) if label else None, source)
    caption = caption_of(fields.get(text) if text else None, source, first=text != "text")
    return Row(
        named or texts.get(f"{key}.cls") or None,
        caption or beside or None,
        {header: value for header, value in fields.items() if header not in (label, text)},
        posixpath.dirname(key),
    )


def _captions_apart(tree: Tree, keys: Mapping[str, str]) -> dict[str, str]:
    """Image -> the file of its name in a folder `captions`, if all have one and none beside."""
    found: dict[str, str] = {}
    for name in tree.names:
        folder, base = posixpath.split(name)
        apart = name.endswith(".txt") and posixpath.basename(folder).lower() in _APART
        if apart and found.setdefault(base[:-4], name) != name:
            return {}
    stems = {name: posixpath.basename(key) for name, key in keys.items()}
    unique = len(set(stems.values())) == len(stems)
    every = bool(found) and unique and all(stem in found for stem in stems.values())
    return {name: found[stem] for name, stem in stems.items()} if every else {}


_APART = ("captions", "caption", "texts", "text", "prompts", "prompt")


def _is_numbers(text: str) -> bool:
    """Whether it is mostly numbers, as boxes are."""
    words = text.split()
    numbers = sum(bool(re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?,?", word)) for word in words)
    return 3 * numbers >= 2 * len(words)
