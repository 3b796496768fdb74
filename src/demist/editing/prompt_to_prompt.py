"""Prompt-to-prompt: a new prompt on the attention of an old one, so that things stay in place."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.core import Model, Noise, State
from demist.editing.following import Follower, Now
from demist.editing.recolouring import recoloured
from demist.editing.words import Correspondence, correspondence
from demist.errors import UsageError
from demist.model import Plan
from demist.samplers import Solver, TrajectoryPoint, trajectory


@dataclass(frozen=True)
class Following:
    """How much of the source a rewritten image takes over: shares of the steps, from the first on.

    Attributes:
        words: What each word attracts; words in the place of others take over theirs.
        pixels: What the pixels attend to among themselves, which holds shapes.
        features: What the coarse residual blocks of a U-Net give (plug-and-play).
        blend: The image changes only where the changed words are: from this share of the largest
            attention on. 0: everywhere; then more of the rest changes, too.
        looks: From this share on, a change that is one function of the source (another colour, not
            another shape; see `recoloured`) becomes that function in the end, so that edges stay
            where they are. 1: never.
    """

    words: float = 0.8
    pixels: float = 0.4
    features: float = 0.0
    blend: float = 0.0
    looks: float = 1.0

    def __post_init__(self) -> None:
        for name in ("words", "pixels", "features", "blend", "looks"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UsageError(f"{name} = {value}: a share is a number from 0 to 1")

    def now(self, index: int, steps: int) -> Now:
        """What is taken over in a step."""
        shares = (self.words, self.pixels, self.features)
        return Now(*(index < share * steps for share in shares))


SWAP = Following(words=0.4, pixels=0.2, blend=0.3, looks=0.5)
"""For words changed for others: half of the paper's shares, so that shapes can change; elsewhere
all stays; and where only colours change, edges stay, too."""

RESTYLE = Following(words=0.0, pixels=0.3, features=0.3)
"""Plug-and-play: the shapes of the source under a prompt that has nothing to do with its own.

The paper has 0.5 and 0.8; with these a small model keeps the colours, too (`benchmarks/edits.py`).
"""


@dataclass(frozen=True)
class Both:
    """The memory of a rewritten trajectory.

    Attributes:
        source: The source's last point.
        memory: The solver's, of the rewritten one.
        places: Where it may differ from the source, `(B, 1, h, w)`; None: everywhere.
        seen: What the places are made from.
        looks: Whether the change was one of looks, `(B,)`; None before the end, and where nobody
            asked.
    """

    source: TrajectoryPoint
    memory: Any
    places: Tensor | None
    seen: dict[tuple[bool, int], Tensor]
    looks: Tensor | None = None


@dataclass(frozen=True)
class Rewriting:
    """A walk of two plans in step: a source, and its double with another prompt.

    Attributes:
        source: The plan whose attention is followed.
        target: The plan that follows, as it was.
        following: How far.
        prompt: Name of the condition that differs.
        words: How the prompts correspond, of each sample.
    """

    source: Plan
    target: Plan
    following: Following
    prompt: str
    words: Sequence[Correspondence]

    def __call__(self, rows: Sequence[int]) -> Any:
        """The walk of some rows; see `Plan.walk`."""
        return partial(self._walk, list(rows))

    def _walk(
        self,
        rows: list[int],
        model: Model,
        x: Tensor,
        grid: Tensor,
        solver: Solver,
        noise: Noise,
        *,
        constrain: Any = None,
        index: int = 0,
        memory: Any = None,
        **cond: Any,
    ) -> Iterator[TrajectoryPoint]:
        told = self.source.told(rows, x.device)
        follower = self._follower(rows, told, cond)
        before = TrajectoryPoint(index, grid[index], x, None)
        places: Tensor | None = None
        looks: Tensor | None = None
        if isinstance(memory, Both):
            before, follower.seen = memory.source, dict(memory.seen)
        latest = before.x

        def kept(state: State, s: Tensor) -> State:
            nonlocal places, looks
            made = state if constrain is None else constrain(state, s)
            if self.following.blend:
                sides = (x.shape[-2], x.shape[-1])
                places = follower.places(sides, self.following.blend).to(x)
                made = latest + places * (made - latest)
            if self.following.looks < 1 and s == 0:
                fitted, explained = recoloured(latest, made - latest, places)
                looks = explained >= self.following.looks
                there = looks[:, None, None, None] * (1 if places is None else places)
                made = torch.where(there > 0, latest + fitted, made)
            return made

        source = _walk_of(self.source, rows)(
            self.source.model, before.x, grid, solver, copy.deepcopy(noise), index=index,
            memory=before.memory, **told,
        )  # fmt: skip
        target = _walk_of(self.target, rows)(
            model, x, grid, solver, noise, constrain=kept, index=index,
            memory=memory.memory if isinstance(memory, Both) else None, **cond,
        )  # fmt: skip
        with follower.hooked(self.source.pipeline.denoiser):
            for i in range(index, len(grid) - 1):
                now = self.following.now(i, self.source.steps)
                with follower.source(now):
                    before = next(source)
                latest = before.x
                with follower.target(now):
                    point = next(target)
                both = Both(before, point.memory, places, dict(follower.seen), looks)
                yield replace(point, memory=both)

    def _follower(
        self, rows: list[int], told: Mapping[str, Tensor], cond: Mapping[str, Tensor]
    ) -> Follower:
        pairs = [self.words[row if len(self.words) > 1 else 0] for row in rows]
        own = tuple(
            {k: v for k, v in given.items() if k.partition(".")[0] == self.prompt}
            for given in (told, cond)
        )
        return Follower(
            len(rows),
            (own[0], own[1]),
            torch.stack([pair.mapper for pair in pairs]),
            torch.stack([pair.weights for pair in pairs]),
            torch.stack([pair.gone for pair in pairs]),
            torch.stack([pair.come for pair in pairs]),
            watched=self.following.blend > 0,
        )


def rewritten(
    source: Plan,
    target: Plan,
    prompts: Sequence[tuple[str, str]],
    following: Following | None = None,
    weights: Mapping[str, float] | None = None,
) -> Plan:
    """The plan `target`, whose images stay where those of `source` are.

    Both are sampled in step, from the same noise. While the source asks which word is where, its
    queries and keys are kept, and the target uses them with the values of its own words: a word
    changed for another appears where that was, added words find their own place, and a weight
    multiplies the value of a word. With a share of steps of 0 nothing is followed, and the result
    is that of `target`; with equal prompts it is that of `source`; both bit for bit.

    It holds the layout and not the pixels: what convolutions make of the new words may move edges,
    which `looks` of `Following` puts back where only colours have changed.
    Two evaluations per step (four with guidance), and memory for queries and keys of one step.

    Works in every network in which pixels attend to words: U-Nets, and transformers whose words and
    pixels attend to one another, where the columns of both kinds are taken over by themselves.

    References:
        Hertz et al. 2022, "Prompt-to-Prompt Image Editing with Cross Attention Control",
        arXiv:2208.01626, section 3.2 and algorithm 1; Tumanyan et al. 2022, "Plug-and-Play
        Diffusion Features", arXiv:2211.12572, section 4.2 (features and self-attention).

    Args:
        source: The plan of the images as they are.
        target: The plan of the same model with other prompts: same samples, grid, solver and seed.
        prompts: The two prompts of each sample, or of all.
        following: How far; None: `Following()`.
        weights: Words of the new prompts, and how much more they count.

    Raises:
        UsageError: The plans do not belong together, the model reads no prompt, or has stages.
    """
    following = Following() if following is None else following
    name = source.pipeline.conditioner.called("prompt")
    if name is None:
        raise UsageError("this model has no prompt, or several, so there are no words to edit")
    if source.feeds or source.then is not None:
        raise UsageError("a model of several stages is edited stage by stage; take one of them")
    if target.n != source.n or not torch.equal(target.grid, source.grid):
        raise UsageError(
            "an edit has the samples, the solver, the steps and the start of its source"
        )
    if source.sampling.noise == "torch" and source.solver.stochastic:
        raise UsageError(
            "noise = 'torch' gives two trajectories other draws; use noise = 'seeded', or a "
            "deterministic solver"
        )
    if len(prompts) not in (1, source.n):
        raise UsageError(
            f"{len(prompts)} pairs of prompts for {source.n} samples; give one for each"
        )
    readers = [plan.pipeline.conditioner.conditions[name] for plan in (source, target)]
    pairs = [
        correspondence(readers[0].readings(old), readers[1].readings(new), weights)
        for old, new in prompts
    ]
    walk = Rewriting(source, target, following, name, pairs)
    return replace(target, walk=walk, init=source.init)


@dataclass(frozen=True)
class Rewritten:
    """Images before and after.

    Attributes:
        images: With the new prompts, `(n, C, H, W)`.
        source: With the old ones.
        places: Where they may differ, `(n, h, w)` of the states' height and width; None where no
            blend was asked for.
        looks: Whether only looks have changed, `(n,)`; see `Following`. None where nobody asked.
    """

    images: np.ndarray
    source: np.ndarray
    places: np.ndarray | None
    looks: np.ndarray | None


def sampled(plan: Plan) -> Rewritten:
    """All images of a plan that `rewritten` gave, with their sources."""
    ends, sources, places, looks = (list[Tensor]() for _ in range(4))
    for rows in plan.batches():
        *_, point = plan.states(rows)
        n, both = len(point.x), point.memory
        ends.append(point.x)
        sources.append(both.source.x[:n])
        if both.places is not None:
            places.append(both.places[:n, 0])
        if both.looks is not None:
            looks.append(both.looks[:n])
    kept, alike = (torch.cat(x).cpu().numpy() if x else None for x in (places, looks))
    return Rewritten(plan.decode(torch.cat(ends)), plan.decode(torch.cat(sources)), kept, alike)


def _walk_of(plan: Plan, rows: list[int]) -> Any:
    return trajectory if plan.walk is None else plan.walk(rows)
