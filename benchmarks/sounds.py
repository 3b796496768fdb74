"""Sounds in figures: what the codec loses, and whether samples say what was asked for.

    python benchmarks/sounds.py codec RECORDINGS       # its error; the filterbank, with librosa
    python benchmarks/sounds.py judge RECORDINGS RUN ...   # digit and speaker, by two classifiers
    python benchmarks/sounds.py joints RECORDINGS RUN  # how much louder or softer it is at joints

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
from demist.codecs import LogMel, hop_of, mel
from demist.editing import continued, repaired
from demist.editing.lasting import FADE, given_by, joined
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


QUIET = 60.0
"""Decibels below full scale: softer frames are no joint that could be heard."""


def levels(x: np.ndarray, hop: int, at: int = 0) -> np.ndarray:
    """Decibels of frames of `hop` samples; one begins at the sample `at`."""
    x = x[at % hop :]
    frames = x[: len(x) // hop * hop].reshape(-1, hop).astype(np.float64)
    return 10 * np.log10(np.square(frames).mean(1) + 1e-12)


def jumps(x: np.ndarray, hop: int) -> np.ndarray:
    """Differences of level between neighbouring frames, of which one at least is heard."""
    loud = levels(x, hop).clip(-QUIET)
    found = np.abs(np.diff(loud))
    return found[np.maximum(loud[1:], loud[:-1]) > -QUIET]


def jump_at(x: np.ndarray, at: int, hop: int) -> list[float]:
    """The same where a frame ends at one sample; empty: nothing is heard there."""
    before, after = (
        levels(part, hop).clip(-QUIET) for part in (x[at - hop : at], x[at : at + hop])
    )
    return [abs(float(after[0] - before[0]))] if max(before[0], after[0]) > -QUIET else []


def joints(args: argparse.Namespace) -> None:
    pipeline = Pipeline.from_run(args.run)
    kind = modalities.of(pipeline)
    hop, options = hop_of(kind.rate), kind.options_of(pipeline.shape)
    test = modalities.load(args.recordings, split="test", **options)
    rows = np.random.default_rng(0).permutation(len(test))[: args.n]
    # Up to where each is heard; joints lie in the middle of that, gaps around it.
    real, asked = [], []
    classes = {
        name: test.columns[name]
        for name in pipeline.conditioner.conditions
        if name in test.columns and test.columns[name].kind == "class"
    }
    for row, x in zip(rows, test.x[rows][:, 0], strict=True):
        heard = np.flatnonzero(levels(x, hop) > -QUIET)
        x = x[: (heard[-1] + 1) * hop] if len(heard) else x[:0]
        if len(x) >= 12 * hop:
            real.append(x)
            asked.append({name: c.names[c.values[row]] for name, c in classes.items()})
    found: dict[str, list[float]] = {
        "real, all neighbouring frames": [j for x in real for j in jumps(x, hop)],
        "real, where the joints are": [j for x in real for j in jump_at(x, len(x) // 2, hop)],
    }
    through = found.setdefault("real, its second half through the codec", [])
    for x in real:
        cut, whole = len(x) // 2, np.zeros((1, 1, pipeline.shape[1]), np.float32)
        whole[0, 0, : len(x)] = x
        wave, keep = torch.from_numpy(whole), torch.arange(whole.shape[-1]) < cut
        kept, z = torch.where(keep, wave, 0.0), pipeline.codec.encode(wave)
        y = joined(pipeline.codec.decode_around(z, kept, keep), kept, keep, round(FADE * kind.rate))
        through += jump_at(y[0, 0].numpy(), cut, hop)
    told = "told" if given_by(pipeline) else "put back"
    how = {"steps": args.steps, "n": len(args.seeds), "seed": tuple(args.seeds)}
    begun = time.process_time()
    for x, words in zip(real, asked, strict=True):
        cut = len(x) // 2
        on = continued(pipeline, x[:cut], options["seconds"], **how, **words)
        assert all(np.array_equal(y[0, :cut], x[:cut]) for y in on)
        first = max(cut - round(args.gap / 2 * kind.rate), 3 * hop)
        last = min(cut + round(args.gap / 2 * kind.rate), len(x) - 3 * hop)
        ends = first / kind.rate, last / kind.rate
        mended = repaired(pipeline, x, *ends, **how, **words)
        for seed, y, z in zip(args.seeds, on[:, 0], mended[:, 0], strict=True):
            of_seed = (f"{what} ({told}), seed {seed}" for what in ("continued", "repaired"))
            for what, wave, places in zip(of_seed, (y, z), ([cut], [first, last]), strict=True):
                at = (jump_at(wave, place, hop) for place in places)
                found.setdefault(what, []).extend(j for each in at for j in each)
    took = time.process_time() - begun
    print(f"{len(real)} recordings, {args.steps} steps, {took:.0f} CPU-seconds; level in dB of")
    print(f"{hop} samples before and after, where either is above -{QUIET:.0f} dB\n")
    print("| what | joints | median | 95 % | 99 % |")
    print("|---|---:|---:|---:|---:|")
    for what, values in found.items():
        marks = np.percentile(values, [50, 95, 99]) if values else [np.nan] * 3
        print(f"| {what} | {len(values)} | {' | '.join(f'{mark:.1f}' for mark in marks)} |")


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
    three = commands.add_parser("joints")
    three.add_argument("recordings")
    three.add_argument("run")
    three.add_argument("--n", type=int, default=100)
    three.add_argument("--steps", type=int, default=10)
    three.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    three.add_argument("--gap", type=float, default=0.1, help="seconds")
    three.set_defaults(do=joints)
    args = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    args.do(args)


if __name__ == "__main__":
    main()
