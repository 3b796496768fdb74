"""The examples that stand by for stable targets: a few of each class, others every few steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.codecs import Codec
from demist.conditions import Conditioner, Label
from demist.modalities import Modality
from demist.objectives import Candidates
from demist.training.streams import generator, permutation

RENEWED = 16
"""Steps with the same examples: encoding them takes longer than comparing with them."""
MOST = 2**26
"""Numbers that may stand by: a quarter of a gigabyte."""
USUAL, FEW, LEAST = 1024, 64, 500
"""How many stand by where nobody says it, of how many numbers such data are at most, and how many
there are of each class at least. In more dimensions a noisy sample hardly ever may have been
another one; and of few examples, a network that learns their own flow so well learns them by heart
(`benchmarks/stable_targets.py`)."""


@dataclass(frozen=True)
class Pool:
    """Who stands by: a pure function of the step.

    Attributes:
        x: All data, `(N, ...)`, in memory.
        codec: Turns data into what the model sees.
        sets: Rows of each class, in the order of the classes; last all rows, for samples whose
            class is hidden.
        label: Name of the condition that is the class; None: there is none.
        count: Examples of each set.
        seed: Of the run.
        flip: Mirror half of them.
        mirrored: What to take for a mirrored one, `(N, ...)`; None: it, mirrored.
        device: Where they go.
    """

    x: np.ndarray
    codec: Codec
    sets: tuple[np.ndarray, ...]
    label: str | None
    count: int
    seed: int
    flip: bool = False
    mirrored: np.ndarray | None = None
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a frozen value)
    _orders: dict[int, np.ndarray] = field(default_factory=dict, repr=False)
    _kept: dict[int, tuple[int, np.ndarray, Tensor]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        count: int,
        x: np.ndarray,
        values: Mapping[str, np.ndarray],
        conditioner: Conditioner,
        codec: Codec,
        seed: int,
        **more: Any,
    ) -> "Pool":
        """`count` examples of each class, or as many as there are and find room.

        Args:
            count: How many are asked for.
            x: All data.
            values: Name of a condition -> its values, `(N, ...)`.
            conditioner: Conditions of the model: a class, or none.
            codec: Turns data into what the model sees.
            seed: Of the run.
            more: Further attributes.
        """
        conditions = conditioner.conditions
        sets, label = [np.arange(len(x))], next(iter(conditions), None)
        if label is not None:
            index = conditioner.encode(len(x), {label: values[label]})[label].numpy()
            classes = range(len(conditions[label].choices))
            sets = [*(np.flatnonzero(index == k) for k in classes), *sets]
        room = MOST // (len(sets) * int(np.prod(x.shape[1:])))
        return cls(x, codec, tuple(sets), label, max(1, min(count, room)), seed, **more)

    def __call__(self, step: int, cond: Mapping[str, Tensor], index: np.ndarray) -> Candidates:
        """Those of step `step`.

        Args:
            step: Number of the step.
            cond: Conditions of the batch, some hidden.
            index: Rows of its samples.
        """
        last = len(self.sets) - 1
        of = torch.full((len(index),), last) if self.label is None else cond[self.label]
        sets, place = dict[int, Tensor](), torch.full((len(index),), -1)
        for number in sorted(set(of.tolist())):
            rows, sets[number] = self._standing_by(number, step // RENEWED)
            if not self.flip:  # a mirrored sample is another one
                these = torch.nonzero(of == number)[:, 0]
                place[these] = torch.from_numpy(places(index[these.numpy()], rows))
        return Candidates(sets, of.to(self.device), place.to(self.device))

    def _standing_by(self, number: int, turn: int) -> tuple[np.ndarray, Tensor]:
        """Rows and examples of a set; one turn of each is kept."""
        kept = self._kept.get(number)
        if kept is None or kept[0] != turn:
            rows = self.sets[number]
            order = self._orders.get(number)
            if order is None:
                order = permutation(self.seed, 0, len(rows), f"stable/{number}")
                self._orders[number] = order
            count = min(self.count, len(rows))
            rows = rows[order[(turn * count + np.arange(count)) % len(rows)]]
            x = self.x[rows]
            if self.flip:
                these = generator(self.seed, f"stable/{number}/flip", turn).random(count) < 0.5
                other = self.mirrored
                x[these] = x[these][..., ::-1] if other is None else other[rows[these]]
            examples = self.codec.encode(torch.from_numpy(x).to(self.device))
            self._kept[number] = kept = (turn, rows, examples)
        return kept[1:]


def usual(x: Any, modality: Modality) -> int:
    """How many stand by if nobody says it: for points in few dimensions."""
    if modality.spatial or not isinstance(x, np.ndarray):
        return 0
    return USUAL if int(np.prod(x.shape[1:])) <= FEW else 0


def objection(x: Any, conditioner: Conditioner) -> str | None:
    """Why the data can have no stable targets; None: they can."""
    if not isinstance(x, np.ndarray):
        return "needs data that fit into memory, all of one shape; leave it out"
    conditions = conditioner.conditions
    if len(conditions) > 1 or not all(isinstance(c, Label) for c in conditions.values()):
        return (
            "compares samples that are asked for alike, by their class or by nothing; these are by "
            f"{', '.join(conditions)}; leave it out"
        )
    return None


def places(index: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where each of `index` stands among `rows`, which are distinct; -1: nowhere."""
    order = np.argsort(rows)
    found = order[np.searchsorted(rows, index, sorter=order).clip(max=len(rows) - 1)]
    return np.where(rows[found] == index, found, -1)
