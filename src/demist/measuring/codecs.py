"""How good is a codec? Real images beside what it makes of them, and the best linear code.

found = demist.measuring.codecs.evaluate_codec("runs/0001-photos")
print(found)  # a table
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demist import runs
from demist.codecs import Codec
from demist.config import DataConfig
from demist.data import Dataset
from demist.data.dataset import Samples
from demist.data.readers import scenes
from demist.errors import DataError, MissingError, UsageError
from demist.evaluation import Reference
from demist.evaluation.extractors.pretrained import load_extractor
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.judge.scenes import TAGS
from demist.evaluation.metrics.linear_code import linear_code
from demist.evaluation.metrics.metric import ImageMetric, rows_of
from demist.io.files import read_json
from demist.machine.device import pick_device
from demist.measuring.judging import judge, scene_judge
from demist.modalities import of
from demist.modalities.named import divided
from demist.modalities.through_codec import lost, reconstructions
from demist.model.components import hash_of
from demist.model.folder import CODEC
from demist.model.learned_codec import LearnedCodec, open_codec
from demist.model.open import RUNS
from demist.version import __version__

SCENES = 512
"""Scenes that are read, real and rebuilt."""
BLOCK = 256
FITTED = 2000
"""Training images that the linear code is fitted to."""
NAMES = {"psnr": "PSNR, dB", "ssim": "SSIM", "same_label": "the judge sees the same"}
EXACT = {"psnr": None, "ssim": 1.0, "same_label": 1.0}
"""What images score that have lost nothing; their PSNR is infinite."""
METRICS = ("fdr", "fd", "label_accuracy", "sharpness")
"""Numbers of an evaluation of samples that are told of reconstructions, too."""


@dataclass(frozen=True)
class CodecEvaluation:
    """What was found of one codec.

    Attributes:
        name: Of the run or folder.
        codec: Where it comes from, with the SHA-256 of its weights.
        rows: Title of a row -> of reconstructions, of the linear code, of real images.
        latents: Mean and deviation of each channel, and the deviation that the model sees.
        codes: Of a codebook: how many codes there are, are used, and their perplexity.
        notes: How it was measured.
        machine: On which machine.
        folder: Of the run; None: it is a saved codec.
    """

    name: str
    codec: Mapping[str, Any]
    rows: Mapping[str, tuple[float | None, float | None, float | None]]
    latents: Mapping[str, list[float]]
    codes: Mapping[str, float] | None
    notes: tuple[str, ...]
    machine: Mapping[str, Any]
    folder: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        rows = {k: dict(zip(("codec", "linear", "real"), v, strict=True))
                for k, v in self.rows.items()}  # fmt: skip
        return {
            "demist": __version__, "codec": dict(self.codec), "rows": rows,
            "latents": dict(self.latents), "codes": self.codes, "notes": list(self.notes),
            "machine": dict(self.machine),
        }  # fmt: skip

    def __str__(self) -> str:
        lines = ["| metric | reconstructions | linear code | real |", "|---|---:|---:|---:|"]
        for title, values in self.rows.items():
            digits = 1 if title.endswith(("dB", "%")) else 3
            cells = ["–" if v is None else f"{v:.{digits}f}" for v in values]
            lines.append(f"| {title} | {' | '.join(cells)} |")
        lines += ["", "| channel of the latents | mean | deviation | deviation in the model |",
                  "|---|---:|---:|---:|"]  # fmt: skip
        for i, row in enumerate(zip(*self.latents.values(), strict=True)):
            lines.append(f"| {i} | " + " | ".join(f"{value:.4g}" for value in row) + " |")
        if self.codes is not None:
            c = self.codes
            lines += ["", f"Of {c['codes']:.0f} codes {c['used']:.0f} are used; perplexity "
                      f"{c['perplexity']:.1f}."]  # fmt: skip
        return "\n".join([*lines, "", *self.notes]) + "\n"


def is_codec(spec: str, root: Path = RUNS) -> bool:
    """Whether a run or a folder is a codec, and no model that makes samples."""
    try:
        place = Path(spec)
        if (place / "model_index.json").is_file():
            return read_json(place / "model_index.json").get("_class_name") == CODEC
        if (place / "config.json").is_file():
            kind = str(read_json(place / "config.json").get("_class_name"))
            return kind.startswith("Autoencoder") or kind == "VQModel"
        return runs.find(spec, root).config().network.network == "autoencoder"
    except (MissingError, DataError, UsageError):
        return False  # whoever opens it says what is wrong


def evaluate_codec(
    spec: str,
    *,
    data: str | None = None,
    n: int = 10_000,
    extractor: Path | None = None,
    device: str = "auto",
    root: Path = RUNS,
) -> CodecEvaluation:
    """Measure a codec on held-out images, beside the best linear code of the same size.

    Args:
        spec: A run, or the folder of a codec; see `demist.model.open_codec`.
        data: Images; None: what the run was trained on.
        n: Held-out images, at most.
        extractor: Of features; None: the judge, a classifier trained on the data.
        device: Where the codec runs.
        root: Folder of runs.

    Raises:
        MissingError: There is no such codec or data.
        UsageError: They do not go together.
    """
    made = open_codec(spec, root).to(pick_device(device))
    options = _data_of(made, spec, data, root)
    division = divided(options)
    train, test = division.train, division.test
    kind = of(train)
    kind.require_codec(made.codec)
    made.codec.state_shape(train.x.shape[1:])
    expert = judge(kind.as_seen(train), kind.as_seen(test))
    test = test.subset(np.unique(np.linspace(0, len(test) - 1, n).astype(np.int64)))
    with tqdm(total=4, desc="measuring", leave=False, disable=not sys.stderr.isatty()) as bar:
        rows, about = _rows(made.codec, expert, train, test, extractor, bar.update)
    notes = (
        f"{len(test)} held-out {kind.name} of {test.name or options.path}; FDr of real {kind.name} "
        f"is 1 by definition, and FD theirs to the {len(train)} of training. {about}",
        *_about_linear(made.codec, train),
    )
    return CodecEvaluation(
        Path(spec).name, {"sha256": hash_of(made.components()), **made.facts}, rows,
        _latents(made.codec, test.x), _codes(made.codec, test.x), notes, dict(runs.environment()),
        None if _saved(spec) else runs.find(spec, root).path,
    )  # fmt: skip


def _data_of(made: LearnedCodec, spec: str, data: str | None, root: Path) -> DataConfig:
    if not _saved(spec):
        known = runs.find(spec, root).config().data
        return known if data is None else replace(known, path=data)
    if data is None:
        raise UsageError(
            f"{spec} is a saved codec, which does not say where its data is; add --data DATA"
        )
    given = of(made).options_of(made.shape)
    if "maker" in made.facts:
        given["size"] = None
    return replace(DataConfig(), path=data, **given)


def _saved(spec: str) -> bool:
    return any((Path(spec) / name).is_file() for name in ("model_index.json", "config.json"))


def _rows(
    codec: Any,
    expert: Classifier,
    train: Dataset,
    test: Dataset,
    extractor: Path | None,
    done: Callable[[], object],
) -> tuple[dict[str, Any], str]:
    """Rows of the table, and a sentence on the features."""
    true = train.labels is not None and expert.card.classes == train.classes
    kind = of(train)
    reference = Reference.of(
        expert, kind.as_seen(train).x, kind.as_seen(test).x, generated=len(test),
        extractor=None if extractor is None else load_extractor(extractor),
        train_labels=train.labels if true else None, test_labels=test.labels if true else None,
        k=max(1, min(5, len(test) - 1)),
    )  # fmt: skip
    done()
    k, side, _ = _sizes(codec, train)
    some = np.unique(np.linspace(0, len(train) - 1, FITTED).astype(np.int64))
    first = codec.pixels
    pictures = first.picture(first.encode(torch.from_numpy(np.array(train.x[some]))))
    linear = linear_code(pictures.numpy(), side, k)

    def straight(x: Samples) -> np.ndarray:
        found = []
        for begin in range(0, len(x), BLOCK):
            part = first.encode(torch.from_numpy(np.array(x[begin : begin + BLOCK])))
            code = linear.encode(first.picture(part).numpy())
            found.append(first.decode(first.of_picture(torch.from_numpy(linear.decode(code)))))
        return torch.cat(found).numpy()

    ways: list[Any] = [lambda x: reconstructions(codec, x), straight]
    found = []
    for way in ways:
        rebuilt = kind.as_seen(replace(test, x=way(test.x), known_fingerprint="")).x
        found.append(lost(rebuilt, reference, test.labels if true else None))
        done()
    rows: dict[str, Any] = {}
    for key in ("psnr", "ssim"):
        rows[NAMES[key]] = (*(_finite(one[key]) for one in found), EXACT[key])
    titles = rows_of(ImageMetric)
    for key in METRICS:
        if key in found[0]["metrics"]:
            values = [one["metrics"].get(key) for one in found]
            rows[titles[key].title] = (*values, _finite(reference.floor.get(key)))
    rows[f"{NAMES['same_label']}, %"] = (*(100 * one["same_label"] for one in found), 100.0)
    rows |= _scenes(test, ways)
    done()
    return rows, f"Features: {reference.extractor.recipe}."


def _scenes(test: Dataset, ways: list[Any]) -> dict[str, Any]:
    """Scores of DigitScenes by the judge that reads them; nothing of other data."""
    if test.name != "scenes":
        return {}
    size = int(test.x.shape[-1])
    reader = scene_judge(size)
    real, asked = scenes.draw(SCENES, "test", seed=1, size=size)
    scores = [reader.score(x, asked) for x in (*(way(real.x) for way in ways), real.x)]
    return {f"scenes read right: {tag}, %": tuple(100 * s[tag] for s in scores) for tag in TAGS}


def _sizes(codec: Any, train: Dataset) -> tuple[int, int, int]:
    """Channels of the latents, pixels that a side of one of theirs stands for, and how many."""
    k, height, width = codec.state_shape(train.x.shape[1:])
    _, tall, _ = codec.pixels.state_shape(train.x.shape[1:])
    return k, tall // height, height * width


def _about_linear(codec: Any, train: Dataset) -> tuple[str, ...]:
    k, side, places = _sizes(codec, train)
    what = "an image" if of(train).spatial else "a spectrogram"
    return (
        f"Linear code: the principal components of patches of {side}x{side} pixels, {k} numbers "
        f"each, {k * places} {what}, as many as the latents have.",
    )


@torch.no_grad()
def _latents(codec: Codec, x: Samples) -> dict[str, list[float]]:
    """Mean and deviation of each channel, before scaling and after."""
    total: list[Tensor] = []
    count = 0
    for begin in range(0, len(x), BLOCK):
        z = codec.encode(torch.from_numpy(np.array(x[begin : begin + BLOCK]))).double()
        raw = codec.scale.decode(z) if hasattr(codec, "scale") else z
        sums = torch.stack([raw.sum((0, 2, 3)), raw.square().sum((0, 2, 3)),
                            z.sum((0, 2, 3)), z.square().sum((0, 2, 3))])  # fmt: skip
        total = [sums] if not total else [total[0] + sums]
        count += z[:, 0].numel()
    mean, square, mean_in, square_in = total[0] / count
    return {
        "mean": mean.tolist(),
        "deviation": (square - mean**2).clamp(min=0).sqrt().tolist(),
        "deviation_in_model": (square_in - mean_in**2).clamp(min=0).sqrt().tolist(),
    }


def _codes(codec: Any, x: Samples) -> dict[str, float] | None:
    """How a codebook is used; None: there is none."""
    if not hasattr(codec, "codes"):
        return None
    size = int(codec.net.config["num_vq_embeddings"])
    counts = np.zeros(size, np.int64)
    for begin in range(0, len(x), BLOCK):
        found = codec.codes(torch.from_numpy(np.array(x[begin : begin + BLOCK])))
        counts += np.bincount(found.cpu().numpy().ravel(), minlength=size)
    share = counts[counts > 0] / counts.sum()
    entropy = -float((share * np.log(share)).sum())
    return {"codes": size, "used": int((counts > 0).sum()), "perplexity": math.exp(entropy)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
