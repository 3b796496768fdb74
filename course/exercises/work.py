"""What the exercises share: networks that are trained once, figures that are found once."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import demist
from demist import Pipeline, runs
from demist.config import TrainConfig, differences, update
from demist.errors import MissingError, UsageError
from demist.evaluation.reference import Reference
from demist.evaluation.report import measure
from demist.io.files import json_sha256, read_json, write_json
from demist.measuring.judging import judge

PLAIN = {"times": "uniform", "device": "cpu", "precision": "bf16"}
"""Options of training that all exercises on digits share."""
DIGITS = "10,000 digits of the package"
CIFAR = ("cifar10", "cifar10.tar.xz", "cifar10-jpeg", "cifar10-jpeg.tar.xz", "cifar-10-batches-py")
"""Names of CIFAR-10 in the folder of data; the first that is there is taken."""

Found = tuple[dict[str, Any], Any, str]
"""Figures, the picture, and what one sees in it."""


class Work:
    """One exercise on its way.

    Args:
        asked: All that decides its result, as JSON values.
        out: The folder of its networks, and of what has been measured so far.
    """

    def __init__(self, asked: dict[str, Any], out: Path):
        self.asked, self.out, self.trained = asked, out, 0.0
        self.file = out / f"measured-{json_sha256(asked)[:12]}.json"
        self._real: Reference | None = None

    @property
    def known(self) -> dict[str, Any]:
        """What has been measured."""
        return read_json(self.file) if self.file.exists() else {}

    def once(self, key: str, find: Callable[[], Any]) -> Any:
        """What `find` gives, found once: kept in a file, so that a second start goes on."""
        known = self.known
        if key not in known:
            begun = time.process_time()
            known[key] = find()
            known["seconds"] = known.get("seconds", 0) + time.process_time() - begun
            write_json(self.file, known)
            print(f"{key}: {known[key]}"[:150], flush=True)
        return known[key]

    def train(self, name: str, **options: Any) -> runs.Run:
        """The trained network of that name: begun now, gone on with, or there already.

        Raises:
            UsageError: It is there, and was trained otherwise.
            KeyboardInterrupt: Training was stopped; what was learned is saved.
        """
        asked = {"path": data_of(self.asked["data"]), "runs": str(self.out), "name": name}
        config = update(TrainConfig(), asked | options)
        run = next((one for one in runs.all_runs(self.out) if one.name == name), None)
        if run is not None and run.begun:
            changed = sorted(differences(run.config(), config).keys() & {*options, "path"})
            if changed:
                raise UsageError(
                    f"{run.path} was begun with another value of {', '.join(changed)}; remove it, or "
                    "name another folder with --out"
                )
        if run is None or not run.begun or run.status()["state"] != "done":
            run = demist.train(config, run, resume=run is not None and run.begun)
        if run.status()["state"] != "done":
            raise KeyboardInterrupt
        self.trained += runs.read_metrics(run.metrics)[-1]["seconds"]
        return run

    def real(self) -> Reference:
        """The real images, and the judge that looks at them; it is trained at the first time."""
        if self._real is None:
            sized = {k: v for k, v in self.asked["train"].items() if k in ("size", "channels")}
            path = data_of(self.asked["data"])
            train, test = (demist.load(path, split=part, **sized) for part in ("train", "test"))
            self._real = Reference.of(
                judge(train, test), train.x, test.x, generated=self.asked["n"],
                train_labels=train.labels, test_labels=test.labels,
            )  # fmt: skip
        return self._real

    def floor(self) -> dict[str, float]:
        """The figures of as many real images that no network has seen."""
        return figures({name: {"value": value} for name, value in self.real().floor.items()})

    def quality(self, run: runs.Run, **sampling: Any) -> dict[str, float]:
        """The figures of samples of a network, asked for each class equally often."""
        real = self.real()
        asked = np.arange(self.asked["n"]) % len(real.judge.card.classes)
        made = draw(run, [real.judge.card.classes[k] for k in asked], seed=1, **sampling)
        return figures(measure(real, made, labels=asked)["metrics"])


def figures(metrics: dict[str, Any]) -> dict[str, float]:
    """FDr (1 is as good as held-out images), share of labels that are right, and variety."""
    names = {"fdr": "fdr", "accuracy": "label_accuracy", "recall": "recall"}
    return {short: round(metrics[name]["value"], 4) for short, name in names.items()}


def draw(run: runs.Run, labels: list[str], **sampling: Any) -> np.ndarray:
    """Images of these classes, in the arithmetic in which the network was trained."""
    half = run.config().optimization.precision == "bf16"
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        how = {"batch_size": 128, "progress": sys.stderr.isatty(), **sampling}
        return np.asarray(Pipeline.from_run(run).sample(len(labels), label=labels, **how))


def named(data: str) -> str:
    """The data that will be used for those asked for, which a record has to say; see `data_of`."""
    if data != "MNIST" or found(data):
        return data
    print(f"DEMIST_DATA names no folder with mnist: the {DIGITS} take its place")
    return DIGITS


def data_of(name: str) -> str:
    """Where MNIST, CIFAR-10 or the digits of the package are: a path, or a name of the library.

    Raises:
        MissingError: They are not there.
    """
    if name == DIGITS:
        return "digits"
    if path := found(name):
        return str(path)
    names = ("mnist",) if name == "MNIST" else CIFAR
    raise MissingError(
        f"{name.partition(' (')[0]} is not there: set DEMIST_DATA to a folder with one of {', '.join(names)}"
    )


def found(name: str) -> Path | None:
    """The first of the names of MNIST or CIFAR-10 that is in the folder of data."""
    folder = os.environ.get("DEMIST_DATA")
    names = ("mnist",) if name == "MNIST" else CIFAR
    there = [Path(folder) / one for one in names if (Path(folder) / one).exists()] if folder else []
    return there[0] if there else None
