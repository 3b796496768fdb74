"""A single file, and files of parts, as a model: what each is, is told by names and shapes."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from demist.errors import DataError
from demist.formats import COMPONENTS, Kind, alone_of, kind_of, parts_of
from demist.interop.single.file_source import FileSource
from demist.interop.single.held import Held
from demist.interop.single.said import Said, beside, prediction
from demist.interop.single.sorting import CONFIG, TOKENIZERS, VAE, Found, sort, split_parts
from demist.interop.single.vocabulary import WORDS
from demist.io.headers import Header
from demist.io.weights import open_tensors

NOT_CONFIGURATION = ("architectures", "model_type", "dtype", "torch_dtype", "transformers_version")
"""Keys of a text encoder's config.json that say nothing of it."""


def open_file(
    place: Path,
    parts: Sequence[str] = (),
    asked: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> FileSource:
    """A model in a single file.

    Args:
        place: The file.
        parts: `NAME=PATH` of further files or folders; see `demist.interop.single.sorting.NAMES`.
        asked: What it predicts, where the file does not say: `v` or `eps`.
        dtype: What weights become while they are read.

    Raises:
        MissingError: A file is not there.
        DataError: It is no model of a kind that is read, or tensors are missing or left over.
        UsageError: A part or the prediction makes no sense.
    """
    file, given = open_tensors(place), split_parts(parts)
    try:
        known = kind_of(file.shapes, parts_of(file.shapes))
    except (KeyError, IndexError) as error:
        raise DataError(f"{place} lacks the tensor {error}, which its network needs") from None
    if known is None:
        raise DataError(refusal(place, file))
    kind, network = known
    if not kind.pipeline:
        raise DataError(f"{place} is a {kind.title}, which this version does not read")
    said = beside(place, file.metadata, given[CONFIG][0] if CONFIG in given else None)
    predicts = prediction(place, kind, asked, said, file.metadata, file.entries)
    held = {
        name: _configured(name, one, kind, said, predicts)
        for name, one in sort(kind, Found(file, network), given).items()
    }
    words = {key: value for key, value in said.items() if key in TOKENIZERS.values()}
    index = _index(kind, COMPONENTS[network.style], held, words, said)
    _tell(place, kind, held, index, predicts)
    schedules = {name: value for name, value in kind.index.items() if isinstance(value, Mapping)}
    schedules = {name: dict(said.get(name, value)) for name, value in schedules.items()}
    scheduler = dict(said.get("scheduler", kind.scheduler))
    scheduler |= {} if predicts is None else {"prediction_type": predicts}
    scheduler |= {"rescale_betas_zero_snr": True} if "ztsnr" in file.entries else {}
    return FileSource(place, index, kind, held, {"scheduler": scheduler, **schedules}, words, dtype)


def refusal(place: Path, header: Header) -> str:
    """Why a file is no model that makes images, and how it is used instead."""
    what = alone_of(header.shapes)
    if what is None:
        first = ", ".join(sorted(header.entries)[:3]) or "nothing"
        return f"{place} is no model of a kind that is known: it holds {first}, ..."
    use = f"; use it so: {what.use.format(place)}" if what.use else ""
    return f"{place} is a file of another kind ({what.title}), and no model by itself{use}"


def _configured(
    name: str, one: Held | Path, kind: Kind, said: Said, predicts: str | None
) -> Held | Path:
    """A component with the configuration that is given, or that its shapes and the kind say."""
    if isinstance(one, Path):
        return one
    config = dict(one.config)
    if name == VAE:
        config |= kind.latents
    if kind.asks and predicts == "v_prediction" and "sample_size" in config:
        config["sample_size"] = 96  # 768 pixels
    given = said.get(name)
    if isinstance(given, dict):
        plain = {k: v for k, v in given.items() if k not in NOT_CONFIGURATION}
        config = plain if "_class_name" in given else config | plain
    return dataclasses.replace(one, config=config)


def _index(
    kind: Kind, network: str, held: Mapping[str, Held | Path], words: Said, said: Said
) -> dict[str, Any]:
    """What `model_index.json` would say."""
    plain = {k: v for k, v in kind.index.items() if not isinstance(v, Mapping)}
    given = said.get("index")
    index = {"_class_name": kind.pipeline, **plain, **(given if isinstance(given, dict) else {})}
    index |= {name: ["diffusers", ""] for name in (network, VAE) if name in held}
    index |= {name: ["diffusers", ""] for name in kind.index if name not in plain}
    for encoder, style in kind.encoders.items():
        tokenizer = TOKENIZERS[encoder]
        known = tokenizer in held or tokenizer in words or _has_clip_words(style, held.get(encoder))
        index[tokenizer] = ["transformers" if known else None, None]
        index[encoder] = ["transformers" if encoder in held else None, None]
    if index.get("tokenizer_3") == [None, None]:
        index["text_encoder_3"] = [None, None]
    return index


def _has_clip_words(style: str, one: Held | Path | None) -> bool:
    """Whether an encoder reads CLIP's vocabulary, which comes with this package."""
    words = one.config.get("vocab_size") if isinstance(one, Held) else WORDS
    return style == "clip" and words == WORDS


def _tell(
    place: Path,
    kind: Kind,
    held: Mapping[str, Held | Path],
    index: Mapping[str, Any],
    predicts: str | None,
) -> None:
    """Say what the file was taken for."""
    told = f", which predicts {predicts}" if predicts else ""
    warnings.warn(f"{place.name} is a {kind.title}{told}", stacklevel=3)
    if "text_encoder_3" in held and index["text_encoder_3"] == [None, None]:
        warnings.warn(
            "T5 comes without its tokenizer, so zeros stand in its place; to use it, give the "
            "folder of T5's tokenizer: --part tokenizer_3=FOLDER",
            stacklevel=3,
        )
