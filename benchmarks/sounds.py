"""Sounds in figures: what the codec loses, and whether samples say what was asked for.

    python benchmarks/sounds.py codec RECORDINGS       # its error; the filterbank, with librosa
    python benchmarks/sounds.py judge RECORDINGS RUN ...   # digit and speaker, by two classifiers

RECORDINGS is a folder whose metadata.csv has the columns label and speaker, see docs/sound.md, with
a part "test"; the judges are trained once on spectrograms of its training recordings and see those
of the decoded waves of every run, in whatever these learn.

Runs may make sounds of several lengths. Shorter ones are followed by silence up to the longest, and
the judges have learned from real recordings of each length, cut and followed by silence alike: a
judge of whole words alone would hold it against half a second that a word ends early. What real
recordings score is printed for each length, and FDr compares with recordings of the run's own
length, in the features of the judge of digits. Printed rows are Markdown, times of this process.
"""

import argparse
import dataclasses
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from demist import Pipeline, modalities
from demist.codecs import LogMel, mel
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.modalities.listening import pictures
from demist.training.judge import train_classifier


def codec(args: argparse.Namespace) -> None:
    data = modalities.load(args.recordings, seconds=args.seconds)
    rows = np.random.default_rng(0).permutation(len(data))[: args.n]
    x = torch.from_numpy(data.x[rows])
    made = LogMel.of(data.x, data.x.rate)
    z, seconds = made.encode(x), len(rows) * data.x.length / data.x.rate
    print("| rounds | error, standard deviations | CPU seconds for a second of sound |")
    print("|---:|---:|---:|")
    for rounds in (0, 8, 16, 32, 64):
        other = dataclasses.replace(made, rounds=rounds)
        begun = time.process_time()
        y = other.decode(z)
        took = (time.process_time() - begun) / seconds
        error = float((made.encode(y) - z).square().mean().sqrt())
        print(f"| {rounds} | {error:.4f} | {took:.4f} |")
    try:
        from librosa import __version__, filters
    except ImportError:
        print("\nno librosa here: the filterbank is not compared")
        return
    worst = 0.0
    for rate, window, bands in ((8000, 512, 64), (16_000, 1024, 64), (44_100, 2816, 80)):
        theirs = filters.mel(sr=rate, n_fft=window, n_mels=bands, dtype=np.float64)
        ours = mel.filterbank(rate, window, bands)
        worst = max(worst, float(np.abs(ours - theirs).max() / theirs.max()))
    print(f"\nfilterbank against librosa {__version__}: {worst:.1e} of the largest weight")


@dataclasses.dataclass(frozen=True)
class Real:
    """Real recordings of one length, as judges see them.

    Attributes:
        sounds: Of the part that is held out, `(n, 1, L)`.
        train: Spectrograms of the training part, with silence after them up to the common length.
        test: The same of the part that is held out.
    """

    sounds: np.ndarray
    train: np.ndarray
    test: np.ndarray


def padded(kind: modalities.Sounds, x: np.ndarray, length: int) -> np.ndarray:
    """Spectrograms of sounds, followed by silence up to a length."""
    return pictures(kind, np.pad(x, ((0, 0), (0, 0), (0, length - x.shape[2]))))


def fd(judge: Classifier, some: np.ndarray, train: np.ndarray) -> float:
    """Fréchet distance of spectrograms to those of all training recordings, to the judge."""
    a, b = (Moments.of(judge.see(x)[:, : judge.dimension]) for x in (some, train))
    return frechet_distance(a, b)


def judge(args: argparse.Namespace) -> None:
    pipelines = [Pipeline.from_run(run) for run in args.runs]
    kinds = {modalities.of(pipeline) for pipeline in pipelines}
    if len(kinds) > 1 or not isinstance(kind := kinds.pop(), modalities.Sounds):
        raise SystemExit("these runs make no sounds of one rate, which one judge could hear")
    lengths = sorted({pipeline.shape[1] for pipeline in pipelines}, reverse=True)
    draw, real = np.random.default_rng(args.seed), dict[int, Real]()
    for length in lengths:
        parts = [
            modalities.load(args.recordings, split=part, rate=kind.rate, seconds=length / kind.rate)
            for part in ("train", "test")
        ]
        # Of longer recordings a part that lies anywhere, as in training.
        cut = [data.x.at(np.arange(len(data)), draw.random(len(data))) for data in parts]
        real[length] = Real(cut[1], *(padded(kind, x, lengths[0]) for x in cut))
    train, test = parts
    seen = np.concatenate([one.train for one in real.values()])
    judges = dict[str, Classifier]()
    for name in ("label", "speaker"):
        column = train.columns[name]
        values = np.tile(column.values, len(lengths))
        judges[name] = train_classifier(seen, values, column.names, seed=0)
    asked = {n: draw.integers(len(j.card.classes), size=args.n) for n, j in judges.items()}
    truth = {name: test.columns[name].values for name in judges}
    ear = judges["label"]
    count = min(args.n, len(test))  # a Fréchet distance depends on how many are compared
    unit = {length: fd(ear, one.test[:count], one.train) for length, one in real.items()}

    def row(what: str, x: np.ndarray, right: Mapping[str, np.ndarray], of: Real, cost: str) -> None:
        length = of.sounds.shape[2]
        looked = padded(kind, x, lengths[0])
        shares = [float((j.logits(looked).argmax(1) == right[n]).mean()) for n, j in judges.items()]
        fdr = fd(ear, looked[:count], of.train) / unit[length]
        cells = [f"{length / kind.rate:.3f}", *(f"{100 * share:.1f} %" for share in shares)]
        print(f"| {what} | {' | '.join(cells)} | {fdr:.2f} | {cost} |", flush=True)

    print("| what | seconds | digit | speaker | FDr | CPU seconds a sample |")
    print("|---|---:|---:|---:|---:|---:|")
    chances = " | ".join(f"{100 / len(j.card.classes):.1f} %" for j in judges.values())
    print(f"| chance | | {chances} | | |")
    for one in real.values():
        row("real, held out", one.sounds, truth, one, "")
    for run, pipeline in zip(args.runs, pipelines, strict=True):
        own, known = real[pipeline.shape[1]], pipeline.conditioner.conditions
        words = {n: [judges[n].card.classes[i] for i in rows] for n, rows in asked.items()}
        if not words.keys() <= known.keys():
            pairs = zip(words["label"], words["speaker"], strict=True)
            words = {"text": [args.prompt.format(label=a, speaker=b) for a, b in pairs]}
        begun = time.process_time()
        x = pipeline.sample(
            args.n, steps=args.steps, guidance=args.guidance, seed=args.seed, **words
        )
        cost = f"{(time.process_time() - begun) / args.n:.3f}"
        name = Path(run).name
        if not pipeline.codec.lossless:
            whole = torch.from_numpy(own.sounds)
            through = pipeline.codec.decode(pipeline.codec.encode(whole)).numpy()
            row(f"real, through the codec of {name}", through, truth, own, "")
        row(f"{name}, {args.n} samples", x, asked, own, cost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("codec")
    one.add_argument("recordings")
    one.add_argument("--n", type=int, default=200)
    one.add_argument("--seconds", type=float)
    one.set_defaults(do=codec)
    two = commands.add_parser("judge")
    two.add_argument("recordings")
    two.add_argument("runs", nargs="+", metavar="RUN")
    two.add_argument("--n", type=int, default=300)
    two.add_argument("--steps", type=int, default=10)
    two.add_argument("--guidance", type=float, default=2.0)
    two.add_argument("--seed", type=int, default=0)
    two.add_argument("--prompt", default="a {label}, spoken by {speaker}",
                     help="for runs that know prompts only; default: %(default)s")  # fmt: skip
    two.set_defaults(do=judge)
    args = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    args.do(args)


if __name__ == "__main__":
    main()
