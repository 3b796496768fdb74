"""A plan: all that sampling needs, decided and at hand, and the states it leads through.

Sample i of a plan is a function of its seed and its conditions. It depends neither on how many
others are made nor on the batch it is made in: its noise has its own stream, and the network always
runs on whole buckets of `Pipeline.bucket` samples, padded if need be, for which CPU kernels give
every sample the same bits whatever the number of buckets. (On other devices the samples agree to
rounding.)
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demist.conditions import ImageVector
from demist.core import Model, Noise, Seeded, TorchSeeded
from demist.errors import UsageError
from demist.machine.allocator import keep_freed_memory
from demist.model.best_of import best_draws, draw_seed
from demist.model.sampling import Sampling
from demist.model.watched import Watched
from demist.samplers import Solver, TrajectoryPoint, trajectory

if TYPE_CHECKING:
    from demist.model.feeders import Feed
    from demist.model.pipeline import Pipeline

REFINER, LAST = "refiner", "last"
"""Names of the stage that takes the last steps, and of a model with stages before it."""

Guide = Callable[[Model], Model]
"""Further guidance: a denoiser made of a denoiser."""

Constrain = Callable[[Tensor, Tensor], Tensor]
"""A projection `(x, s) -> x` of the state at time s."""

Walk = Callable[..., Iterator[TrajectoryPoint]]
"""A function with the arguments of `demist.samplers.trajectory`, and points like it."""

Init = np.ndarray | Tensor
"""Where to start from: data (an array), or a state (a tensor)."""


@dataclass(frozen=True)
class Frame:
    """One moment of a batch being denoised, for films.

    Attributes:
        step: Steps done, 0 for pure noise.
        t: Time, from 1 (noise) to 0 (data).
        x: The noisy state, decoded as if it were data; of a model in latents a preview of the data
            that the step has predicted, and in the end the samples.
    """

    step: int
    t: float
    x: np.ndarray


@dataclass
class Tally:
    """Rows that a denoiser was given, and samples (padding included) that were made of them."""

    rows: int = 0
    samples: int = 0

    def __call__(self, denoiser: object, given: tuple[Any, ...]) -> None:
        """What torch calls before the denoiser is."""
        self.rows += len(given[0])

    @property
    def each(self) -> float:
        """Evaluations of the network for one sample."""
        return self.rows / max(1, self.samples)


@dataclass(frozen=True)
class Plan:
    """What `Pipeline.plan` decided, for `n` samples; to change a part, `dataclasses.replace`.

    Attributes:
        pipeline: The model.
        n: How many samples.
        sampling: The complete recipe: with the same conditions it makes this plan again. Its
            number of steps is the number taken.
        model: The denoiser, guided.
        solver: Takes the steps.
        grid: Times from start to end, float64.
        cond: Encoded conditions by name, a row for each sample.
        init: What to start from, `(n, ...)` or `(1, ...)` for all; None: pure noise.
        constrain: Projection after each step.
        weak: The weaker model that guidance leads away from.
        then: The plan of a refiner, which takes the last steps along the same grid.
        until: The steps before those; None: all are taken here.
        scale: Standard deviation of the start in pure noise; None: the schedule's sigma there.
        feeds: Conditions that other models make, batch by batch; see `demist.model.feeders`.
        walk: What takes the steps in place of `trajectory`, made for the rows of a padded batch, so
            that what belongs to a sample (its measurement, its mask) is taken for these rows.
        draw: Which draw of each sample this is; see `demist.model.best_of`.
        tally: Counts what is asked of the network.
    """

    pipeline: "Pipeline"
    n: int
    sampling: Sampling
    model: Model
    solver: Solver
    grid: Tensor
    cond: Mapping[str, Any]
    init: Init | None = None
    constrain: Constrain | None = None
    weak: "Pipeline | None" = None
    then: "Plan | None" = None
    until: int | None = None
    scale: float | None = None
    feeds: Mapping[str, "Feed"] = field(default_factory=dict)
    walk: Callable[[Sequence[int]], Walk] | None = None
    draw: int = 0
    tally: Tally = field(default_factory=Tally, repr=False, compare=False)

    @property
    def steps(self) -> int:
        """How many steps are taken."""
        return len(self.grid) - 1

    def sample(self, rows: Sequence[int] | None = None, *, progress: bool = False) -> np.ndarray:
        """Samples as data, batch by batch.

        Args:
            rows: Which of the `n`; default all. Each comes out the same whoever makes it.
            progress: Show a bar.
        """
        if self.sampling.best_of not in (None, 1):
            return best_draws(self, rows, progress)
        batches = self.batches(rows)
        done = []
        with tqdm(
            total=len(batches) * self.steps, unit="step", disable=not progress, leave=False
        ) as bar:
            for batch in batches:
                for point in self.states(batch):
                    bar.update(int(point.index > 0))
                done.append(point.x)
        return self.decode(torch.cat(done))

    def batches(self, rows: Sequence[int] | None = None) -> list[Sequence[int]]:
        """`rows` cut into batches of the recipe's size."""
        rows = self._checked(rows)
        size = self._whole(self.sampling.batch_size or 1)
        return [rows[begin : begin + size] for begin in range(0, len(rows), size)]

    @torch.inference_mode()
    def states(
        self, rows: Sequence[int] | None = None, *, after: TrajectoryPoint | None = None
    ) -> Iterator[TrajectoryPoint]:
        """The points of a trajectory, as one batch: the start (index 0), then one after each step.

        Args:
            rows: Which of the `n` samples; default all.
            after: A point that this plan gave for the same rows, perhaps with its `x` changed: go
                on from there, first point the one after it.

        Yields:
            Points whose `x` has the rows asked for. Their `memory` is of the padded batch.

        Raises:
            UsageError: `rows` is empty or has numbers beyond the samples of the plan; or there is
                no going on with this noise.
        """
        rows = self._checked(rows)
        keep_freed_memory()
        padded = [*rows, *[rows[-1]] * (self._whole(len(rows)) - len(rows))]
        if after is not None and self.sampling.noise == "torch" and self.solver.stochastic:
            raise UsageError(
                "noise = 'torch' cannot go on within a trajectory, for each draw depends on those "
                "before; begin anew, or use noise = 'seeded'"
            )
        yield from self._walked(rows, padded, after, self._noise(padded))

    def _walked(
        self,
        rows: Sequence[int],
        padded: Sequence[int],
        after: TrajectoryPoint | None,
        noise: Noise,
    ) -> Iterator[TrajectoryPoint]:
        """The points of this plan, then of the refiner's, all with one noise."""
        if after is None:
            after = TrajectoryPoint(0, self.grid[0], self._first(padded, noise), None)
            yield _cut(after, len(rows))
        until = self.steps if self.until is None else self.until
        if after.index < until:
            for point in self._stepped(padded, after, until, len(rows), noise):
                yield _cut(point, len(rows))
                after = point
        if self.then is not None and after.index < self.steps:
            # A solver's memory is of one model: of another one it would be a jump.
            begun = replace(after, memory=None) if after.index == until else after
            yield from self.then._walked(rows, padded, _cut(begun, len(rows)), noise)

    def _stepped(
        self, padded: Sequence[int], after: TrajectoryPoint, until: int, n: int, noise: Noise
    ) -> Iterator[TrajectoryPoint]:
        """The points after `after`, up to step `until`, of a padded batch with `n` true samples."""
        x = after.x[torch.arange(len(padded)).clamp(max=len(after.x) - 1)]
        cond = self.told(padded, x.device)
        cond |= self._fed(padded, n, x.device)
        denoisers = [p.denoiser for p in (self.pipeline, self.weak) if p is not None]
        training = [denoiser.training for denoiser in denoisers]
        for denoiser in denoisers:
            denoiser.eval()
        self.tally.samples += len(padded) if self.draw == 0 else 0
        hook = self.pipeline.denoiser.register_forward_pre_hook(self.tally)
        walk: Walk = trajectory if self.walk is None else self.walk(padded)
        try:
            yield from walk(
                self.model, x, self.grid[: until + 1], self.solver, noise,
                constrain=self._constrain(n), index=after.index, memory=after.memory, **cond,
            )  # fmt: skip
        finally:
            hook.remove()
            for denoiser, before in zip(denoisers, training, strict=True):
                denoiser.train(before)

    def told(self, rows: Sequence[int], device: torch.device) -> dict[str, Any]:
        """The encoded conditions of some rows; without those that feeders make."""
        return {name: _take(value, rows, device) for name, value in self.cond.items()}

    def _fed(self, padded: Sequence[int], n: int, device: torch.device) -> dict[str, Tensor]:
        """The conditions that feeders make, of a padded batch with `n` true samples."""
        rows, cond = padded[:n], dict[str, Tensor]()
        for name, feed in self.feeds.items():
            made = self.pipeline.conditioner.encode_only(n, {name: feed(rows)})
            cond |= self.shown(made, rows)
        index = torch.arange(len(padded)).clamp(max=n - 1)
        return {name: value[index].to(device) for name, value in cond.items()}

    def shown(self, cond: Mapping[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
        """What sampling shows of encoded conditions of some rows; see `Condition.sampled`."""

        def draw(name: str, like: Tensor) -> Tensor:
            return cast(Tensor, Seeded([self.seed(i) for i in rows], field=name)(like))

        level = self.sampling.condition_noise or 0.0
        return self.pipeline.conditioner.sampled(cond, draw, level)

    def evaluations(self) -> dict[str, float]:
        """How often each network was run for one sample, on average and so far: by stage."""
        found: dict[str, float] = {}
        for feed in self.feeds.values():
            below = feed.plan.evaluations()
            found |= {feed.name if k == LAST else k: v for k, v in below.items()}
        found[LAST] = self.tally.each
        return found if self.then is None else {**found, REFINER: self.then.tally.each}

    def film(self, rows: Sequence[int] | None = None) -> Iterator[Frame]:
        """As `frames`, after those of the stages before, each in its own size.

        A stage that makes vectors of images is not shown.
        """
        rows, known = self._checked(rows), self.pipeline.conditioner.conditions
        for name, feed in self.feeds.items():
            if not isinstance(known[name], ImageVector):
                yield from feed.frames(rows)
        yield from self.frames(rows)

    def frames(self, rows: Sequence[int] | None = None) -> Iterator[Frame]:
        """The states of `states(rows)`, for a film; see `Frame`."""
        plan, models = self.watched()
        for point in plan.states(rows):
            latent = bool(self.pipeline.codec.components) and point.index < self.steps
            seen = [x for model in models if (x := model.seen) is not None]
            if latent:
                x = self.preview(seen[-1][: len(point.x)] if seen else point.x)
            elif point.index < self.steps:
                x = self.preview(point.x)
            else:
                x = self.decode(point.x)
            yield Frame(point.index, float(point.t), x)

    def watched(self) -> tuple["Plan", list[Watched]]:
        """The same plan, and its models in their order, which remember what they predict."""
        then, further = (None, []) if self.then is None else self.then.watched()
        watched = Watched(self.model)
        return replace(self, model=watched, then=then), [watched, *further]

    @torch.no_grad()
    def preview(self, x: Tensor) -> np.ndarray:
        """Data from states, as quickly as the codec can."""
        codec = (self if self.then is None else self.then).pipeline.codec
        return codec.preview(x.float()).cpu().numpy()

    def decode(self, x: Tensor) -> np.ndarray:
        """Data from states."""
        return self.pipeline.decode(x) if self.then is None else self.then.decode(x)

    def seed(self, row: int) -> int:
        """The seed of a sample's own noise stream."""
        seed = self.sampling.seed
        assert seed is not None
        own = sample_seed(seed, row) if isinstance(seed, int) else sample_seed(seed[row], 0)
        return draw_seed(own, self.draw)

    def _noise(self, rows: Sequence[int]) -> Noise:
        seed = self.sampling.seed
        if self.sampling.noise != "torch" or seed is None:
            return Seeded([self.seed(i) for i in rows])
        kept = next(self.pipeline.denoiser.parameters()).dtype
        try:
            return TorchSeeded(seed, self.n, rows, kept if kept.itemsize == 2 else torch.float32)
        except ValueError as error:
            raise UsageError(f"seed: {error}") from None

    def _first(self, rows: Sequence[int], noise: Noise) -> Tensor:
        """The states at `grid[0]`."""
        pipeline = self.pipeline
        device = pipeline.device
        if isinstance(self.init, Tensor):
            state: Tensor = _take(self.init, rows, device)
            return state.float()
        draw = noise(torch.empty(len(rows), *pipeline.state_shape, device=device))
        alpha, sigma = pipeline.denoiser.schedule(self.grid[0])
        if self.init is None:
            start: Tensor = draw * (sigma if self.scale is None else self.scale)
            return start
        data = self.init if len(self.init) == 1 else self.init[np.array(rows)]
        begun: Tensor = alpha * pipeline.encode(data) + draw * sigma
        return begun

    def _constrain(self, n: int) -> Constrain | None:
        """The constraint, shown the true samples of a padded batch only."""
        constrain = self.constrain
        if constrain is None:
            return None
        return lambda x, s: torch.cat([constrain(x[:n], s), x[n:]])

    def _checked(self, rows: Sequence[int] | None) -> Sequence[int]:
        rows = range(self.n) if rows is None else rows
        if not len(rows) or min(rows) < 0 or max(rows) >= self.n:
            raise UsageError(f"rows must be some of the samples 0 to {self.n - 1}, got {rows}")
        return rows

    def _whole(self, n: int) -> int:
        """`n` rounded up to whole buckets, of the refiner as well."""
        bucket = math.lcm(self.pipeline.bucket, self.then.pipeline.bucket if self.then else 1)
        return -(-n // bucket) * bucket


def sample_seed(seed: int, index: int) -> int:
    """The seed of sample `index`: hashed, so that neighbours share nothing."""
    digest = hashlib.blake2b(f"{seed}/sample/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _take(value: Any, rows: Sequence[int], device: torch.device) -> Any:
    """Rows of a tensor, or of every tensor of a mapping; of a single row, that row for all."""
    if isinstance(value, Mapping):
        return {name: _take(v, rows, device) for name, v in value.items()}
    index = torch.tensor(rows) if len(value) > 1 else torch.zeros(len(rows), dtype=torch.long)
    return value[index.to(value.device)].to(device)


def _cut(point: TrajectoryPoint, n: int) -> TrajectoryPoint:
    return replace(point, x=point.x[:n])
