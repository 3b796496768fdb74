"""Mutants of models, runs and data: each is refused in one sentence or changes nothing.

    python tests/faults/hostile.py [MUTANTS] [SEED]

Files of a saved model, of a model in latents, of a run with its checkpoints and of folders and
archives of data are damaged: bits flipped, bytes cut or put in, values of another type at any place
of a JSON file, with true sums, without sums or with those from before, pickles, and pipes, devices,
links and folders in place of files. Then the public entry points are called, each within seconds.
An internal error, a hang, and other samples where the sums should have told are wrong. Prints
counts as JSON, and exits 1 if anything is wrong.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch
from mutants import damage
from subjects import (
    LINE,
    classifier_of_noise,
    make_data,
    make_runs,
    model_in_latents,
    model_of_images,
    model_of_others,
    model_of_points,
)

from demist import runs
from demist.cli import main as demist
from demist.commands.ls import describe
from demist.data import load
from demist.errors import DemistError
from demist.model import NoisyClassifier, Pipeline

SECONDS = 10
"""So long may one case take."""


class Hang(BaseException):
    """Not an Exception: nothing may catch it."""


@contextlib.contextmanager
def limited():
    def late(*_):
        raise Hang

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def command(*line):
    """Exit code and what was printed; RuntimeError for an internal error."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = demist(list(line))
    if "internal error" in said.getvalue() or "Traceback" in said.getvalue():
        raise RuntimeError(said.getvalue()[-300:])
    return code, said.getvalue()


def of_model(place, rng, expected):
    """Whether the samples are as before; None: refused."""
    try:
        found = Pipeline.load(place).sample(2, seed=1)
    except DemistError:
        return None
    return np.array_equal(found, expected)


def of_others(place, rng, expected):
    """Other makers' files name no sums: any change may be believed."""
    same = of_model(place, rng, expected)
    return same or None


def of_classifier(place, rng, expected):
    try:
        return torch.equal(answer(place), expected)
    except DemistError:
        return None


def answer(place):
    x = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)
    return NoisyClassifier.load(place / "x.safetensors")(x, torch.tensor(0.4))


def of_run(place, rng, expected):
    run = runs.Run(place / "0001-eight")
    assert describe(runs.Run(place / "0002-eight"))[2] == "done"
    assert len(list(map(describe, runs.all_runs(place)))) == 2
    same = None
    with contextlib.suppress(DemistError):
        found = Pipeline.from_run(run)
        same = np.array_equal(found.sample(2, seed=1, steps=2), expected[found.facts["step"]])
    kind = rng.random()
    if kind < 0.05:
        command("train", "--resume", str(run.path), "--steps", "4")
    elif kind < 0.08:
        command(*LINE.split(), "--steps", "4", "--seed", "0", "--runs", str(place))
    elif kind < 0.14:
        command("sample", str(run.path), "--n", "1", "--steps", "2", "--out", str(place / "x.png"))
    elif kind < 0.2:
        code, said = command("ls", "--runs", str(place))
        assert not code, said
        assert "0002-eight" in said
    return same


def of_data(place, rng, expected):
    try:
        data = load(str(place))
        assert len(data.x[:2]) == min(2, len(data))
    except DemistError:
        return None
    return True


def subjects(place):
    """Name -> folder, what is called, what is expected, share of the cases."""
    for make in (model_of_images, model_in_latents, model_of_points):
        name = make.__name__
        make(place / name)
        yield name, place / name, of_model, Pipeline.load(place / name).sample(2, seed=1), 2
    model_of_others(place / "others")
    before = Pipeline.load(place / "others").sample(2, seed=1)
    yield "others", place / "others", of_others, before, 1
    classifier_of_noise(place / "classifier")
    yield "classifier", place / "classifier", of_classifier, answer(place / "classifier"), 0.5
    make_runs(place / "runs")
    run = runs.Run(place / "runs" / "0001-eight")
    steps = runs.checkpoint.steps(run.checkpoints)
    known = {s: Pipeline.from_run(run, s).sample(2, seed=1, steps=2) for s in steps}
    yield "run", place / "runs", of_run, known, 5
    make_data(place / "data")
    for folder in sorted((place / "data").iterdir()):
        yield folder.name, folder, of_data, None, 0.5


def files_of(place):
    own = place / "0001-eight"
    return [p for p in sorted((own if own.exists() else place).rglob("*")) if p.is_file()]


def main(count=1600, seed=0):
    rng, begun = np.random.default_rng(seed), time.monotonic()
    facts = dict.fromkeys(("refused", "harmless", "believed", "other", "internal", "hangs"), 0)
    with tempfile.TemporaryDirectory() as place:
        os.environ["DEMIST_CACHE"] = str(Path(place, "cache"))
        known = list(subjects(Path(place)))
        shares = np.array([share for *_, share in known])
        for case in range(count):
            number = rng.choice(len(known), p=shares / shares.sum())
            name, folder, call, expected, _ = known[int(number)]
            here = Path(place, "here")
            shutil.copytree(folder, here)
            what, believed = damage(files_of(here), rng)
            try:
                with limited():
                    same = call(here, rng, expected)
                kind = "refused" if same is None else "harmless" if same else "believed"
                facts["other" if kind == "believed" and not believed else kind] += 1
                if kind == "believed" and not believed:
                    print(f"case {case}, {name}: {what}: other samples", file=sys.stderr)
            except Hang:
                facts["hangs"] += 1
                print(f"case {case}, {name}: {what}: hangs", file=sys.stderr)
                traceback.print_exc()
            except Exception as error:
                facts["internal"] += 1
                kind = type(error).__name__
                print(f"case {case}, {name}: {what}: {kind}: {error}", file=sys.stderr)
                if "-v" in sys.argv:
                    traceback.print_exc()
            shutil.rmtree(here)
        facts["trapped"] = int(Path("trapped").exists())
    return facts | {"count": count, "seconds": round(time.monotonic() - begun, 1)}


if __name__ == "__main__":
    result = main(*(int(word) for word in sys.argv[1:] if word != "-v"))
    print(json.dumps(result))
    sys.exit(any(result[key] for key in ("other", "internal", "hangs", "trapped")))
