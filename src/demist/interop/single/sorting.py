"""Which part of which file is which component of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demist.errors import DataError, MissingError, UsageError
from demist.formats import COMPONENTS, ENCODERS, Kind, Part, config_of, parts_of
from demist.interop.single.held import REMAINS, Held, require_none
from demist.io import hub
from demist.io.weights import TensorFile, open_tensors

CONFIG, TEXT, VAE = "config", "text", "vae"
"""A folder of configurations; a text encoder, whichever it is; the autoencoder."""
TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2",
              "text_encoder_3": "tokenizer_3"}  # fmt: skip
"""Text encoder -> its tokenizer."""
NAMES = (VAE, TEXT, *TOKENIZERS, *TOKENIZERS.values(), CONFIG)
"""What may be given as a part."""
STYLES = {"clip": ("clip", "openclip"), "t5": ("t5", "llama")}
"""What a text encoder is -> how its names may be written."""
TITLES = {"clip": "its CLIP", "openclip": "its CLIP", "t5": "its T5", "llama": "its T5",
          "autoencoder": "its VAE", "unet": "its U-Net"}  # fmt: skip

Given = Mapping[str, Sequence[Path]]
"""Name of a part -> files or folders."""


@dataclass(frozen=True)
class Found:
    """A part and the file that it is in."""

    file: TensorFile
    part: Part

    def order(self) -> tuple[bool, int]:
        """Where a CLIP stands among others: the second one by its name, or the wider one."""
        second = any(word in self.part.prefix for word in ("embedders.1.", "clip_g"))
        return second, int(config_of(self.part, self.file.shapes).get("hidden_size", 0))


def split_parts(parts: Sequence[str]) -> dict[str, list[Path]]:
    """Parts by name, from `NAME=PATH`.

    Raises:
        UsageError: One has no such form, or no name that is known.
        MissingError: There is no such file or folder.
    """
    found: dict[str, list[Path]] = {}
    for text in parts:
        name, equals, path = text.partition("=")
        if name not in NAMES or not equals:
            raise UsageError(f"--part {text}: write NAME=PATH, NAME one of {', '.join(NAMES)}")
        place = hub.local(path)
        if not place.exists():
            raise MissingError(f"--part {text}: there is no file or folder {path}")
        if name in found and name != TEXT:
            raise UsageError(f"--part {name} is given twice; give it once")
        found.setdefault(name, []).append(place)
    return found


def sort(kind: Kind, network: Found, given: Given) -> dict[str, Held | Path]:
    """Component -> where it is.

    Args:
        kind: What the model is.
        network: Its network; the file may hold more.
        given: Further files and folders.

    Raises:
        DataError: A file holds another part than it was given for, or what belongs to none.
    """
    own = [Found(network.file, part) for part in parts_of(network.file.shapes)]
    found: dict[str, Found | Path] = {COMPONENTS[network.part.style]: network}
    for name, paths in given.items():
        if name in TOKENIZERS.values():
            found[name] = paths[0]
    vaes = [_of_file(path, ("autoencoder",), VAE) for path in given.get(VAE, ())]
    vaes = vaes or [one for one in own if one.part.style == "autoencoder"]
    found |= dict(zip((VAE,), vaes, strict=False))
    found |= _encoders(kind, own, given)
    used = [one for one in found.values() if isinstance(one, Found)]
    for one in own:  # a part that a file given takes the place of is known, and not needed
        replaced = one.part.style == "autoencoder" and VAE in given
        replaced |= one.part.style in ENCODERS and any(
            name in given for name in (TEXT, *TOKENIZERS)
        )
        if one not in used and not replaced:
            names = [n for n in one.file.shapes if n.startswith(one.part.prefix)]
            require_none(names, str(one.file.path))
    for file in {id(one.file): one.file for one in used}.values():
        known = tuple(part.prefix for part in parts_of(file.shapes))
        loose = [n for n in file.shapes if not n.startswith(known) and not REMAINS.match(n)]
        require_none(loose, str(file.path))
    return {
        name: one if isinstance(one, Path) else _held(one, name in kind.projected)
        for name, one in found.items()
    }


def _held(one: Found, projected: bool) -> Held:
    others = [p.prefix for p in parts_of(one.file.shapes) if p != one.part and p.prefix]
    further = tuple(p for p in others if p.startswith(one.part.prefix))
    title = TITLES.get(one.part.style, "its transformer") if one.part.prefix else ""
    try:
        config: dict[str, Any] = config_of(one.part, one.file.shapes)
    except (KeyError, IndexError) as error:
        raise DataError(
            f"{one.file.path} lacks what {title or 'it'} needs: {error}; the file is cut, or of "
            f"another kind"
        ) from None
    return Held(one.file, one.part, config, further, projected, title)


def _encoders(kind: Kind, own: list[Found], given: Given) -> dict[str, Found | Path]:
    """The text encoders: those that are named, then the others in their order."""
    every = tuple(style for styles in STYLES.values() for style in styles)
    found: dict[str, Found | Path] = {}
    for name in kind.encoders:
        if name in given:
            found[name] = _of_file(given[name][0], STYLES[kind.encoders[name]], name)
    for name in given:
        if name in TOKENIZERS and name not in kind.encoders:
            raise UsageError(f"--part {name}: a {kind.title} has {', '.join(kind.encoders)}")
    pool = [_of_file(path, every, TEXT) for path in given.get(TEXT, ())]
    for path in pool:
        if isinstance(path, Path):
            raise UsageError(f"--part text={path}: a folder is given by the encoder's name")
    texts = [one for one in pool if isinstance(one, Found)]
    for what, styles in STYLES.items():
        open_ = [n for n, wanted in kind.encoders.items() if wanted == what and n not in found]
        here = [one for one in texts if one.part.style in styles]
        if len(here) < len(open_):
            here += [one for one in own if one.part.style in styles]
        here.sort(key=Found.order)
        if len(here) == 1 < len(open_) and here[0].order() >= (False, 1280):
            open_ = open_[1:]  # alone, and as wide as the second is
        found |= dict(zip(open_, here, strict=False))
        left = [one for one in here[len(open_) :] if one in texts]
        if left:
            raise UsageError(
                f"--part text={left[0].file.path}: a {kind.title} has no place for one more {what}"
            )
    return found


def _of_file(path: Path, styles: Sequence[str], name: str) -> Found | Path:
    """The part of a file that is of one of these styles; a folder as it is."""
    if path.is_dir() or (path.parent / "config.json").is_file():
        return path if path.is_dir() else path.parent
    file = open_tensors(path)
    parts = [part for part in parts_of(file.shapes) if part.style in styles]
    if len(parts) != 1:
        raise DataError(f"{path} holds {len(parts)} parts that could be {name!r}; give one of it")
    return Found(file, parts[0])
