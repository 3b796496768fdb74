"""Music by prompt, heard by its judge: tempo, drums, instruments, key; with floor and ceiling.

    python benchmarks/music.py [RUN]

RUN is a model of the recipe `loops`; without it the rows of real loops alone are printed.
Printed rows are Markdown; times are of this process.
"""

import argparse
import platform
import time

import numpy as np
import torch

from demist import Pipeline
from demist.codecs import LogMel
from demist.data.music.loop import FACTS
from demist.data.readers import loops as music
from demist.evaluation.judge.loops import HEARD, LoopJudge
from demist.modalities.through_codec import reconstructions


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
    parser.add_argument("run", nargs="?")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--learned", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    loops(args)


if __name__ == "__main__":
    main()
