"""A pipeline with adapters: LoRA and textual inversion, told in its facts."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist.conditions import ReadImage
from demist.errors import UsageError
from demist.interop import Reading, adapters
from demist.io import hub
from demist.io.files import sha256
from demist.model.fits import Fits

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

KEY = "adapters"
"""The fact that lists them."""


def as_read(pipeline: "Pipeline", reading: Reading | None) -> "Pipeline":
    """A pipeline with the adapters that its reading names; see `with_loras` for what is raised."""
    if reading is None:
        return pipeline
    if reading.codec and pipeline.origin is None:
        raise UsageError(
            f"codec {reading.codec}: the latents of a model of demist's own are its own codec's; "
            f"leave it out"
        )
    changed = with_loras(pipeline, [adapters.weighted_file(text) for text in reading.lora])
    return with_embeddings(changed, reading.embedding)


def with_loras(
    pipeline: "Pipeline", files: Sequence[tuple[str | os.PathLike[str], float]]
) -> "Pipeline":
    """A pipeline whose networks are changed by LoRA files, each with its weight.

    The one given stays as it was, to the bit; weights that no file changes are shared.

    Raises:
        MissingError: A file is not there.
        RefusedError: One is a pickle.
        DataError: One is damaged or does not fit the model.
        UsageError: The model is not a published one.
    """
    if not files:
        return pipeline
    read = [(adapters.read_lora(hub.local(str(file))), weight) for file, weight in files]
    denoiser, conditioner = adapters.with_loras(pipeline.denoiser, pipeline.conditioner, read)
    told = [
        {"lora": Path(lora.place).name, "sha256": sha256(Path(lora.place)), "weight": weight}
        for lora, weight in read
    ]
    facts = _told(pipeline, told)
    return replace(pipeline, denoiser=denoiser, conditioner=conditioner, facts=facts, fits=Fits())


def with_embeddings(pipeline: "Pipeline", files: Sequence[str]) -> "Pipeline":
    """A pipeline whose prompts have further words, each from a file: `FILE`, or `FILE=word`.

    Raises:
        As `with_loras`.
    """
    if not files:
        return pipeline
    read = [adapters.read_embedding(file) for file in files]
    told = [
        {"embedding": Path(e.place).name, "sha256": sha256(Path(e.place)), "word": e.word}
        for e in read
    ]
    conditioner = adapters.with_embeddings(pipeline.conditioner, read)
    return replace(pipeline, conditioner=conditioner, facts=_told(pipeline, told))


def with_ip_adapter(
    pipeline: "Pipeline",
    file: str | os.PathLike[str],
    scale: float = 1.0,
    encoder: str | os.PathLike[str] | None = None,
) -> "Pipeline":
    """A pipeline with a further condition, `image_prompt`; the one given stays as it was.

    Args:
        pipeline: Of Stable Diffusion 1, 2 or XL.
        file: An IP-Adapter, `.safetensors`.
        scale: How much the image counts.
        encoder: Folder of its image encoder; None: `image_encoder` beside the file, in the model,
            or in `models` beside the file's folder.

    Raises:
        As `with_loras`.
    """
    file = hub.local(str(file))
    adapter = adapters.read_ip_adapter(file)
    beside = file.resolve().parent
    places = [
        beside,
        *([pipeline.origin.place] if pipeline.origin else []),
        beside.parent / "models",
    ]
    folders = [place / "image_encoder" for place in places]
    found = adapters.find_encoder(adapter, folders if encoder is None else [Path(encoder)])
    denoiser, conditioner = adapters.with_ip_adapter(
        pipeline.denoiser, pipeline.conditioner, adapter, found, scale
    )
    told = [{"ip_adapter": file.name, "sha256": sha256(file), "scale": scale}]
    facts = _told(pipeline, told)
    return replace(pipeline, denoiser=denoiser, conditioner=conditioner, facts=facts, fits=Fits())


def from_flag(
    pipeline: "Pipeline", text: str | None, encoder: Path | None, read_image: ReadImage
) -> tuple["Pipeline", dict[str, Any]]:
    """A pipeline with the IP-Adapter in `FILE=image.png:0.6`, and the image as its condition.

    Args:
        pipeline: The model.
        text: What was typed; None: nothing.
        encoder: See `with_ip_adapter`.
        read_image: Reads the image.

    Raises:
        UsageError: It is not written so; see `with_ip_adapter` for more.
    """
    if text is None:
        return pipeline, {}
    heads = [i for i, letter in enumerate(text) if letter == "=" and _is_there(text[:i])]
    if not heads:
        raise UsageError(
            f"--ip-adapter {text}: write FILE=image.png, or FILE=image.png:0.6, with a file that "
            f"is there"
        )
    file, (image, scale) = text[: heads[0]], adapters.weighted_file(text[heads[0] + 1 :])
    changed = with_ip_adapter(pipeline, file, scale, encoder)
    name = adapters.ip_adapter.NAME
    return changed, {name: changed.conditioner.conditions[name].parse(str(image), read_image)}


def _is_there(file: str) -> bool:
    return hub.is_named(file) or Path(file).is_file()


def named_in(prompt: str, loras: Sequence[str], folder: Path | None) -> tuple[str, tuple[str, ...]]:
    """A prompt without `<lora:name:0.8>`, and the files that it names after those of `loras`.

    Args:
        prompt: As it was typed.
        loras: `FILE` or `FILE:0.8`.
        folder: Where names are looked for, before the folders of these files.

    Raises:
        MissingError: A name is nowhere.
        UsageError: A weight is no number.
    """
    beside = [adapters.weighted_file(text)[0].parent for text in loras]
    folders = [*([folder] if folder else []), *dict.fromkeys(beside)]
    prompt, found = adapters.named_in(prompt, folders)
    return prompt, (*loras, *(f"{path}:{weight!r}" for path, weight in found))


def _told(pipeline: "Pipeline", more: Sequence[Mapping[str, object]]) -> dict[str, object]:
    return {**pipeline.facts, KEY: [*pipeline.facts.get(KEY, ()), *more]}
