"""Pretrained feature extractors from the disk: Inception-v3, DINOv2 and CLIP.

None of their weights comes with the package, and nothing is downloaded. A file is Inception-v3; a
folder holds a model as `transformers` saves it (`config.json`, `model.safetensors`), and needs the
extra `pip install 'demist[encoders]'`. Weights are read from safetensors only: a pickle can run
code.

References:
    Oquab et al. DINOv2, 2023. https://arxiv.org/abs/2304.07193 (for evaluation: Stein et al. 2023,
        https://arxiv.org/abs/2306.04675)
    Radford et al. CLIP, 2021. https://arxiv.org/abs/2103.00020
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from demist.errors import DataError, MissingError, RefusedError, UsageError
from demist.evaluation.extractors.features import Extractor, in_blocks
from demist.evaluation.extractors.inception import Inception
from demist.evaluation.extractors.resize import prepare
from demist.io.files import read_json, sha256
from demist.io.tensors import read_metadata, read_tensors

MEANS = {
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
"""Mean and standard deviation of the colours that each was trained with."""
WEIGHTS, BLOCK = "model.safetensors", 32
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")


def load_extractor(path: Path) -> Extractor:
    """The extractor in a file (Inception-v3) or a folder (DINOv2 or CLIP).

    Raises:
        MissingError: There is nothing at `path`, or `transformers` is not installed.
        RefusedError: It is a pickle.
        DataError: It is something else, or damaged.
    """
    if path.suffix in PICKLES:
        raise RefusedError(
            f"{path} is a pickle, which could run code when loaded; convert it to safetensors on a "
            "machine you trust, as docs/how-do-you-measure-a-dream.md shows"
        )
    if path.is_dir():
        return Transformer(path)
    if not path.exists():
        raise MissingError(
            f"there is no extractor at {path}: give Inception-v3 as a .safetensors file, or a "
            "folder with DINOv2 or CLIP; without --extractor the judge's features are used"
        )
    weights = {k: v for k, v in read_tensors(path).items() if not k.endswith("num_batches_tracked")}
    weights |= {
        k.replace("running_mean", "num_batches_tracked"): torch.zeros((), dtype=torch.long)
        for k in weights
        if k.endswith("running_mean")
    }
    try:
        return Inception(weights, f"Inception-v3 (FID), antialiased to 299, {_hash(path)}")
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise DataError(
            f"{path} does not hold Inception-v3 in the FID convention: {reason}"
        ) from None


class Transformer:
    """DINOv2 or CLIP as an extractor; CLIP reads texts too, for `metrics.text_score`.

    Args:
        folder: As `save_pretrained` writes it.

    Raises:
        MissingError: A file, or the package `transformers`, is not there.
        DataError: A model of another kind.
    """

    def __init__(self, folder: Path):
        for name in ("config.json", WEIGHTS):
            if not (folder / name).is_file():
                raise MissingError(
                    f"there is no {name} in {folder}; an extractor's folder is what "
                    "`save_pretrained` of transformers writes, with weights in safetensors"
                )
        transformers = _library()
        self.folder = folder
        with self._readable():
            config = read_json(folder / "config.json")
            read_metadata(folder / WEIGHTS)  # checks the header before transformers reads it
        self.kind = str(config.get("model_type"))
        if self.kind not in MEANS:
            raise DataError(
                f"{folder} holds a model of type {self.kind!r}; known are {', '.join(MEANS)}"
            )
        with self._readable():
            self.model: Any = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
            ).eval()
            self.tokenizer: Any = self._open_tokenizer(transformers) if self.reads else None
        vision = config.get("vision_config", config)
        self.side = 224 if self.kind == "dinov2" else int(vision.get("image_size", 224))
        self.recipe = f"{self.kind}, antialiased to {self.side}, {_hash(folder / WEIGHTS)}"
        self.dimension = len(self._features(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))[0])

    def see(self, images: UInt8[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n d"]:
        """Features: of DINOv2 the class token, of CLIP the image's embedding."""
        return in_blocks(self._features, images, BLOCK)

    @property
    def reads(self) -> bool:
        """Whether it has embeddings of texts too."""
        return self.kind == "clip"

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        """Embeddings of texts, beside those of images; what is too long is cut.

        Raises:
            UsageError: The model reads no texts.
        """
        if not self.reads:
            raise UsageError(f"{self.kind} reads no texts; an image-text score needs CLIP")
        longest, found = self.model.config.text_config.max_position_embeddings, []
        for start in range(0, len(texts), BLOCK):
            part = list(texts[start : start + BLOCK])
            tokens = self.tokenizer(
                part, padding=True, truncation=True, max_length=longest, return_tensors="pt"
            )
            found.append(_embedding(self.model.get_text_features(**tokens)).float().numpy())
        return np.concatenate(found)

    def _open_tokenizer(self, transformers: Any) -> Any:
        # Without its files transformers makes up an empty vocabulary.
        if not any((self.folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            raise MissingError(
                f"there is no tokenizer in {self.folder}; save CLIP's there too, by its "
                "`save_pretrained`"
            )
        return transformers.AutoTokenizer.from_pretrained(
            self.folder, local_files_only=True, trust_remote_code=False
        )

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Whatever goes wrong in reading the folder is said in one sentence."""
        try:
            yield
        except (DataError, OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"{self.folder} does not hold a whole model: {reason}") from None

    @torch.inference_mode()
    def _features(self, images: Tensor) -> Tensor:
        mean, std = (torch.tensor(v)[:, None, None] for v in MEANS[self.kind])
        x = (prepare(images, self.side) / 255 - mean) / std
        if self.kind == "clip":
            return _embedding(self.model.get_image_features(pixel_values=x))
        pooled: Tensor = self.model(pixel_values=x).pooler_output
        return pooled


def _embedding(found: Any) -> Tensor:
    """The embedding, which newer versions wrap."""
    return found if isinstance(found, Tensor) else found.pooler_output


def _hash(path: Path) -> str:
    """Beginning of the file's SHA-256."""
    return f"weights {sha256(path)[:12]}"


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingError(
            "DINOv2 and CLIP need the package transformers: pip install 'demist[encoders]'"
        ) from None
    return transformers
