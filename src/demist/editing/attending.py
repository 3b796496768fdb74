"""Which part of a picture attends to which word, step by step, while a sampling is written down."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from demist.core import Model, Noise
from demist.editing.following import Follower
from demist.editing.words import read_words
from demist.errors import UsageError
from demist.model.recorder import Recording
from demist.networks import Mix, controlled, probabilities
from demist.samplers import Solver, TrajectoryPoint, trajectory

LEAST, LARGE = 8, 16
"""Rows or columns that a map has at least where the network has such layers, and at most."""
ROOM = 2**24
"""Shares of attention that are computed at once."""


@dataclass
class _Watcher(Follower):
    """Sums up what pixels attend to; the rows with the prompts are found as for edits by words."""

    sums: dict[int, Tensor] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    strange: bool = False

    def _attend(
        self, mix: Mix, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, words: int | None
    ) -> Tensor:
        """See `demist.networks.Control`."""
        out = mix(q, k, v, bias)
        if self.strange or not words or self._part is None or not len(self._part[0]):
            return out
        if words != self.mapper.shape[1]:
            self.strange = True
            warnings.warn(
                f"places attend to {words} tokens and the prompt has {self.mapper.shape[1]}: other "
                f"conditions have tokens, too, so attention to words is not recorded",
                stacklevel=2,
            )
            return out
        rows, samples = (index.to(q.device) for index in self._part)
        count = (k.shape[2] - words) or q.shape[2]
        found = _shares(q[rows, :, :count], k[rows], None if bias is None else bias[rows], words)
        before = self.sums.get(count, found.new_zeros(self.n, count, words))
        self.sums[count] = before.index_add(0, samples, found)
        self.calls[count] = self.calls.get(count, 0) + 1
        return out


def _shares(q: Tensor, k: Tensor, bias: Tensor | None, words: int) -> Tensor:
    """How much each query attends to the last `words` keys, `(b, n, words)`, mean of heads.

    Some queries at a time: beside thousands of places, all shares at once would fill the memory.
    """
    b, heads, n, _ = q.shape
    block = max(1, ROOM // (b * heads * k.shape[2]))
    found = []
    for begin in range(0, n, block):
        some = slice(begin, begin + block)
        one = bias if bias is None or bias.shape[-2] == 1 else bias[..., some, :]
        maps = probabilities(q[:, :, some], k, one)
        found.append(maps[..., k.shape[2] - words :].mean(1).float())
    return torch.cat(found, 1)


@dataclass
class Words:
    """The words of the prompts, and the maps of the step that was taken last.

    Attributes:
        labels: The words of each sample.
        tokens: Which tokens each word has, `(n, L, W)`.
        prompt: Name of the condition.
        latest: Who watched last.
    """

    labels: list[list[str]]
    tokens: Tensor
    prompt: str
    latest: _Watcher | None = None
    sides: tuple[int, int] = (1, 1)

    def taken(self) -> Tensor | None:
        """How much each place attended to each word since this was asked last, `(n, W, h, w)`.

        Shares of all attention, from 0 to 1: averaged over heads, layers and calls. They add up to
        less than 1, since tokens that are no words take some. None: no place attended to any word,
        or not to those of the prompt alone (a warning says so).
        """
        watcher, n = self.latest, len(self.labels)
        if watcher is None or not watcher.sums:
            return None
        height, width = self.sides
        grids = {count: round((count * height / width) ** 0.5) for count in watcher.sums}
        fine = [count for count, rows in grids.items() if max(rows, count // rows) >= LEAST]
        chosen = fine or [max(grids)]
        rows, columns = grids[min(chosen)], min(chosen) // grids[min(chosen)]
        shrink = -(-max(rows, columns) // LARGE)
        size = (max(1, rows // shrink), max(1, columns // shrink))
        total = torch.zeros(n, self.tokens.shape[2], *size)
        for count in chosen:
            each = watcher.sums[count][:n].cpu() @ self.tokens
            grid = each.transpose(1, 2).unflatten(2, (grids[count], -1))
            total += F.interpolate(grid, size, mode="area")
        total /= sum(watcher.calls[count] for count in chosen)
        watcher.sums, watcher.calls = {}, {}
        return total


def attending(recording: Recording) -> Recording:
    """The same recording, whose trace also holds which part attends to which word.

    The samples stay the same bits. It costs the product of queries and keys once more in each layer
    that attends to words, and room in the trace: `Trace.attention`.

    Raises:
        UsageError: The model reads no prompt, nothing was asked for in words, or it has stages.
    """
    plan = recording.plan
    name = plan.pipeline.conditioner.called("prompt")
    if name is None:
        raise UsageError("this model has no prompt, or several, so no part attends to its words")
    if plan.feeds or plan.then is not None:
        raise UsageError("a model of several stages shows no attention to words; take one of them")
    asked = recording.facts["cond"].get(name)
    prompts = asked if isinstance(asked, list) else [asked] * plan.n
    if not all(isinstance(one, str) and one.strip() for one in prompts):
        raise UsageError("give a prompt to each sample, or there are no words to attend to")
    reader = plan.pipeline.conditioner.conditions[name]
    found = [_words_of(reader.readings(prompt)) for prompt in prompts]
    labels = [read for read, _ in found]
    most, length = max(map(len, labels)), found[0][1].shape[0]
    tokens = torch.zeros(plan.n, length, most)
    for i, (read, table) in enumerate(found):
        tokens[i, :, : len(read)] = table
    sides = (plan.pipeline.state_shape[-2], plan.pipeline.state_shape[-1])
    words = Words(labels, tokens, name, sides=sides)
    inner = plan.walk

    def walk(rows: Sequence[int]) -> Any:
        steps = trajectory if inner is None else inner(rows)

        def go(
            model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, **more: Any
        ) -> Iterator[TrajectoryPoint]:
            told: Mapping[str, Tensor] = plan.told(rows, x.device)
            own = {k: v for k, v in told.items() if k.partition(".")[0] == name}
            nothing, eye = torch.zeros(len(rows), length), torch.eye(length)
            watcher = _Watcher(
                len(rows), (own, own), eye.expand(len(rows), -1, -1), nothing, nothing, nothing
            )
            words.latest, way = watcher, steps(model, x, grid, solver, noise, **more)
            with watcher.hooked(plan.pipeline.denoiser):
                while True:
                    with controlled(watcher._attend):
                        point = next(way, None)
                    if point is None:
                        return
                    yield point

        return go

    return replace(recording, plan=replace(plan, walk=walk), words=words)


def _words_of(readings: Sequence[Any]) -> tuple[list[str], Tensor]:
    """The words of a prompt, and which of its tokens they have, `(L, W)`."""
    labels, parts = list[str](), []
    for reading in readings:
        words, tokens = read_words(reading)
        table = torch.zeros(len(reading[1]), len(words))
        for j, own in enumerate(tokens):
            table[own, j] = 1
        labels += words
        parts.append(table)
    return labels, torch.block_diag(*parts)
