"""The famous text-to-image systems in small, on the same data, minutes and judge.

    python benchmarks/systems.py --recipes sd sdxl sd3 imagen glide dalle2 dalle3 pixel \
        --minutes 40 --seeds 0 [--steps-of SEED] [--codec RUN] [--n 256] [--runs RUNS]

Each recipe trains on DigitScenes of 64 pixels, on one thread, for the same minutes of one core in
all its stages together: the clock of the trainings is that of their process, so that other work on
the machine counts little. With `--codec` the systems in latents share that one codec, and a quarter
of their minutes counts as spent on it. What minutes buy depends on the machine; with `--steps-of 0`
each stage takes as many steps as it took with seed 0, so that seeds of several machines belong
together. A run that was interrupted is gone on with, and one whose figures are known is not made
again, so the same command carries on. What is known is in `results/systems.json`, seed by seed; the
table in `results/systems.md` is made of it: a row for each system and number of images, with the
mean and the range over its seeds.

Asked for are prompts of four kinds: as in training, and three that it never had. `all`: the share
of images that show all that their prompt says; `bindings`: each colour on its own digit. FDr and
diversity are those of `demist evaluate`.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from field.report import machine
from field.shares import wilson

import demist
from demist import runs
from demist.commands.train import divided, parse
from demist.config import LimitsConfig
from demist.data.readers import scenes
from demist.drawing import image_grid, save_png
from demist.evaluation.judge.scenes import Judge
from demist.model import open_model
from demist.training.judge import train_judge

RESULTS = Path(__file__).parent / "results"
OF_THE_PROCESS = "import time; time.monotonic = time.process_time; import demist.cli as c; c.main()"
"""A demist command whose clock is the processor time of its process."""
PIXELS, CODEC_SHARE = ("pixel", "imagen", "glide"), 0.25
KINDS = (None, *scenes.HELD_OUT)
SIZE = 64
SYSTEMS = ("pixel", "sd", "sd3", "dalle3", "sdxl", "dalle2", "imagen", "glide")


def trained(
    recipe: str, minutes: float, seed: int, root: Path, codec: str | None, steps: dict[str, int]
) -> Path:
    """The run of a recipe, trained or gone on with; its path.

    Args:
        recipe: Its name.
        minutes: For all its stages.
        seed: Of the run.
        root: Where runs lie.
        codec: That systems in latents share.
        steps: Instead of minutes: name of each stage -> how many.
    """
    name = f"{recipe}-{minutes:g}m-{seed}" + "-steps" * bool(steps)
    found = [run for run in runs.all_runs(root) if run.path.name.endswith(f"-{name}")]
    if found and found[-1].status().get("state") == "done":
        return found[-1].path
    if codec and recipe not in PIXELS:
        minutes *= 1 - CODEC_SHARE
    command = ["train", "scenes", "--size", str(SIZE), "--recipe", recipe, "--threads", "1"]
    command += ["--codec", codec] if codec and recipe not in PIXELS else []
    command += ["--seed", str(seed), "--runs", str(root), "--name", name]
    if steps:
        stages = divided(parse(command[1:]))
        ends = {stage: LimitsConfig(steps=many) for stage, many in steps.items()}
        earlier = tuple(
            replace(stage, config=replace(stage.config, limits=ends[stage.name]))
            for stage in stages.earlier
        )
        last = replace(stages.last, limits=ends["model"])
        stages = replace(stages, earlier=earlier, last=last)
        return demist.train(stages, found[-1] if found else None, resume=bool(found)).path
    command += ["--budget", f"{round(60 * minutes)}s"]
    subprocess.run([sys.executable, "-c", OF_THE_PROCESS, *command], check=True)
    return next(run.path for run in runs.all_runs(root) if run.path.name.endswith(f"-{name}"))


def steps_of(path: Path) -> dict[str, int]:
    """Name of each stage of a run -> its steps; the last one is `model`."""
    places = {place.name: place for place in sorted((path / "stages").glob("*"))} | {"model": path}
    found = {
        name: json.loads((place / "summary.json").read_text())["steps"]
        for name, place in places.items()
    }
    return {name: many for name, many in found.items() if name != "codec"}


def judge() -> Judge:
    """Who reads scenes of this size."""
    data, known = scenes.draw(12_000, "train", seed=1, size=SIZE)
    return train_judge(data.x, known, scenes.COLOURS, scenes.PLACES)


def scored(path: Path, reader: Judge, n: int, guidance: float | None, page: Path) -> dict[str, Any]:
    """What the judge says of a model, and what an image costs."""
    pipeline, row = open_model(str(path)), dict[str, Any]()
    for kind in KINDS:
        real, asked = scenes.draw(n, "test", size=SIZE, seed=1, held_out=kind)
        options = {} if guidance is None else {"guidance": guidance}
        plan = pipeline.plan(n, text=list(real.texts or ()), seed=1, **options)
        begun = time.perf_counter()
        made = plan.sample()
        seconds = time.perf_counter() - begun
        found = reader.score(made, asked)
        row[kind or "seen"] = {tag: round(100 * found[tag], 1) for tag in ("all", "bindings")}
        if kind is None:
            row["seconds"] = round(seconds / n, 3)
            row["evaluations"] = {k: round(v, 1) for k, v in plan.evaluations().items()}
            image = image_grid(made[:24], labels=list(real.texts or ())[:24], columns=6, scale=3)
            save_png(image, page, {"recipe": path.name})
    options = {} if guidance is None else {"guidance": guidance}
    found = demist.evaluate(str(path), n=1000, precision="fp32", **options)
    row["fdr"], row["diversity"] = found.value("fdr"), found.value("vendi")
    summary = json.loads((path / "summary.json").read_text())
    row |= {key: summary[key] for key in ("parameters", "images", "precision")}
    row["steps"] = steps_of(path)
    return row


def share(percents: list[float], n: int) -> str:
    """A share of `n` images: half of its 95 % interval, or over several seeds their range."""
    if len(percents) > 1:
        return spread(percents, 1)
    low, high = wilson(percents[0] / 100, n)
    return f"{percents[0]:.1f} ± {50 * (high - low):.1f}"


def spread(values: list[float], digits: int) -> str:
    """Mean and range."""
    mean = f"{sum(values) / len(values):.{digits}f}"
    many = f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return mean + many * (len(values) > 1)


def table(known: dict[str, Any]) -> str:
    """Markdown of all that is known, a row for each system."""
    head = [
        "system",
        "minutes",
        "images",
        "seeds",
        "precision",
        *(f"all, {kind or 'seen'}" for kind in KINDS),
    ]
    head += ["bindings, seen", "FDr", "diversity", "evaluations", "s per image", "parameters"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    systems: dict[tuple[str, float, int], list[dict[str, Any]]] = {}
    for row in sorted(known.values(), key=lambda row: (SYSTEMS.index(row["recipe"]), row["seed"])):
        systems.setdefault((row["recipe"], row["minutes"], row["images"]), []).append(row)
    for (recipe, minutes, images), rows in systems.items():
        n = rows[0]["n"]
        cells = [recipe, f"{minutes:g}", str(images)]
        cells += [", ".join(str(row[key]) for row in rows) for key in ("seed", "precision")]
        for kind in KINDS:
            cells.append(share([row[kind or "seen"]["all"] for row in rows], n))
        cells.append(share([row["seen"]["bindings"] for row in rows], n))
        cells += [spread([row[key] for row in rows], 2) for key in ("fdr", "diversity")]
        counted = rows[0]["evaluations"].items()  # of each stage by its name, the last has none
        cells += [
            " + ".join(f"{many:g}" + f" {name}" * (len(counted) > 1) for name, many in counted)
        ]
        cells += [spread([row["seconds"] for row in rows], 3)]
        cells += [f"{rows[0]['parameters'] / 1e6:.1f} M"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def put(page: Path, text: str) -> None:
    """Put the table in its page; what else stands there stays."""
    old = page.read_text() if page.exists() else "# Systems in small\n\n"
    before = old[: old.index("| system |")] if "| system |" in old else old
    rest = old[len(before) :].splitlines(keepends=True)
    after = "".join(line for line in rest if not line.startswith("|"))
    page.write_text(before + text + after)


def read(file: Path) -> dict[str, Any]:
    """The figures that are known."""
    return dict(json.loads(file.read_text())) if file.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="*", default=["pixel", "sd"])
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--steps-of", type=int, help="the seed whose steps each stage takes")
    parser.add_argument("--codec", help="a trained codec that the systems in latents share")
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--runs", type=Path, default=Path("runs/systems"))
    a = parser.parse_args()
    file = RESULTS / "systems.json"
    known = read(file)
    reader = None
    for seed in a.seeds:
        for recipe in a.recipes:
            key, steps = f"{recipe}/{a.minutes:g}/{seed}", dict[str, int]()
            if a.steps_of is not None:
                steps = known[f"{recipe}/{a.minutes:g}/{a.steps_of}"]["steps"]
                key += f"/steps-of-{a.steps_of}"
            if key in known:
                continue
            path = trained(recipe, a.minutes, seed, a.runs, a.codec, steps)
            reader = reader or judge()
            page = RESULTS / f"systems-{recipe}.png"
            row = scored(path, reader, a.n, a.guidance, page)
            row |= {"recipe": recipe, "minutes": a.minutes, "seed": seed, "n": a.n}
            row |= {
                "date": datetime.now(UTC).date().isoformat(),
                "machine": machine({}),
            }
            known = read(file) | {key: row}  # another process may have added its own
            file.write_text(json.dumps(known, indent=1) + "\n")
            put(RESULTS / "systems.md", table(known))
            print(table(known), flush=True)


if __name__ == "__main__":
    np.set_printoptions(precision=3)
    main()
