"""Sounds in figures: what the codec loses, and whether samples say what was asked for.

    python benchmarks/sounds.py codec RECORDINGS       # its error; the filterbank, with librosa
    python benchmarks/sounds.py judge RECORDINGS RUN   # digit and speaker, by two classifiers
    python benchmarks/sounds.py loops [RUN]            # music by prompt, heard by its judge

RECORDINGS is a folder whose metadata.csv has the columns label and speaker, see docs/sound.md, with
a part "test"; the judges are trained on spectrograms of its training recordings and see those
of the decoded waves. Printed rows are Markdown; times are of this process.
"""

import argparse
import dataclasses
import platform
import time

import numpy as np
import torch

from demist import Pipeline, modalities
from demist.codecs import LogMel, mel
from demist.data.music.loop import FACTS
from demist.data.readers import loops as music
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.judge.loops import HEARD, LoopJudge
from demist.modalities.listening import pictures
from demist.modalities.through_codec import reconstructions
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


def judge(args: argparse.Namespace) -> None:
    pipeline = Pipeline.from_run(args.run)
    kind = modalities.of(pipeline)
    options = kind.options_of(pipeline.shape)
    train, test = (
        modalities.load(args.recordings, split=split, **options) for split in ("train", "test")
    )
    seen = pictures(kind, train.x)
    judges = dict[str, Classifier]()
    for name in ("label", "speaker"):
        column = train.columns[name]
        judges[name] = train_classifier(seen, column.values, column.names, seed=0)
    draw = np.random.default_rng(args.seed)
    asked = {n: draw.integers(len(j.card.classes), size=args.n) for n, j in judges.items()}
    words = {n: [judges[n].card.classes[i] for i in rows] for n, rows in asked.items()}
    if args.prompt:
        pairs = zip(words["label"], words["speaker"], strict=True)
        words = {"text": [args.prompt.format(label=a, speaker=b) for a, b in pairs]}
    how = {"steps": args.steps, "guidance": args.guidance, "seed": args.seed}
    begun = time.process_time()
    x = pipeline.sample(args.n, **how, **words)
    took = time.process_time() - begun
    whole = torch.from_numpy(test.x[:])
    through = pipeline.codec.decode(pipeline.codec.encode(whole)).numpy()
    truth = {name: test.columns[name].values for name in judges}
    print("| what | digit | speaker |")
    print("|---|---:|---:|")
    for what, sounds, right in (
        ("real, held out", test.x[:], truth),
        ("real, through the codec", through, truth),
        (f"samples, {args.n}, {took:.0f} CPU-seconds", x, asked),
    ):
        shares = [
            float((judges[name].logits(pictures(kind, sounds)).argmax(1) == right[name]).mean())
            for name in judges
        ]
        print(f"| {what} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")


def loops(args: argparse.Namespace) -> None:
    learned, known = music.draw(args.learned, "train", seed=1)
    expert = LoopJudge.fit(learned.x[:], [loop.facts for loop in known])
    pipeline = None if args.run is None else Pipeline.from_run(args.run)
    codec = LogMel.of(learned.x, learned.x.rate) if pipeline is None else pipeline.codec
    print(f"| loops | of which | {' | '.join(HEARD)} |")
    print("|---|---|" + "---:|" * len(HEARD))
    for held_out in (None, "bindings"):
        real, asked = music.draw(args.n, "test", seed=2, held_out=held_out, whole=True)
        name = "as in training" if held_out is None else f"unseen {held_out}"

        def row(of: str, x: np.ndarray, by: list, name: str = name) -> None:
            found = expert.score(x, by)
            cells = " | ".join(f"{100 * found[what]:.1f}" for what in HEARD)
            print(f"| {name} | {of} | {cells} |", flush=True)

        facts = [loop.facts for loop in asked]
        row("real (ceiling)", real.x[:], facts)
        row("real, through the codec", reconstructions(codec, real.x[:]), facts)
        if pipeline is not None:
            how = {"steps": args.steps, "guidance": args.guidance, "seed": args.seed}
            begun = time.process_time()
            x = pipeline.sample(args.n, text=list(real.texts), **how)
            took = time.process_time() - begun
            row(f"made, guidance {args.guidance:g}, {took:.0f} CPU-seconds", x, facts)
        row("real, of another prompt (floor)", np.roll(real.x[:], 1, 0), facts)
    chances = ", ".join(f"{100 / len(values):.0f} % of {name}" for name, values in FACTS.items())
    print(f"\nIn percent; {args.n} loops a row. By chance: {chances}. The judge is fitted to "
          f"{args.learned:,} other loops.")  # fmt: skip


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
    two.add_argument("run")
    two.add_argument("--n", type=int, default=300)
    two.add_argument("--steps", type=int, default=10)
    two.add_argument("--guidance", type=float, default=2.0)
    two.add_argument("--seed", type=int, default=0)
    two.add_argument("--prompt", help='as "a {label}, spoken by {speaker}"')
    two.set_defaults(do=judge)
    three = commands.add_parser("loops")
    three.add_argument("run", nargs="?")
    three.add_argument("--n", type=int, default=200)
    three.add_argument("--learned", type=int, default=1500)
    three.add_argument("--steps", type=int, default=20)
    three.add_argument("--guidance", type=float, default=3.0)
    three.add_argument("--seed", type=int, default=0)
    three.set_defaults(do=loops)
    args = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    args.do(args)


if __name__ == "__main__":
    main()
