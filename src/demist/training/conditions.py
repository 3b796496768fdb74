"""From columns of data to the conditions of a model, and to what training shows of them.

`--conditions "digit,edges:route=residual,caption=frozen-text,(low-resolution:factor=4,noise=0.2)"`:
an entry is a column, perhaps with the name of a condition that reads it, perhaps with options; or a
condition that is made from the samples themselves. A condition named alone reads the column that
is usual for it, if the data has that, as `masked` reads `mask`; `usual` stands for what is taken
where nobody chooses.
"""

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from demist.conditions import (
    CONDITIONS,
    REWRITINGS,
    ClipText,
    Condition,
    Conditioner,
    FrozenText,
    ImageVector,
    LowResolution,
    Masked,
    Picture,
    Sizes,
    TextVector,
)
from demist.config import TrainConfig, update
from demist.data import Column, Dataset
from demist.data.dataset import LABEL, TEXT
from demist.data.images.aside import is_image
from demist.data.images.buckets import Bucketed
from demist.data.images.told import NAMES as SIZES
from demist.errors import UsageError
from demist.machine.streams import tell
from demist.modalities import of
from demist.model.learned_clip import open_clip
from demist.model.pipeline import Pipeline
from demist.parts import bare, parse, split, unknown
from demist.training.texts import encoder_folder

ITSELF = "x"
"""The column that is generated, from which a condition may be made as well."""
USUAL = "usual"
"""The entry that stands for those where nobody chooses."""
ALSO = {
    "source": ("input", "before", "original", "input_image", "original_image", "cond"),
    "instruction": ("edit_prompt", "edit", TEXT),
}
"""Columns by which pairs go -> what else they are called; the first that is there is taken."""


def conditions(
    config: TrainConfig, data: Dataset, base: Pipeline | None = None
) -> tuple[Conditioner, dict[str, Any]]:
    """The conditions of a new model, and their values in the data.

    Args:
        config: All options.
        data: What is learned from.
        base: A model that is started from. Its conditions stay as they are, before all others; only
            how often they are hidden can be said anew. What the data says nothing of has no values.

    Raises:
        UsageError: There is no such column or condition, or one cannot be made from the other.
    """
    chosen = config.data.conditions
    usual = default_entries(config, data)
    entries = usual if chosen is None else _with_usual(split(chosen), usual)
    made_by_clip = (ImageVector.name, TextVector.name)
    if config.network.image_encoder is not None and not any(
        name in entry for name in made_by_clip for entry in entries
    ):
        if chosen is not None:
            raise UsageError(
                f"image_encoder makes the condition {ImageVector.name}, and --conditions {chosen} "
                f"is without it; add it there, or leave one of them out"
            )
        entries.append(ImageVector.name)
    if config.data.sizes:
        entries = with_sizes(entries, data, together=chosen is None)
    made: dict[str, Condition] = {} if base is None else dict(base.conditioner.conditions)
    of_base = frozenset(made)
    latent = config.latents.codec is not None or (base is not None and base.codec.components)
    for entry in map(bare, entries):
        if (of := _has_already(entry, of_base)) is not None:
            made[of] = replace(made[of], **_options(type(made[of]), parse(entry)[1]))  # type: ignore[type-var]
            continue
        name, condition = make(entry, config, data)
        images = condition.spatial or condition.from_samples
        if images and isinstance(data.x, Bucketed):
            raise UsageError(
                f"--conditions {entry}: images condition images of one shape only; leave out it or "
                f"--buckets"
            )
        if name in made:
            raise UsageError(f"--conditions has {name} twice; leave one out")
        beside = (Picture, Masked, LowResolution)  # through the codec, see `beside.in_latents`
        if latent and condition.spatial and type(condition) not in beside:
            raise UsageError(
                f"--conditions {entry}: this conditions models of pixels only; leave out it or "
                f"--codec"
            )
        made[name] = condition
    _require_right_corners(config, made)
    known = {k: c for k, c in made.items() if k not in of_base or _is_read(k, c, data)}
    if config.data.require_captions and all(c.reads != FrozenText.reads for c in known.values()):
        raise UsageError(
            f"{data.name} gives no captions, and this recipe follows prompts (require_captions = "
            f"True); write them in metadata.jsonl beside the images, name their column with "
            f"--caption-column, or learn without prompts: --no-require-captions"
        )
    return Conditioner(made), values_of(Conditioner(known), data)


def _has_already(entry: str, base: Collection[str]) -> str | None:
    """The condition of an entry that the model that is started from has; None: it has not.

    Raises:
        UsageError: It has, and the entry says how to make it.
    """
    head, given = parse(entry)
    name, _, kind = head.partition("=")
    name = name if name in base else name.replace("-", "_")
    if name not in base:
        return None
    if kind or given.keys() - {"drop", "group"}:
        raise UsageError(
            f"--conditions {entry}: the model that is started from has the condition {name}, "
            f"which stays as it is; leave out all but its name, drop and group"
        )
    return name


def _is_read(name: str, condition: Condition, data: Dataset) -> bool:
    """Whether the data has a column for a condition."""
    plain = condition.in_pixels
    return name in data.columns and data.columns[name].kind == plain.reads


def for_prompt(
    config: TrainConfig, data: Dataset, base: Conditioner
) -> tuple[TrainConfig, Dataset]:
    """Options and data in which the column of texts has the name of the base's only prompt.

    So instructions are read by what has learned to read descriptions.
    """
    prompts = [k for k, c in base.conditions.items() if c.reads == FrozenText.reads]
    entries = split(config.data.conditions or "")
    named = [parse(entry)[0].partition("=")[0] for entry in entries]
    meant = [next((n for n in (k, *ALSO.get(k, ())) if n in data.columns), k) for k in named]
    texts = [
        i
        for i, k in enumerate(meant)
        if k in data.columns and data.columns[k].kind == FrozenText.reads
    ]
    if len(prompts) != 1 or len(texts) != 1 or meant[texts[0]] == prompts[0]:
        return config, data
    [prompt], column = prompts, meant[texts[0]]
    tell(f"the column {column} is read by the prompt of the model that is started from, {prompt}")
    bared = bare(entries[texts[0]])
    entries[texts[0]] = f"({prompt}{bared[len(named[texts[0]]) :]})"
    columns = {k: c for k, c in data.columns.items() if k not in (column, prompt)}
    columns[prompt] = data.columns[column]
    config = update(config, {"conditions": ",".join(entries)})
    return config, replace(data, columns=columns, seen=data.report)


def _require_right_corners(config: TrainConfig, made: Mapping[str, Condition]) -> None:
    """Raise UsageError if corners would be told of images that are mirrored after they were cut."""
    told = [name for name, c in made.items() if isinstance(c, Sizes) and c.crop]
    if told and config.data.flip and config.data.fit == "random":
        raise UsageError(
            f"flip = True mirrors images, so that {told[0]} would name the wrong corner of those "
            f"that fit = 'random' has cut; leave out flip, or do not tell corners"
        )


def values_of(conditioner: Conditioner, data: Dataset) -> dict[str, Any]:
    """Values of the conditions in the data; a condition made from the samples has none.

    Raises:
        UsageError: The data lacks a column, or has one that does not fit.
    """
    values: dict[str, Any] = {}
    for name, condition in conditioner.conditions.items():
        plain = condition.in_pixels
        if name in data.columns and data.columns[name].kind == plain.reads:
            try:
                values[name] = condition.values(data.columns[name])
            except UsageError as error:
                raise UsageError(f"the column {name}: {error}") from None
        elif not plain.from_samples:
            raise UsageError(
                f"the model has the condition {name} and {data.name or 'the data'} has no column "
                f"{name} of kind {plain.reads}; it has {listed(data)}"
            )
    return values


def unused(conditioner: Conditioner, data: Dataset) -> list[str]:
    """Columns that condition nothing."""
    return [name for name in data.columns if name not in conditioner.conditions]


def shortened(values: Mapping[str, Any], data: Dataset) -> int | None:
    """How many texts of the data were cut to the length a model reads; None without texts."""
    texts = [name for name in values if data.columns[name].kind == "text"]
    if not texts:
        return None
    pairs = (zip(values[name], data.columns[name].values, strict=True) for name in texts)
    return sum(1 for both in pairs for kept, text in both if kept != text)


def examples(conditioner: Conditioner, data: Dataset, count: int) -> dict[str, Any]:
    """Values for `count` samples to look at: choices in turn, else those of rows of the data.

    Classes of which the data has none are no choice.
    """
    rows = np.arange(len(data))[:: max(1, len(data) // count)][:count]
    part = data.subset(rows)
    read = {k: c for k, c in conditioner.conditions.items() if _is_read(k, c, data)}
    values, turn, found = values_of(Conditioner(read), part), 1, dict[str, Any]()
    index = np.arange(count) % len(rows)
    for name, condition in conditioner.conditions.items():
        there = data.columns[name].names if name in read else condition.choices
        choices = [w for w in condition.choices if w in there and w not in empty(data, name)]
        if k := len(choices):
            found[name] = [choices[i // turn % k] for i in range(count)]
            turn *= k
        else:
            chosen = values[name][index] if name in values else None
            several = isinstance(part.x, Bucketed)
            found[name] = chosen if several else condition.beside(chosen, part.x[:][index])
    return found


def empty(data: Dataset, name: str) -> list[str]:
    """Classes of a column that no sample has."""
    column = data.columns.get(name)
    if column is None or column.kind != "class":
        return []
    there = np.bincount(column.values, minlength=len(column.names))
    return [word for word, n in zip(column.names, there, strict=True) if not n]


def default_entries(config: TrainConfig, data: Dataset) -> list[str]:
    """Where nobody chooses: class labels, and captions of what prompts can describe."""
    names = [LABEL] if config.data.labels and len(data.classes) > 1 else []
    if config.data.captions and data.texts is not None and of(data).described:
        names.append(TEXT)
    return names


def with_sizes(entries: Sequence[str], data: Dataset, together: bool) -> list[str]:
    """The entries and those of sizes, which are hidden with the last of them if `together`.

    Raises:
        UsageError: The data says nothing of sizes.
    """
    told = [name for name in SIZES if name in data.columns]
    if not told:
        raise UsageError(
            "sizes = True tells a network what was done to images, and this data says nothing of "
            "that; leave it out"
        )
    shared = f":group={told[0]}" if together else ""
    last = [f"{entry}{shared}" for entry in entries[-1:]]
    return [*entries[:-1], *last, *(f"{n}{shared}" for n in told if n not in entries)]


def _with_usual(entries: Sequence[str], usual: Sequence[str]) -> list[str]:
    """The entries with what `USUAL` stands for."""
    return [one for entry in entries for one in (usual if entry == USUAL else [entry])]


def _named(head: str, data: Dataset, where: str) -> tuple[str, str]:
    """The column that an entry means, and the condition that is to read it; "" for the usual one.

    Raises:
        UsageError: There is no such column.
    """
    name, _, kind = head.partition("=")
    if name in data.columns or name == ITSELF:
        return name, kind
    if not kind and name in CONDITIONS.names():
        cls = CONDITIONS.read(name).cls
        column = data.columns.get(cls.column)
        there = column is not None and column.kind == cls.reads
        return (cls.column if there else ITSELF), name
    for other in ALSO.get(name, ()):
        if other in data.columns:
            tell(f"there is no column {name}: the column {other} is taken for it")
            return other, kind
    gaps = data.seen.gaps.get(name)
    raise UsageError(
        f"{where}: {data.name or 'the data'} has no column {name!r}"
        + (f", as {gaps}" if gaps else "")
        + f"; it has {listed(data)}"
    )


def make(entry: str, config: TrainConfig, data: Dataset) -> tuple[str, Condition]:
    """Name and condition of an entry of `--conditions`."""
    where = f"--conditions {entry}"
    head, given = parse(entry)
    name, kind = _named(head, data, where)
    if name == ITSELF:  # a condition that reads masks draws them
        masks = kind in CONDITIONS.names() and CONDITIONS.read(kind).cls.reads == Masked.reads
        column = Column(Masked.reads if masks else Picture.reads, data.x)
    else:
        column = data.columns[name]
        _require_files(column, where)
    cls = _class_of(kind, column, config, where)
    if name == cls.column and head == cls.name and "factor" in given:
        given = {key: text for key, text in given.items() if key != "factor"}
        tell(f"the column {name} says how many times smaller its images are")
    d, n = config.data, config.network
    usual: dict[str, Any] = {
        "length": d.text_length, "vocabulary": d.text_vocabulary, "width": n.text_width,
        "depth": n.text_depth,
    }  # fmt: skip
    if d.path in REWRITINGS:  # the set whose captions are so
        usual["rewrite"] = d.path
    if n.text_tower != "own":
        usual["tower"] = n.text_tower
    if n.text_encoder is not None:
        usual["encoder"] = encoder_folder(n.text_encoder, config.output.runs)
    if n.image_encoder is not None and cls in (ImageVector, TextVector):
        clip = open_clip(n.image_encoder, config.output.runs)
        usual |= {"clip": clip.net, "pairs": clip.text.pairs}
    known = inspect.signature(cls.of).parameters
    try:
        own = {key: value for key, value in usual.items() if key in known}
        made = cls.of(column, data.x.shape[1:], d.label_drop, **own)
        condition = replace(made, **_options(cls, given))  # type: ignore[type-var]
    except (UsageError, ValueError) as error:
        raise UsageError(f"{where}: {error}") from None
    return cls.name.replace("-", "_") if name == ITSELF else name, condition


def _options(cls: type[Condition], given: Mapping[str, str]) -> dict[str, Any]:
    """Fields of a condition from the options that were typed."""
    known = {key: o.read for key, o in CONDITIONS.options(cls).items() if o.read}
    for key in given.keys() - known.keys():
        raise UsageError(unknown(f"option of {cls.name}", key, known))
    out = {}
    for key, text in given.items():
        try:
            out[key] = known[key](text)
        except ValueError as error:
            raise UsageError(f"{key}={text!r} is not {error}") from None
    return out


def listed(data: Dataset) -> str:
    """The columns of the data in words."""
    return ", ".join(f"{name} ({c.kind})" for name, c in data.columns.items()) or "none"


def _prompts_of(config: TrainConfig) -> str:
    """The condition that reads captions where nobody names one; empty: the usual one."""
    n = config.network
    if n.text_encoder is None:
        return "" if n.text_tower == "own" else ClipText.name
    if n.text_tower != "own":
        raise UsageError(
            f"text_tower = {n.text_tower!r} is trained along, and text_encoder = "
            f"{n.text_encoder!r} stays as it is; leave one of them out"
        )
    return FrozenText.name


def _require_files(column: Column, where: str) -> None:
    """Raise UsageError if a column of words names images, of which none is there."""
    words = column.names or (column.values if isinstance(column.values, tuple) else ())
    if words and all(map(is_image, words)):
        raise UsageError(
            f"{where}: the images that it names are not there, first {words[0]!r}; files are named "
            f"from the folder of the metadata"
        )


def _class_of(kind: str, column: Column, config: TrainConfig, where: str) -> type[Condition]:
    """The condition that is named, or the usual one for a kind of column."""
    if not kind and column.kind == "text":
        kind = _prompts_of(config)
    if kind and kind not in CONDITIONS.names():
        raise UsageError(f"{where}: {unknown('condition', kind, CONDITIONS.names())}")
    able = [cls for cls in CONDITIONS.classes if cls.reads == column.kind]
    for cls in able:
        if cls.name == kind or (cls.usual and not kind):
            return cls
    reads = ", ".join(cls.name for cls in able if cls.name) or "no condition"
    raise UsageError(f"{where}: the column is of kind {column.kind}, which {reads} reads")
