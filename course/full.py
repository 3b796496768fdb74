"""The five exercises of the field in full: what the chapters do in seconds, with more of everything.

    python course/full.py 2                    # exercise 2: DDPM on MNIST
    python course/full.py 2 --budget 5m        # each network trains for five minutes

Exercise 1 is the closed form of the forward process, 2 DDPM on MNIST, 3 three schedules, 4 noise and score (with
the network of 2), 5 guidance on CIFAR-10. 1 and 4 take two minutes of one core, 3 twenty, 2 thirty, 5 some
40. DEMIST_DATA names the folder in which MNIST (`mnist`, its four IDX files) and CIFAR-10 (`cifar10`:
images in `train/CLASS` and `test/CLASS`, or an archive of them) are. Without MNIST the 10,000 digits take its
place that come with the package.

Stop it with Ctrl-C whenever you like: the same command goes on. At the end stand a record, `exercise_2.json`,
and its picture. The records that the chapters show lie in `course/records`.
"""

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from demist import runs
from demist.errors import DemistError, UsageError
from demist.io.files import json_sha256, write_bytes, write_json
from exercises import ddpm, forward, guidance, schedules, score
from exercises.work import Work, named

EXERCISES = {1: forward, 2: ddpm, 3: schedules, 4: score, 5: guidance}


def configuration(exercise: int, budget: str | None = None, n: int | None = None) -> dict[str, Any]:
    """All that decides the result of an exercise, but for the machine.

    Args:
        exercise: 1 to 5.
        budget: Time of training of each network, in place of its steps.
        n: How many samples are measured.

    Raises:
        UsageError: The exercise has no such thing.
    """
    asked: dict[str, Any] = {"exercise": exercise, **EXERCISES[exercise].CONFIGURATION}
    for word, value in (("budget", budget), ("n", n)):
        if value and "n" not in asked:
            raise UsageError(f"exercise {exercise} does not know --{word}; 2, 3 and 5 do")
    if budget:
        rest = {key: value for key, value in asked["train"].items() if key != "steps"}
        asked["train"] = rest | {"budget": budget}
    return asked | ({"n": n} if n else {})


def do(work: Work, command: str, place: Path) -> None:
    """Do an exercise, and write its record and its picture.

    Raises:
        UsageError: There is such a record; it is not replaced.
    """
    file = place / f"exercise_{work.asked['exercise']}.json"
    if file.exists():
        raise UsageError(
            f"{file} is there already; remove it, or name another folder with --record"
        )
    figures, picture, alt = EXERCISES[work.asked["exercise"]].do(work)
    facts = runs.environment()
    record = {
        "exercise": work.asked["exercise"],
        "configuration": work.asked,
        "hash": json_sha256(work.asked),
        "figures": figures,
        "alt": alt,
        "date": runs.now()[:10],
        "machine": f"{facts['processor']}, {facts['threads']} of {facts['cores']} cores",
        "packages": {"demist": facts["demist"], "python": facts["python"], **facts["packages"]},
        "minutes": round((work.trained + work.known.get("seconds", 0)) / 60, 1),
        "command": command,
    }
    place.mkdir(parents=True, exist_ok=True)
    write_bytes(file.with_suffix(".webp"), small(picture))
    write_json(file, record)
    print(f"{file} and {file.with_suffix('.webp').name} are written")


def small(picture: Any) -> bytes:
    """A figure or an image as a file of some ten thousand bytes."""
    out = io.BytesIO()
    if not isinstance(picture, Image.Image):
        drawn = io.BytesIO()
        picture.savefig(drawn, format="png", dpi=110)
        picture = Image.open(drawn).convert("RGB")
    picture.save(out, "webp", quality=85, method=6)
    return out.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Read what was typed, and do it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("exercise", type=int, choices=sorted(EXERCISES))
    parser.add_argument("--budget", help="time of training of each network, as 20m, not its steps")
    parser.add_argument("--n", type=int, help="how many samples are measured")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the networks")
    parser.add_argument("--record", type=Path, help="folder of the record, if it is not that one")
    args = parser.parse_args(argv)
    given = "".join(f" --{k} {v}" for k in ("budget", "n") if (v := getattr(args, k)))
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        asked = configuration(args.exercise, args.budget, args.n)
        if "data" in asked:
            asked["data"] = named(asked["data"])
        work = Work(asked, args.out)
        do(work, f"python course/full.py {args.exercise}{given}", args.record or args.out)
    except DemistError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
