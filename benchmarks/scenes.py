"""Does a model of DigitScenes show what it is asked for? Scores per tag, with ceiling and floor.

    python benchmarks/scenes.py RUN_OR_FOLDER [--n 256] [--guidance 3] [--out results/scenes.md]

Ceiling: the judge on real scenes. Floor: real scenes against the prompt of another. Both are of
other digits than the judge has learned from. Besides scenes like those of the training, three kinds
that it never had: bindings, relations and triples.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from demist.data.readers import scenes
from demist.drawing import image_grid, save_png
from demist.evaluation.judge.scenes import TAGS
from demist.model import open_model
from demist.training.judge import train_judge


def main(
    model: str | None, n: int, guidances: list[float], steps: int, out: Path | None, seed: int = 1
) -> str:
    """Score and tabulate; without a model, ceiling and floor only."""
    pipeline = None if model is None else open_model(model)
    size = 32 if pipeline is None else pipeline.shape[1]
    data, known = scenes.draw(12_000, "train", seed=seed, size=size)
    judge = train_judge(data.x, known, scenes.COLOURS, scenes.PLACES)
    lines = [f"Judge: {judge.classifier.card}; {n} scenes of {size} pixels per row.", ""]
    lines += ["| scenes | pictures | " + " | ".join(TAGS) + " |", "|---|---|" + "---:|" * len(TAGS)]

    def row(kind: str, of: str, images: np.ndarray, asked: tuple) -> None:
        found = judge.score(images, asked)
        cells = " | ".join(f"{100 * found[tag]:.1f}" for tag in TAGS)
        lines.append(f"| {kind} | {of} | {cells} |")
        print(lines[-1], flush=True)

    for kind in (None, *scenes.HELD_OUT):
        real, asked = scenes.draw(n, "test", size=size, seed=seed, held_out=kind)
        name = "as in training" if kind is None else f"unseen {kind}"
        row(name, "real (ceiling)", real.x, asked)
        if pipeline is not None:
            for guidance in guidances:
                begun = time.perf_counter()
                made = pipeline.sample(
                    n, text=list(real.texts or ()), guidance=guidance, steps=steps, seed=seed
                )
                print(f"{time.perf_counter() - begun:.0f} s", flush=True)
                row(name, f"made, guidance {guidance:g}", made, asked)
            if out is not None:
                page = image_grid(
                    made[:24], labels=list(real.texts or ())[:24], columns=6, scale=192 // size
                )
                save_png(page, out.with_name(f"{out.stem}-{kind or 'seen'}.png"), {})
        row(name, "real, of another prompt (floor)", np.roll(real.x, 1, 0), asked)
    text = "\n".join(lines) + "\n"
    if out is not None:
        out.write_text(text)
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--guidance", type=float, nargs="*", default=[3.0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    print(main(a.model, a.n, a.guidance, a.steps, a.out))
