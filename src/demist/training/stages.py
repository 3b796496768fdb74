"""Training one thing after another in one run folder; see `demist.runs.stages`.

The folder holds the options of all stages before the first one begins, and a stage that is finished
is never touched again. So whatever interrupts a run, the same command goes on with it.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from demist import runs
from demist.config import Stage, Stages, TrainConfig, update
from demist.data import Dataset
from demist.errors import DemistError, LockedError
from demist.io.files import cache_at
from demist.io.folders import sweep
from demist.modalities.named import remembering, to_learn
from demist.runs import Run
from demist.training.build import Load, build
from demist.training.experiment import Experiment
from demist.training.given import pinned, with_runs_named
from demist.training.interrupt import Interrupt
from demist.training.parallel import World
from demist.training.shapes import as_read, require_full

FEW = 64
"""Items on which stages are tried out; more, if a batch has more."""


One = Callable[[TrainConfig, Run, bool, Load, bool, Interrupt], Run]
"""Trains a stage: its options, its folder, whether that is there, what loads the data, whether its
lock is held, and what signals set. The result is done or stopped."""


def train_stages(
    stages: Stages,
    run: Run | None,
    resume: bool,
    one: One,
    data: Dataset | None,
    world: World,
    say: Callable[[str], None],
) -> Run:
    """Train what is not finished yet.

    Args:
        stages: All of them.
        run: The folder; None: a new one.
        resume: Whether it is there already.
        one: Trains a stage.
        data: Use this data instead of loading it.
        world: The processes that train together.
        say: Called with sentences.

    Returns:
        The run, which is done, or stopped if a stage was interrupted.

    Raises:
        DemistError: Something is wrong with the options, the data, the folder or the numbers; as
            far as that can be found out, before the first stage begins.
    """
    load = remembering()
    if resume:
        assert run is not None
    else:
        if data is None:
            stages = _pinned(stages)
        stages = replace(stages, last=with_runs_named(stages.last))
        for sentence in stages.said:
            say(sentence)
        for _ in rehearsal(stages, data, load):
            pass
        if world.first:
            run = _made(stages, run, data or load(stages.last.data).data)
        run = Run(Path(world.agree(str(run.path) if run else "")))
    count, interrupt = len(stages.earlier) + 1, Interrupt()
    with run.lock() if world.first else contextlib.nullcontext():
        if world.first:
            _clear(run, stages)
        for number, stage in enumerate(stages, 1):
            place = run if number == count else runs.stages.stage(run, stage.name)
            if number < count and world.agree(finished(place)):
                continue
            say(f"stage {stage.name} ({number} of {count})")
            named = {"stage": stage.name} if number < count else {}
            with _recorded(run, named, world):
                one(stage.config, place, True, load, number == count, interrupt)
            [stopped] = world.any(bool(interrupt))
            if stopped or not world.agree(finished(place)):
                if number < count and world.first and finished(place):
                    run.write_status("stopped", message=f"stopped by {interrupt.signal}", **named)
                    say(f"stopped after stage {stage.name}. To go on: {runs.resume_command(run)}")
                break
    return run


def finished(run: Run) -> bool:
    """Whether a stage is done: its summary is written last."""
    return (run.path / "summary.json").is_file() and run.model.is_dir()


def rehearsal(
    stages: Stages, data: Dataset | None = None, load: Load = to_learn
) -> Iterator[tuple[Stage, Experiment]]:
    """All objects of each stage, on some items of the data; nothing of it is kept.

    What comes of an earlier stage has random weights here. So a mistake in the options of a later
    one is found before hours are spent on those before it.

    Args:
        stages: All of them.
        data: Use this data instead of loading it.
        load: Loads it.

    Raises:
        DemistError: As `build`.
    """
    with tempfile.TemporaryDirectory() as place, cache_at(place):
        run = Run(Path(place))
        runs.stages.write(run, stages)
        for number, stage in enumerate(stages):
            items = data or load(as_read(stage.config, run)).data
            require_full(items.x, stage.config.optimization.batch_size)
            count = max(FEW, stage.config.optimization.batch_size)
            rows = np.unique(np.linspace(0, len(items) - 1, count).astype(np.int64))
            experiment = build(stage.config, items.subset(rows), run=run)
            yield stage, experiment
            if number < len(stages.earlier):
                _save(experiment, runs.stages.stage(run, stage.name))


def _save(experiment: Experiment, run: Run) -> None:
    """Save a model that has learned nothing, its weights such that its output is not constant."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in experiment.network.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=draw).to(weight))
    experiment.pipeline.save(run.model)


def _clear(run: Run, stages: Stages) -> None:
    """Remove what a process that was killed left unfinished, in stages that are done, too."""
    for place in (run, *(runs.stages.stage(run, stage.name) for stage in stages.earlier)):
        for folder in (place.path, place.checkpoints, place.image(0).parent):
            sweep(folder)


@contextlib.contextmanager
def _recorded(run: Run, named: dict[str, str], world: World) -> Iterator[None]:
    """Within the block, the status of the run says what is trained, and how it failed if it did."""
    if world.first:
        run.write_status("running", **named)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if world.first and not isinstance(error, LockedError):
            with contextlib.suppress(DemistError, OSError):
                if run.status()["state"] == "running":  # it failed before its trainer was there
                    _write_failure(run, error, named)
        raise


def _write_failure(run: Run, error: BaseException, named: dict[str, str]) -> None:
    if isinstance(error, KeyboardInterrupt):
        run.write_status("stopped", message="stopped at once", exit_code=130, **named)
    else:
        code = error.exit_code if isinstance(error, DemistError) else DemistError.exit_code
        run.write_status("failed", message=str(error), exit_code=code, **named)


def _made(stages: Stages, run: Run | None, data: Dataset) -> Run:
    """The folder, with the options of all stages."""
    last = stages.last
    write = partial(runs.stages.write, stages=stages)
    if run is None:
        return runs.create(last.output.runs, last.output.name or data.name, last, write)
    write(run)
    runs.write_options(run, last)
    return run


def _pinned(stages: Stages) -> Stages:
    """The stages with the commit of data of the hub; it is the same for all that name the same."""
    path, named = pinned(stages.last).data.path, stages.last.data.path
    if path == named:
        return stages
    same = {"path": path}
    earlier = tuple(
        Stage(stage.name, update(stage.config, same)) if stage.config.data.path == named else stage
        for stage in stages.earlier
    )
    return Stages(earlier, update(stages.last, same), stages.said, stages.command)
