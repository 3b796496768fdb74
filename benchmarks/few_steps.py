"""A student of one or two evaluations beside ten evaluations of its teacher, on MNIST.

    python benchmarks/few_steps.py TEACHER STUDENT [--data MNIST] [--n 10000] [--out FILE.md]

Unguided samples, as many of every class; FDr and label accuracy as in `time_to_quality.py`. The
teacher is sampled by each of the samplers that are tried there; the ratios are to the best of them.
"""

import argparse
from pathlib import Path

from quality.ours import SAMPLERS, Contender
from time_to_quality import Judgement, balanced, data_folder

from demist.model import open_model


def main() -> None:
    """Sample, judge and tabulate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("teacher")
    parser.add_argument("student")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--samplers", nargs="*", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    judgement, ours = Judgement(data_folder(given.data)), Contender("digits")
    labels = balanced(given.n, len(judgement.train.classes))
    rows: list[tuple[str, int, float, float]] = []

    def measure(name: str, model: object, sampler: str, steps: int) -> None:
        images = ours.sample(model, sampler, labels, steps, seed=0)
        fdr, accuracy = judgement(images, labels)
        rows.append((name, steps, fdr, accuracy))
        print(f"{name}, {steps} evaluations: FDr {fdr:.2f}, accuracy {accuracy:.4f}", flush=True)

    teacher, student = (open_model(model) for model in (given.teacher, given.student))
    for sampler in given.samplers:
        measure(f"teacher, {sampler}", teacher, sampler, 10)
    best = min(fdr for _, _, fdr, _ in rows)
    measure("student", student, "as saved", student.defaults.steps)
    if student.defaults.steps > 1:
        measure("student", student, "once", 1)
    lines = ["| sampled by | evaluations | FDr | to the best of ten | label accuracy |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, steps, fdr, accuracy in rows:
        lines.append(f"| {name} | {steps} | {fdr:.2f} | {fdr / best:.2f} | {accuracy:.3f} |")
    text = f"{given.n:,} unguided samples of each.\n\n" + "\n".join(lines) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
