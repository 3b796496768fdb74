"""Does a model of captioned pictures draw what it is asked for?

    python benchmarks/captions.py RUN_OR_FOLDER ASKED --among ALL [--n 200] [--guidance 1 2 4]

One picture is made for each caption of the folder ASKED (at most n of them, evenly chosen), and the
real pictures of the folder ALL, which has those of ASKED too, are ordered by the squared difference
of their pixels from it. Hits: how often the first, or one of the first ten, is a picture of just
this caption. Chance is printed beside it.
"""

import argparse

import numpy as np

from demist.data import load
from demist.evaluation.metrics.distances import squared_distances
from demist.model import open_model


def rank(made: np.ndarray, real: np.ndarray, right: np.ndarray) -> np.ndarray:
    """How many real pictures are nearer than the nearest right one, by sample.

    Args:
        made: `(n, D)`.
        real: `(N, D)`.
        right: `(n, N)`, which real ones have the caption that was asked for.
    """
    distances = np.concatenate([block for _, block in squared_distances(made, real)])
    nearest = np.where(right, distances, np.inf).min(1)
    return (distances < nearest[:, None]).sum(1)


def main(a: argparse.Namespace) -> str:
    """One line per guidance scale."""
    pipeline = open_model(a.model)
    channels, size, _ = pipeline.shape
    every, asked = (load(p, size=size, channels=channels) for p in (a.among, a.asked))
    if every.texts is None or asked.texts is None:
        raise SystemExit("both folders need captions")
    chosen = [asked.texts[i * len(asked) // a.n] for i in range(a.n)]
    chosen = list(dict.fromkeys(chosen))
    right = np.array([[text == caption for text in every.texts] for caption in chosen])
    real = every.x.reshape(len(every), -1).astype(np.float64)
    lines = [
        f"{len(chosen)} captions, {len(every)} pictures",
        "",
        "| guidance | first % | among ten % |",
        "|---|---:|---:|",
    ]
    for guidance in a.guidance:
        images = pipeline.sample(len(chosen), text=chosen, guidance=guidance, seed=1)
        ranks = rank(images.reshape(len(chosen), -1).astype(np.float64), real, right)
        first, ten = 100 * (ranks < 1).mean(), 100 * (ranks < 10).mean()
        lines.append(f"| {guidance:g} | {first:.1f} | {ten:.1f} |")
        print(lines[-1], flush=True)
    share = right.sum(1).mean() / len(every)
    lines.append(f"| chance | {100 * share:.2f} | {1000 * share:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("asked")
    parser.add_argument("--among", required=True)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--guidance", type=float, nargs="*", default=[1.0, 2.0, 4.0])
    print(main(parser.parse_args()))
