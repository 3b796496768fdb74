"""Joints of sounds that go on or are mended: how much louder or softer it is on their other side.

    python benchmarks/sounds_joints.py RECORDINGS RUN

RECORDINGS is as for `benchmarks/sounds.py`, RUN best a model trained with `--given`. Each held-out
recording is cut in its middle and continued, and has a gap made there and mended. What is
compared is the level of one hop of samples before a joint and after it, beside real
recordings: all neighbouring frames, the same places, and the same places after their second half
went through the codec. Printed rows are Markdown; times are of this process.
"""

import argparse
import platform
import time

import numpy as np
import torch

from demist import Pipeline, modalities
from demist.codecs import hop_of
from demist.editing import continued, repaired
from demist.editing.lasting import given_by
from demist.editing.one_window import FADE, joined

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
    rows = np.random.default_rng(0).permutation(len(test))[args.skip :][: args.n]
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
    how = {"steps": args.steps, "guidance": args.guidance, "n": len(args.seeds)}
    begun = time.process_time()
    for row, (x, words) in enumerate(zip(real, asked, strict=True)):
        cut = len(x) // 2
        how["seed"] = tuple(1000 * seed + row for seed in args.seeds)  # noise of its own for each
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
    for what in ("continued", "repaired"):
        every = [jump for name in found if name.startswith(what) for jump in found[name]]
        found[f"{what} ({told}), all seeds"] = every
    print(f"{len(real)} recordings, {args.steps} steps, {took:.0f} CPU-seconds; level in dB of")
    print(f"{hop} samples before and after, where either is above -{QUIET:.0f} dB\n")
    print("| what | joints | median | 95 % | 99 % |")
    print("|---|---:|---:|---:|---:|")
    for what, values in found.items():
        marks = np.percentile(values, [50, 95, 99]) if values else [np.nan] * 3
        print(f"| {what} | {len(values)} | {' | '.join(f'{mark:.1f}' for mark in marks)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings")
    parser.add_argument("run")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--skip", type=int, default=0, help="so many recordings, to measure others")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--gap", type=float, default=0.1, help="seconds")
    args = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    joints(args)


if __name__ == "__main__":
    main()
