"""How well do autoencoders give back what they were shown? On held-out scenes, by form.

    python benchmarks/autoencoders.py CODEC [CODEC ...] [--n 256] [--out results/autoencoders.md]

A CODEC is a run or a folder, trained for example by

    demist train scenes --size 64 --recipe autoencoder --codec kl --threads 1 --budget 10m

PSNR is measured on scenes of MNIST's test digits, which no codec has seen, beside that of the best
linear code of the same size, which is fitted to 2,000 training scenes. The judge of DigitScenes has
learned from real scenes; "all" is the share in which it finds everything that the caption says.
Next to it is what it says of the scenes themselves.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from demist.codecs import KLAutoencoder
from demist.codecs.vector_quantised import VectorQuantised
from demist.data.readers import scenes
from demist.drawing import image_grid, save_png
from demist.evaluation.metrics.linear_code import LinearCode, linear_code
from demist.evaluation.metrics.psnr import psnr
from demist.model.learned_codec import open_codec
from demist.training.judge import train_judge

SIZE = 64
SHOWN = 12
"""Scenes in a picture."""


def codes_of(codec: KLAutoencoder, x: torch.Tensor) -> str:
    """How many codes of a codebook these images need."""
    if not isinstance(codec, VectorQuantised):
        return ""
    return str(len(codec.codes(x).unique()))


def main(specs: list[str], n: int, out: Path | None, seed: int = 1) -> str:
    """Measure and tabulate."""
    train, _ = scenes.draw(2_000, "train", seed=0, size=SIZE)
    learned, known = scenes.draw(12_000, "train", seed=seed)
    judge = train_judge(learned.x, known, scenes.COLOURS, scenes.PLACES)
    real, asked = scenes.draw(n, "test", seed=seed, size=SIZE)
    x = torch.from_numpy(real.x)
    lines = [
        f"{n} test scenes of {SIZE} x {SIZE} pixels, torch {torch.__version__}.",
        "",
        "| codec | form | weights | code | steps | PSNR, dB | linear code, dB | judge, all | "
        "latent std by channel | codes used |",
        "|---|---|---:|---|---:|---:|---:|---:|---|---:|",
    ]
    print("\n".join(lines), flush=True)

    def row(*cells: object) -> None:
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        print(lines[-1], flush=True)

    score = 100 * judge.score(real.x, asked)["all"]
    row("the scenes themselves", *[""] * 6, f"{score:.1f}", "", "")
    linear = {spec: linear_of(spec, train.x) for spec in specs}
    for code in {code.axes.shape: code for code in linear.values()}.values():
        rebuilt = code.decode(code.encode(real.x))
        score = 100 * judge.score(rebuilt, asked)["all"]
        size = f"{len(code.axes)} x {SIZE // code.factor} x {SIZE // code.factor}"
        found = f"{psnr(real.x, rebuilt):.2f}"
        row("linear code", "linear", "", size, "", found, found, f"{score:.1f}", "", "")
    for spec in specs:
        made = open_codec(spec)
        codec = made.codec
        assert isinstance(codec, KLAutoencoder)
        z = codec.latents(x)
        rebuilt = codec.decode(codec.encode(x)).numpy()
        score = 100 * judge.score(rebuilt, asked)["all"]
        row(
            Path(spec).name,
            type(codec.net).__name__,
            f"{sum(p.numel() for p in codec.components['autoencoder'].parameters()):,}",
            " x ".join(map(str, z.shape[1:])),
            made.facts.get("step", ""),
            f"{psnr(real.x, rebuilt):.2f}",
            f"{linear[spec].psnr(real.x):.2f}",
            f"{score:.1f}",
            ", ".join(f"{value:.2f}" for value in z.std((0, 2, 3)).tolist()),
            codes_of(codec, x),
        )
        if out is not None:
            pairs = np.stack([real.x[:SHOWN], rebuilt[:SHOWN]], 1).reshape(-1, 3, SIZE, SIZE)
            page = image_grid(pairs, columns=8, scale=2)
            save_png(page, out.with_name(f"{out.stem}-{Path(spec).name}.png"), {})
    text = "\n".join(lines) + "\n"
    if out is not None:
        out.write_text(text)
    return text


def linear_of(spec: str, x: np.ndarray) -> LinearCode:
    """The best linear code as small as a codec's."""
    codec = open_codec(spec).codec
    assert isinstance(codec, KLAutoencoder)
    return linear_code(x, codec.net.downsample, codec.net.latent_channels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codecs", nargs="+")
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    main(a.codecs, a.n, a.out)
