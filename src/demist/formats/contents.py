"""What a file of weights or a folder holds, as rows for people: read from headers, no numbers."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from demist.errors import MissingError
from demist.formats.alone import alone_of
from demist.formats.kinds import kind_of
from demist.formats.parts import Part, Shapes, parts_of
from demist.io.files import read_json
from demist.io.headers import Header, header_of
from demist.io.untrusted import inside

Rows = list[tuple[str, str]]
"""Label and text."""

LONGEST = 200
"""Characters of a text that are shown."""
TITLES = {"unet": "U-Net", "sd3": "transformer", "flux": "transformer", "autoencoder": "VAE",
          "clip": "CLIP text encoder", "openclip": "OpenCLIP text encoder",
          "t5": "T5 text encoder", "llama": "T5 text encoder"}  # fmt: skip
TAGS, COUNTED = "ss_tag_frequency", 12
"""In the metadata of kohya's files: how often each word stood in the captions; how many we show."""
TRIGGERS = ("modelspec.trigger_phrase", "modelspec.trigger_word", "ss_trigger_words")
RANKS = (":down", ".lora_down.weight", ".lora_A.weight", ".lora.down.weight", "_lora.down.weight")
WORD, NUMBERED = "<embed>", re.compile(r"\w+:\d+:")
"""cloneofsimo's metadata: what is said of a word, and of each layer by its number."""
INDEX = "model_index.json"


def file_rows(path: Path) -> Rows:
    """What a file of weights holds.

    Raises:
        MissingError: There is no such file.
        RefusedError: It is a pickle.
        DataError: It is neither safetensors nor GGUF, or damaged.
    """
    header = header_of(path)
    rows = [("file", str(path)), ("kind", kind_text(header.shapes, path)), *sizes([header])]
    rows += [("part", text) for text in part_texts(header)]
    rows += _rank(header.shapes)
    if words := trained_words(header.metadata):
        rows.append(("trained words", words))
    for key, text in sorted(header.metadata.items()):
        if key not in (TAGS, "format") and text != WORD and not NUMBERED.match(key):
            rows.append((key, short(text)))
    return rows


def folder_rows(folder: Path) -> Rows:
    """What a model's folder holds, ours or of another maker.

    Raises:
        MissingError: It is no model's.
        DataError: It is damaged.
    """
    name = next((n for n in (INDEX, "config.json") if (folder / n).is_file()), "")
    if not name:
        raise MissingError(
            f"{folder} has neither {INDEX} nor config.json, so it is no model's folder"
        )
    index = read_json(inside(folder, name))
    kind = str(index.get("_class_name", "of no class"))
    by = index.get("_demist_version") or index.get("_diffusers_version")
    maker = "demist" if "_demist_version" in index else "diffusers"
    rows = [("folder", str(folder)), ("kind", short(f"{kind}{f', {maker} {by}' if by else ''}"))]
    headers = []
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        files = [header_of(inside(folder, str(p.relative_to(folder))))
                 for p in sorted(place.glob("*.safetensors"))]  # fmt: skip
        headers += files
        if files and place != folder:
            said: dict[str, Any] = {}
            if (place / "config.json").is_file():
                said = read_json(inside(folder, f"{place.name}/config.json"))
            named = said.get("_class_name") or " ".join(map(str, said.get("architectures") or []))
            rows.append(("part", short(f"{place.name}: {named} {_amount(files)}")))
    rows += _stages(folder, index.get("_demist_stages"))
    facts = index.get("facts")
    for key, value in (facts if isinstance(facts, dict) else {}).items():
        rows.append((str(key), short(value if isinstance(value, str) else json.dumps(value))))
    return [*rows[:2], *sizes(headers), *rows[2:]]


def _stages(folder: Path, table: Any) -> Rows:
    """The models of a cascade, which lie in a folder of their own, and what each is for."""
    rows: Rows = []
    for name, row in (table if isinstance(table, dict) else {}).items():
        below = folder_rows(inside(folder, f"stages/{name}"))
        row = row if isinstance(row, dict) else {}
        what = f"makes {row['feeds']}" if "feeds" in row else f"takes over at {row.get('from')}"
        size = dict(below)["parameters"]
        rows.append(("stage", short(f"{name}: {what}; parameters {size}")))
        rows += [("stage", text) for label, text in below if label == "stage"]
    return rows


def kind_text(shapes: Shapes, path: Path) -> str:
    """What a file is, and how it is used if it is no model by itself."""
    parts = parts_of(shapes)
    try:
        known = kind_of(shapes, parts)
    except (KeyError, IndexError):
        return "a network that lacks tensors"
    if known is not None:
        whole = any(part.style == "autoencoder" for part in parts)
        read = "" if known[0].pipeline else ", which this version does not read"
        return known[0].title + ("" if whole else ", the network alone") + read
    what = alone_of(shapes, parts)
    if what is None:
        return "not known"
    return what.title + (f" ({what.use.format(path)})" if what.use else "")


def part_texts(header: Header) -> list[str]:
    """Its parts with their numbers of parameters, where it has several."""
    parts = parts_of(header.shapes)
    if len(parts) < 2:
        return []
    return [f"{TITLES[part.style]}: {_millions(_numbers(_own(part, header)))}" for part in parts]


def _own(part: Part, header: Header) -> Iterable[tuple[int, ...]]:
    return part.own(header.shapes).values()


def _numbers(shapes: Iterable[tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes)


def sizes(headers: Sequence[Header]) -> Rows:
    """Parameters, types and memory."""
    types: Counter[str] = Counter()
    for header in headers:
        for entry in header.entries.values():
            types[entry.kind] += math.prod(entry.shape)
    count = sum(types.values())
    held = sum(entry.nbytes for header in headers for entry in header.entries.values())
    shares = ", ".join(f"{kind} {n / max(count, 1):.1%}" for kind, n in types.most_common())
    return [
        ("parameters", f"{count:,} in {sum(len(h.entries) for h in headers):,} tensors"),
        ("types", shares or "none"),
        (
            "memory",
            f"{_bytes(held)} as it is, {_bytes(4 * count)} in fp32, {_bytes(2 * count)} in bf16",
        ),
    ]


def _bytes(count: int) -> str:
    unit, size = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6)
    return f"{count / size:.3g} {unit}"


def trained_words(metadata: Mapping[str, str]) -> str:
    """Words that call what a file learned: said outright, or those of most captions."""
    for key in TRIGGERS:
        if metadata.get(key):
            return short(metadata[key])
    if words := [key for key, text in sorted(metadata.items()) if text == WORD]:
        return short(", ".join(words))
    counts: Counter[str] = Counter()
    try:
        tables = json.loads(metadata.get(TAGS, "{}"))
        for table in tables.values():
            counts.update({str(word).strip(): int(n) for word, n in table.items()})
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        return ""
    return short(", ".join(f"{word} ({n})" for word, n in counts.most_common(COUNTED)))


def _rank(shapes: Shapes) -> Rows:
    ranks = Counter(s[0] for n, s in shapes.items() if n.endswith(RANKS) and s)
    if not ranks:
        return []
    text = ", ".join(f"{rank}" for rank, _ in ranks.most_common(5))
    return [("rank", f"{text} in {sum(ranks.values())} layers")]


def _amount(files: Sequence[Header]) -> str:
    shapes = [shape for header in files for shape in header.shapes.values()]
    kinds = sorted({kind for header in files for kind in header.kinds.values()})
    return f"{_millions(_numbers(shapes))} {', '.join(kinds)}"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"


def short(text: Any, longest: int = LONGEST) -> str:
    """A text of somebody else on one line, without what a terminal would obey."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return plain if len(plain) <= longest else f"{plain[:longest]}... ({len(plain):,} characters)"
