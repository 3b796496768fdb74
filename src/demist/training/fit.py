"""The training loop, a generator: the caller's `for` is the callback.

    for state in fit(model, batches, options=options, limits=limits):
        if state.step % 100 == 0:
            print(state.step, state.loss)

Batches are functions of the step's number, so a run continued from a saved state takes the same
steps, bit for bit, as one that was never interrupted. With a wall-clock limit the learning rate
depends on the clock; nothing that is drawn does.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from demist.config import DEFAULT_BUDGET, LimitsConfig, OptimizationConfig, parse_duration
from demist.core import Denoiser
from demist.errors import DemistError
from demist.io.tensors import require_same
from demist.machine.precision import resolve_precision
from demist.objectives import SimpleWeight, Times, Uniform, Weight, denoising_loss, hybrid_loss
from demist.objectives.vlb import Decoder
from demist.runs.checkpoint import Checkpoint
from demist.training.batches import Batch
from demist.training.ema import Ema, warmed_up
from demist.training.gradient import (
    AnyBatch,
    Gradient,
    Objective,
    full_batch,
    is_out_of_memory,
    network_of,
)
from demist.training.joint import Joint
from demist.training.memory import out_of_memory
from demist.training.optimizer import Optimizer
from demist.training.parallel import ALONE, World
from demist.training.sharding import gathered, give, is_sharded

MAX_SKIPPED, WINDOW = 10, 1000
"""So many updates skipped for NaN or infinity in so many steps end the run: 10 in a row, or 1 %."""


@dataclass(frozen=True)
class Denoising:
    """The denoising objective: a distribution of times and a weight."""

    times: Times = Uniform()  # noqa: RUF009 (a frozen value)
    weight: Weight = field(default=SimpleWeight())

    def __call__(self, denoiser: Denoiser, batch: Batch) -> Tensor:
        t = self.times(batch.u, denoiser.schedule)
        return denoising_loss(
            denoiser, batch.x0, t, self.weight, batch.noise, batch.candidates, **batch.cond
        )


@dataclass(frozen=True)
class Hybrid:
    """The denoising objective and, for a learned variance, the variational bound.

    See `demist.objectives.hybrid_loss`.
    """

    times: Times
    weight: Weight
    steps: int
    decoder: Decoder

    def __call__(self, denoiser: Denoiser, batch: Batch) -> Tensor:
        t, cond = self.times(batch.u, denoiser.schedule), dict[str, Any](batch.cond)
        return hybrid_loss(
            denoiser, batch.x0, t, self.steps, self.weight, batch.noise,
            decoder=self.decoder, **cond,
        )  # fmt: skip


SCALARS = ("step", "images", "seconds", "skipped", "skipped_steps")
"""Attributes of a state that are kept in checkpoints, beside the tensors."""


@dataclass
class TrainState:
    """Where training is. One object, changed in place by every step.

    Attributes:
        model: Has the raw weights.
        ema: The averaged weights, to sample from; of several networks, of the one
            that is kept.
        optimizer: Of the model's parameters.
        step: Steps done, skipped ones included.
        images: Items seen.
        seconds: Wall-clock time of training, pauses between resumed parts left out.
        skipped: Updates skipped for NaN or infinity.
        skipped_steps: Which these were, as far as they lie in the last `WINDOW`.
        progress: Fraction of the nearest limit, 0 to 1.
        loss: Mean loss of the last step's batch, before its update.
        grad_norm: Norm of its gradient, before clipping.
        lr: Its learning rate.
    """

    model: nn.Module
    ema: Ema
    optimizer: Optimizer
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_steps: tuple[int, ...] = ()
    progress: float = 0.0
    loss: float = math.nan
    grad_norm: float = math.nan
    lr: float = 0.0

    def checkpoint(self) -> Checkpoint:
        """All that is needed to continue; the tensors are the live ones, not copies."""
        parts = {
            "weights": network_of(self.model).state_dict(),
            "ema": self.ema.tensors,
            "optimizer": self.optimizer.tensors(),
        }
        scalars = self.scalars()
        return Checkpoint(scalars.pop("step"), parts, scalars)

    def restore(self, checkpoint: Checkpoint | None, world: World = ALONE) -> None:
        """Go to where `checkpoint` was taken; all processes must call this.

        Args:
            checkpoint: The first process's counts. None: all go to where the first one is.
            world: The processes that train together.

        Raises:
            DataError: Its tensors do not fit; nothing was changed then.
        """
        here, scalars = self.checkpoint(), self.scalars()
        found = dict[str, Tensor]()
        if checkpoint is not None:
            found = _named(checkpoint)
            require_same(_named(here), found, f"checkpoint {checkpoint.step}")
            scalars = {**checkpoint.state, "step": checkpoint.step}
        if world.agree(bool(found)) or not is_sharded(network_of(self.model)):
            for name, tensor in _named(here).items():
                give(world, tensor, found.get(name))
        self.set_scalars(world.agree(scalars))

    def scalars(self) -> dict[str, Any]:
        """What must be kept beside the tensors, as JSON values."""
        return {key: getattr(self, key) for key in SCALARS} | {
            "skipped_steps": list(self.skipped_steps)
        }

    def set_scalars(self, values: Mapping[str, Any]) -> None:
        """Take over what `scalars` gave; older checkpoints have fewer, and one by another name."""
        if "broken" in values:
            values = {"skipped_steps": values["broken"], **values}
        for key in SCALARS:
            if key in values:
                setattr(self, key, values[key])
        self.skipped_steps = tuple(self.skipped_steps)


def _named(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {
        f"{part}: {name}": value
        for part, tensors in checkpoint.parts.items()
        for name, value in tensors.items()
    }


def start(model: nn.Module, options: OptimizationConfig) -> TrainState:
    """A state before the first step."""
    net = network_of(model)
    kept = net.kept if isinstance(net, Joint) else net
    return TrainState(model, Ema(kept, warmed_up(options.ema)), Optimizer(net, options))


def learning_rate(step: int, progress: float, options: OptimizationConfig) -> float:
    """Linear warm-up over steps, times a decay over the progress from 0 to 1.

    The decay is 1 - p (linear), (1 + cos(pi p)) / 2 (cosine) or 1 (constant).
    """
    p = min(max(progress, 0.0), 1.0)
    decay = {"linear": 1 - p, "cosine": (1 + math.cos(math.pi * p)) / 2, "constant": 1.0}
    warm = min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0
    return options.lr * warm * decay[options.decay]


def warming(state: TrainState, options: OptimizationConfig) -> OptimizationConfig:
    """The options with a warm-up of at most a tenth of the run, as long as it looks by now."""
    if not (state.step and state.progress):
        return options
    most = max(1, round(state.step / state.progress) // 10)
    return options if most >= options.warmup else replace(options, warmup=most)


Rate = Callable[[int, float, OptimizationConfig], float]
"""Maps step, progress and options to a learning rate, as `learning_rate` does."""


def fit(
    model: nn.Module,
    batches: Callable[[int], AnyBatch],
    *,
    objective: Objective = Denoising(),
    gradient: Gradient = full_batch,
    options: OptimizationConfig = OptimizationConfig(),  # noqa: B008
    limits: LimitsConfig = LimitsConfig(),  # noqa: B008
    state: TrainState | None = None,
    rate: Rate = learning_rate,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[TrainState]:
    """Train, yielding after each step.

    An update with a NaN or infinite gradient is skipped before it touches weights, average or
    optimizer.

    Args:
        model: Denoiser, autoencoder, classifier, or any other module; trained in place, on the
            device it is on.
        batches: Gives the batch of step 0, 1, ...
        objective: Loss per sample of this model.
        gradient: How its gradient is computed: at once, in parts or by several processes.
        options: Optimizer and precision. `seed` and `batch_size` are the batches' affair.
        limits: When to stop: at the first that is reached.
        state: Where to go on; default `start(model, options)`.
        rate: Learning rate of a step.
        clock: Seconds, monotonic. Time the caller spends between steps counts.

    Yields:
        The same state each time.

    Raises:
        DemistError: Ten updates in a row, or 1 % of a thousand, had to be skipped; or memory ran
            out.
    """
    state = start(model, options) if state is None else state
    parameters = state.optimizer.parameters
    net = network_of(model)
    joint = net if isinstance(net, Joint) else None
    bf16 = resolve_precision(options.precision, network_of(model)) == "bf16"
    begun = clock() - state.seconds
    model.train()
    state.progress = progress(state, limits)
    while state.progress < 1:
        if joint:
            joint.begin(state.progress)
        try:
            loss, count = gradient(model, batches, state.step, objective, bf16)
        except (RuntimeError, MemoryError) as error:
            if not (is_out_of_memory(error) and hasattr(batches, "streams")):
                raise
            for p in parameters:
                p.grad = None
            raise out_of_memory(model, batches, state.step, objective, bf16) from None
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = gathered(nn.utils.get_total_norm(gradients))
        state.loss, state.grad_norm = torch.stack([loss, norm.to(loss)]).tolist()
        state.lr = rate(state.step, state.progress, warming(state, options))
        taken = math.isfinite(state.loss) and math.isfinite(state.grad_norm)
        if taken:
            if 0 < options.clip < state.grad_norm:
                torch._foreach_mul_(gradients, options.clip / state.grad_norm)
            state.optimizer.step(state.lr, bf16)
        if joint:
            joint.settle(taken)
        if taken:
            state.ema.update(state.step + 1 - state.skipped)
        else:
            state.skipped += 1
            recent = (step for step in state.skipped_steps if step > state.step - WINDOW)
            state.skipped_steps = (*recent, state.step)
        for p in parameters:
            p.grad = None
        state.step += 1
        state.images += count
        state.seconds = clock() - begun
        state.progress = progress(state, limits)
        yield state
        if len(state.skipped_steps) >= MAX_SKIPPED and state.skipped_steps[-1] == state.step - 1:
            steps = ", ".join(map(str, state.skipped_steps))
            raise DemistError(
                f"the loss or its gradient was not finite in {len(state.skipped_steps)} of the "
                f"last {min(state.step, WINDOW)} steps ({steps}), so training stopped; the weights "
                f"are those from before. Try a lower --lr, --precision fp32, or look for broken "
                f"values in the data"
            )


def progress(state: TrainState, limits: LimitsConfig) -> float:
    """Fraction done of the limit that is nearest; 1 or more is the end."""
    budget = limits.budget
    if limits.steps is None and limits.images is None and budget is None:
        budget = DEFAULT_BUDGET
    return max(
        state.step / limits.steps if limits.steps else 0.0,
        state.images / limits.images if limits.images else 0.0,
        state.seconds / parse_duration(budget) if budget else 0.0,
    )


def scalars(state: TrainState) -> Mapping[str, Any]:
    """What is logged of a step."""
    keys = ("step", "loss", "grad_norm", "lr", "images", "seconds", "skipped")
    return {key: getattr(state, key) for key in keys}
