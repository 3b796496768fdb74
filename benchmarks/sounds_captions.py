"""Sounds asked by captions, kind by kind: are they heard as what was asked for?

    python benchmarks/sounds_captions.py union DIGITS ESC10 STROKES OUT   # links and metadata.csv
    python benchmarks/sounds_captions.py judge RECORDINGS RUN    # per kind, with floor and ceiling
    python benchmarks/sounds_captions.py folds RECORDINGS        # the judge on each fold of ESC-10

`union` takes spoken digits (`7_theo_32.wav`; takes 0 and 1 to test, of `--takes` in all), ESC-10
with its index.csv (fold 5 to test) and one-shots whose names say what they are (of the kinds with
five and more, each fifth to test), and writes a folder of the three with captions.
RECORDINGS is a folder whose metadata.csv has, for `judge`, the columns file_name, text (the
caption), kind and split; for `folds`, file_name, label and fold ("fold 1" to "fold 5"). One small
classifier is trained on spectrograms of the real recordings of the training part and sees those of
the decoded waves. Longer recordings are cut at places drawn anew, as training cuts them. Printed
rows are Markdown, times are of this process.
"""

import argparse
import csv
import platform
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from demist import Pipeline, modalities
from demist.data import Dataset
from demist.evaluation.judge.classifier import Classifier
from demist.modalities.listening import pictures
from demist.training.judge import train_classifier

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
HEARD = {
    "dog bark": "a dog barks",
    "rain": "rain falls",
    "sea waves": "waves of the sea",
    "baby cry": "a baby cries",
    "clock tick": "a clock ticks",
    "person sneeze": "a person sneezes",
    "helicopter": "a helicopter flies",
    "chainsaw": "a chainsaw runs",
    "rooster": "a rooster crows",
    "fire crackling": "a fire crackles",
}
"""Captions of the classes of ESC-10."""
STROKES = {
    "bass drum": ("bd", "kick", "bass_hard", "bass_soft"),
    "snare drum": ("sn", "snare"),
    "cymbal": ("cymbal",),
    "hat": ("hat",),
    "tabla": ("tabla",),
    "tom": ("tom",),
    "bass": ("bass",),
    "other percussion": ("drum", "elec", "perc"),
}
"""Kinds of one-shots, and what is in their names; the first that fits counts."""
CUTS = 4
"""How often each recording is cut for the judge's training."""


def union(args: argparse.Namespace) -> None:
    rows = []
    for path in sorted(Path(args.digits).glob("*.wav")):
        digit, speaker, take = path.stem.split("_")
        if int(take) < args.takes:
            word, part = WORDS[int(digit)], "test" if int(take) < 2 else "train"
            rows.append((path, f"the number {word}, spoken by {speaker}", f"number {word}", part))
    root = Path(args.esc10)
    with open(root / "index.csv", newline="") as file:
        for row in csv.DictReader(file):
            part = "test" if row["fold"] == "5" else "train"
            rows.append((root / row["file_name"], HEARD[row["label"]], row["label"], part))
    of_kind = defaultdict(list)
    for path in sorted(Path(args.strokes).glob("*.flac")):
        for kind, names in STROKES.items():
            if any(f"_{name}" in f"_{path.stem}" for name in names):
                of_kind[kind].append(path)
                break
    for kind, paths in of_kind.items():
        for i, path in enumerate(paths):
            known = ["hard", "soft", "open", "closed", "pedal", "splash", "hi", "lo", "mid"]
            how = [word for word in path.stem.split("_") if word in known]
            part = "test" if len(paths) >= 5 and i % 5 == 2 else "train"
            rows.append((path, ", ".join([kind, *how]), kind, part))
    out = Path(args.out)
    out.mkdir(parents=True)
    with open(out / "metadata.csv", "w", newline="") as file:
        write = csv.writer(file).writerow
        write(["file_name", "text", "kind", "split"])
        for path, text, kind, part in rows:
            (out / path.name).symlink_to(path.resolve())
            write([path.name, text, kind, part])
    print(f"{len(rows)} recordings of {len({row[2] for row in rows})} kinds in {out}")


def cut(data: Dataset, rows: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Sounds `(n, 1, L)` of these rows; of longer ones, parts that lie anywhere."""
    return data.x.at(rows, draw.random(len(rows)))


def shares(judge: Classifier, images: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Whether each is heard as what it should be."""
    return judge.logits(images).argmax(1) == right


def judge(args: argparse.Namespace) -> None:
    pipeline = Pipeline.from_run(args.run)
    kind = modalities.of(pipeline)
    how = {"rate": kind.rate, "seconds": pipeline.shape[1] / kind.rate}
    train, test = (
        modalities.load(args.recordings, split=part, **how) for part in ("train", "test")
    )
    draw = np.random.default_rng(args.seed)
    column, held = train.columns["kind"], test.columns["kind"]
    learn = np.tile(np.arange(len(train)), CUTS)
    ear = train_classifier(
        pictures(kind, cut(train, learn, draw)),
        column.values[learn],
        column.names,
        seed=args.seed,
    )
    real = cut(test, np.arange(len(test)), draw)
    places = [column.names.index(name) for name in held.names]
    truth = np.array(places)[held.values]
    through = pipeline.codec.decode(pipeline.codec.encode(torch.from_numpy(real))).numpy()
    heard = {
        "real": shares(ear, pictures(kind, real), truth),
        "codec": shares(ear, pictures(kind, through), truth),
    }
    words = [str(text) for text in train.columns["text"].values]
    of_kind = [
        [words[i] for i in np.flatnonzero(column.values == k)] for k in range(len(column.names))
    ]
    asked = np.repeat(np.arange(len(of_kind)), args.n)
    captions = [of_kind[k][draw.integers(len(of_kind[k]))] for k in asked]
    begun = time.process_time()
    made = pipeline.sample(
        len(captions), steps=args.steps, guidance=args.guidance, seed=args.seed, text=captions
    )
    took = time.process_time() - begun
    seen = ear.logits(pictures(kind, made)).argmax(1)
    good = seen == asked
    other = np.array(
        [np.mean(asked[seen == k] != k) if (seen == k).any() else 0 for k in range(len(of_kind))]
    )
    print("| kind | recordings to learn from | real, held out | through the codec | made |")
    print("|---|---:|---:|---:|---:|")
    for k, name in enumerate(column.names):
        of = truth == k
        cells = [f"{100 * heard[what][of].mean():.0f} %" if of.any() else "–" for what in heard]
        count = int((column.values == k).sum())
        print(f"| {name} | {count} | {' | '.join(cells)} | {100 * good[asked == k].mean():.0f} % |")
    groups = {"numbers": [n.startswith("number ") for n in column.names]}
    groups["other kinds"] = [not number for number in groups["numbers"]]
    groups["all kinds alike"] = [True] * len(column.names)
    for name, member in groups.items():
        each = [k for k, belongs in enumerate(member) if belongs]
        means = [
            np.mean([heard[what][truth == k].mean() for k in each if (truth == k).any()])
            for what in heard
        ]
        means.append(np.mean([good[asked == k].mean() for k in each]))
        cells = " | ".join(f"**{100 * mean:.1f} %**" for mean in means)
        print(f"| {name} ({len(each)}) | | {cells} |")
    shuffled = np.mean(seen == draw.permutation(asked))
    print(
        f"\nfloor: {100 * shuffled:.1f} % as another caption asks, "
        f"{100 / len(of_kind):.1f} % by chance"
    )
    print(
        f"{args.n} of each kind, {args.steps} steps, guidance {args.guidance:g}, "
        f"{took:.0f} CPU-seconds"
    )
    often = sorted(zip(other, column.names, strict=True), reverse=True)[:3]
    print("heard though not asked for: " + ", ".join(f"{n} {100 * s:.0f} %" for s, n in often))


def folds(args: argparse.Namespace) -> None:
    data = modalities.load(args.recordings, rate=args.rate, seconds=args.seconds)
    folds_of, labels = data.columns["fold"], data.columns["label"].values
    kind, draw = modalities.of(data), np.random.default_rng(args.seed)
    found = []
    print("| held out | recordings | right |")
    print("|---|---:|---:|")
    for fold, name in enumerate(folds_of.names):
        learn, test = (
            np.tile(np.flatnonzero(part), CUTS)
            for part in (folds_of.values != fold, folds_of.values == fold)
        )
        ear = train_classifier(
            pictures(kind, cut(data, learn, draw)), labels[learn], data.classes, seed=args.seed
        )
        # A recording is heard at several places: the mean of what the judge says of them.
        logits = ear.logits(pictures(kind, cut(data, test, draw)))
        votes = logits.reshape(CUTS, -1, len(data.classes)).mean(0).argmax(1)
        found.append(float((votes == labels[test[: len(votes)]]).mean()))
        print(f"| {name} | {len(votes)} | {100 * found[-1]:.1f} % |", flush=True)
    print(f"| mean | {len(data)} | {100 * np.mean(found):.1f} ± {100 * np.std(found):.1f} % |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("judge")
    one.add_argument("recordings")
    one.add_argument("run")
    one.add_argument("--n", type=int, default=20, help="of each kind")
    one.add_argument("--steps", type=int, default=10)
    one.add_argument("--guidance", type=float, default=2.0)
    one.set_defaults(do=judge)
    three = commands.add_parser("union")
    for name in ("digits", "esc10", "strokes", "out"):
        three.add_argument(name)
    three.add_argument("--takes", type=int, default=8, help="of each digit by each speaker")
    three.set_defaults(do=union)
    two = commands.add_parser("folds")
    two.add_argument("recordings")
    two.add_argument("--rate", type=int, default=8000)
    two.add_argument("--seconds", type=float, default=2.0)
    two.set_defaults(do=folds)
    for each in (one, two):
        each.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    args.do(args)


if __name__ == "__main__":
    main()
