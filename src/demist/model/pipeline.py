"""The border between people and models: `Pipeline.sample` turns a wish into pictures.

Picture i of a seed is a function of (seed, i) and its conditions. It depends neither on how many
others are made nor on the batch it is made in: its noise has its own stream, and the network always
runs on whole buckets of `BUCKET` samples, padded if need be, for which CPU kernels give every
sample the same bits whatever the number of buckets. (On other devices the pictures agree to
rounding.)
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from demist import zoo
from demist.codecs import Codec
from demist.conditions import Conditioner
from demist.core import Denoiser, Model, Seeded
from demist.errors import DataError, MissingError, UsageError
from demist.guidance import Instead, Interval, Scale, make_rule
from demist.io.files import read_json
from demist.io.folders import atomic_folder
from demist.io.untrusted import refuse_links_out
from demist.machine.allocator import keep_freed_memory
from demist.model import components
from demist.model import folder as model_folder
from demist.runs import Run, checkpoint, find
from demist.samplers import Solver, make_grid, make_solver, trajectory

BUCKET = 8
"""The network runs on multiples of this many samples."""


@dataclass(frozen=True)
class Defaults:
    """How to sample where the caller does not say.

    Attributes:
        steps: Steps from noise to data.
        solver: As in `demist.samplers.make_solver`.
        grid: As in `demist.samplers.make_grid`; None: the one that suits the solver.
        guidance: Scale; 1 is none.
        batch_size: Samples at once.
    """

    steps: int = 20
    solver: str = "adams"
    grid: str | None = None
    guidance: float = 1.0
    batch_size: int = 32


@dataclass(frozen=True)
class Frame:
    """One moment of a batch being denoised, for films.

    Attributes:
        step: Steps done, 0 for pure noise.
        t: Time, from 1 (noise) to 0 (data).
        x: The noisy state, decoded as if it were data.
    """

    step: int
    t: float
    x: np.ndarray


@dataclass(frozen=True)
class Pipeline:
    """A model with all it takes to sample from it.

    Attributes:
        denoiser: The network, read through its schedule and parameterization.
        codec: Range of the data.
        conditioner: What the model can be told.
        shape: Of the data of one sample, `(C, H, W)` or `(D,)`.
        defaults: How to sample.
        facts: Where the model comes from (data, steps, ...), as JSON values.
    """

    denoiser: Denoiser
    codec: Codec
    conditioner: Conditioner
    shape: tuple[int, ...]
    defaults: Defaults = Defaults()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def sample(
        self,
        n: int = 16,
        *,
        steps: int | None = None,
        solver: str | None = None,
        grid: str | Tensor | None = None,
        guidance: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
        guidance_rule: str = "cfg",
        negative: Mapping[str, Any] | None = None,
        guide: Callable[[Model], Model] | None = None,
        seed: int | Sequence[int] = 0,
        batch_size: int | None = None,
        progress: bool = False,
        only: range | None = None,
        **cond: Any,
    ) -> np.ndarray:
        """Make `n` samples, or some of them.

        Args:
            n: How many.
            steps: Steps from noise to data.
            solver: Name and options, such as `"ddim:eta=1"`.
            grid: Name, or the times themselves, decreasing from at most 1 to 0.
            guidance: Classifier-free guidance scale; 1 is none. Without conditions it does nothing.
            guidance_interval: Times between which there is guidance; by default at all times.
            guidance_rule: Name and options, as in `demist.guidance.make_rule`: `"cfg"`,
                `"apg:parallel=0.2"`.
            negative: Conditions by name that guidance leads away from; by default nothing said.
            guide: Any further guidance, outermost: `lambda model: Clamp(model)`.
            seed: Sample i depends on (seed, i) only. With one seed per sample, each is what that
                seed gives as its first.
            batch_size: How many at once (rounded up to whole buckets); changes only speed and
                memory.
            progress: Show a bar.
            only: Make just these of the `n`, to share the work; they come out the same.
            cond: Conditions by name, one value for all or one per sample: `label="7"`,
                `label=[0, 1, 2]`; None for nothing said.

        Returns:
            Images as bytes `(n, C, H, W)`, or points as float32 `(n, D)`.

        Raises:
            UsageError: An argument makes no sense for this model.
        """
        from tqdm import tqdm

        model = self._guided(cond, guidance, guidance_interval, guidance_rule, negative, guide)
        task = self._task(n, steps, solver, grid, seed, cond, model)
        size = _whole(max(1, self.defaults.batch_size if batch_size is None else batch_size))
        only = range(n) if only is None else only
        chunks = [only[begin : begin + size] for begin in range(0, len(only), size)]
        total = len(chunks) * task.steps
        done = []
        with tqdm(total=total, unit="step", disable=not progress, leave=False) as bar:
            for chunk in chunks:
                last = torch.empty(0)
                for last in self._denoise(task, chunk):  # noqa: B007
                    bar.update()
                done.append(last)
        return self._decode(torch.cat(done))

    def trajectory(
        self,
        n: int = 16,
        *,
        steps: int | None = None,
        solver: str | None = None,
        grid: str | Tensor | None = None,
        guidance: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
        guidance_rule: str = "cfg",
        negative: Mapping[str, Any] | None = None,
        guide: Callable[[Model], Model] | None = None,
        seed: int | Sequence[int] = 0,
        **cond: Any,
    ) -> Iterator[Frame]:
        """The states through which `sample` goes, from pure noise to data, as one batch."""
        model = self._guided(cond, guidance, guidance_interval, guidance_rule, negative, guide)
        task = self._task(n, steps, solver, grid, seed, cond, model)
        x, _ = self._noise(task, range(n))
        yield Frame(0, float(task.grid[0]), self._decode(x[:n]))
        for i, x in enumerate(self._denoise(task, range(n)), 1):
            yield Frame(i, float(task.grid[i]), self._decode(x))

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of the state of one sample, which the denoiser sees; `shape` is the data's."""
        return self.codec.state_shape(self.shape)

    def components(self) -> Mapping[str, nn.Module]:
        """All networks by the names of their folders in a saved model, the denoiser's first."""
        return model_folder.modules_of(self)

    def to(self, device: str | torch.device) -> "Pipeline":
        """This pipeline, all its networks moved to `device`."""
        self.denoiser.to(device)
        self.codec.to(device)
        return self

    def save(self, folder: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write the pipeline to a new folder (see `demist.model.folder`), all of it or nothing.

        Raises:
            CannotCreateError: The folder exists and `replace` is false.
        """
        with atomic_folder(folder, replace=replace) as temporary:
            model_folder.write(self, temporary)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Pipeline":
        """Read a saved pipeline, to the CPU.

        Args:
            folder: Where it is, or the name of a model in `demist.zoo`.

        Raises:
            MissingError: There is none in `folder`.
            DataError: It is damaged, or of another format.
        """
        return cls._assemble(model_folder.read(zoo.locate(os.fspath(folder))))

    @classmethod
    def from_run(cls, run: Run | str | os.PathLike[str], step: int | None = None) -> "Pipeline":
        """A run's model with averaged weights, of its newest good checkpoint or of step `step`.

        Args:
            run: A run, its folder, its number, or `"latest"`.
            step: Which checkpoint.

        Raises:
            MissingError: There is no such run or checkpoint.
            DataError: No checkpoint is good.
        """
        run = find(run) if isinstance(run, str | os.PathLike) else run
        refuse_links_out(run.path)
        if step is None:
            found = checkpoint.load_newest(run.checkpoints, warnings.warn, repair=False)
        else:
            known = checkpoint.steps(run.checkpoints)
            if step not in known:
                there = ", ".join(map(str, known)) or "none"
                raise MissingError(f"{run.path} has no checkpoint {step}; there are: {there}")
            found = checkpoint.load(run.checkpoints / checkpoint.folder_name(step))
        if found is None:
            raise MissingError(
                f"{run.path} has no checkpoint; one is written every minute and at the end"
            )
        description = read_json(run.description)
        further = components.read(run.path, description[model_folder.INDEX])
        arguments = model_folder.pieces(description, found.parts["ema"], str(run.path), further)
        arguments["facts"] = {**arguments["facts"], "step": found.step}
        return cls._assemble(arguments)

    def of_weights(self, tensors: Mapping[str, Tensor]) -> "Pipeline":
        """This pipeline with other weights: a network of the same kind that holds these tensors."""
        where = "the weights given"
        description, further = model_folder.describe(self), self.codec.components
        return self._assemble(model_folder.pieces(description, tensors, where, further))

    @classmethod
    def _assemble(cls, arguments: dict[str, Any]) -> "Pipeline":
        try:
            return cls(**{**arguments, "defaults": Defaults(**arguments["defaults"])})
        except TypeError as error:
            raise DataError(f"the saved defaults make no sense: {error}") from None

    def _task(
        self,
        n: int,
        steps: int | None,
        solver: str | None,
        grid: str | Tensor | None,
        seed: int | Sequence[int],
        cond: Mapping[str, Any],
        model: Model,
    ) -> "_Task":
        if n < 1:
            raise UsageError(f"cannot make {n} samples; ask for at least 1")
        if not isinstance(seed, int) and len(seed) != n:
            raise UsageError(f"got {len(seed)} seeds for {n} samples; give one for all, or {n}")
        schedule, default = self.denoiser.schedule, self.defaults
        method = make_solver(solver or default.solver)
        if grid is None or isinstance(grid, str):
            count = default.steps if steps is None else steps
            grid = make_grid(grid or default.grid or method.grid, count, schedule)
        encoded = self.conditioner.encode(n, cond)
        return _Task(
            model,
            _solvable(grid, self.denoiser),
            make_solver(solver or default.solver),
            encoded,
            seed,
        )

    def _guided(
        self,
        cond: Mapping[str, Any],
        guidance: float | None,
        interval: tuple[float, float] | None,
        rule: str,
        negative: Mapping[str, Any] | None,
        guide: Callable[[Model], Model] | None,
    ) -> Model:
        """The denoiser, led away from what is negative or from nothing said, then by `guide`."""
        scale = self.defaults.guidance if guidance is None else guidance
        self.conditioner.require([*cond, *(negative or ())])
        rule_of, conditions = make_rule(rule), self.conditioner.conditions
        model: Model = self.denoiser
        if scale != 1 and any(value is not None for value in cond.values()):
            if not negative and not any(c.drop for c in conditions.values()):
                raise UsageError(
                    f"guidance {scale:g} starts from the unconditional model, which this one never "
                    f"learned (it was trained with label_drop = 0); use 1"
                )
            try:
                over_time: Scale = scale if interval is None else Interval(scale, *interval)
            except ValueError as error:
                raise UsageError(str(error)) from None

            def encode(words: Mapping[str, Any]) -> dict[str, Tensor]:
                self.conditioner.require(words)
                return {name: conditions[name].encode(value, 1) for name, value in words.items()}

            instead, null = Instead(encode(negative or {})), self.conditioner.null
            model = rule_of(model, over_time, lambda told: instead(null(told)), encode=encode)
        return model if guide is None else guide(model)

    def _noise(self, task: "_Task", indices: range) -> tuple[Tensor, Seeded]:
        """The start for the samples `indices`, padded to whole buckets, and its streams."""
        seeds = [task.seed_of(indices.start + i) for i in range(_whole(len(indices)))]
        device = next(self.denoiser.parameters()).device
        noise = Seeded(seeds)
        start = noise(torch.empty(len(seeds), *self.state_shape, device=device))
        return start * self.denoiser.schedule(task.grid[0])[1], noise

    @torch.inference_mode()
    def _denoise(self, task: "_Task", indices: range) -> Iterator[Tensor]:
        """The states of the samples `indices` after each step."""
        keep_freed_memory()
        x, noise = self._noise(task, indices)
        rows = torch.arange(len(x)).clamp(max=len(indices) - 1) + indices.start
        cond: dict[str, Any] = {name: value[rows].to(x.device) for name, value in task.cond.items()}
        training = self.denoiser.training
        self.denoiser.eval()
        try:
            for state in trajectory(task.model, x, task.grid, task.solver, noise, **cond):
                yield state.x[: len(indices)]
        finally:
            self.denoiser.train(training)

    def _decode(self, x: Tensor) -> np.ndarray:
        return self.codec.decode(x.float()).cpu().numpy()


@dataclass(frozen=True)
class _Task:
    """What to sample, with all choices made."""

    model: Model
    grid: Tensor
    solver: Solver
    cond: Mapping[str, Tensor]
    seed: int | Sequence[int]

    @property
    def steps(self) -> int:
        return len(self.grid) - 1

    def seed_of(self, index: int) -> int:
        """The seed of sample `index`, which may lie beyond the last to pad a bucket."""
        if isinstance(self.seed, int):
            return sample_seed(self.seed, index)
        return sample_seed(self.seed[min(index, len(self.seed) - 1)], 0)


def sample_seed(seed: int, index: int) -> int:
    """The seed of sample `index`: hashed, so that neighbours share nothing."""
    digest = hashlib.blake2b(f"{seed}/sample/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _solvable(grid: Tensor, denoiser: Denoiser) -> Tensor:
    """`grid`, started a little later if the parameterization cannot be solved in pure noise.

    At alpha = 0 the noise says nothing of the data, so a network that predicts it leaves x0 open.
    """
    t = grid[0]
    alpha, sigma = denoiser.schedule(t)
    a, b = denoiser.parameterization.row(alpha, sigma, lambda: denoiser.schedule.rates(t))
    if alpha * b - sigma * a != 0:
        return grid
    grid = grid.clone()
    grid[0] = t - min(1e-3, float(t - grid[1]) / 2)
    return grid


def _whole(n: int) -> int:
    """`n` rounded up to whole buckets."""
    return -(-n // BUCKET) * BUCKET
