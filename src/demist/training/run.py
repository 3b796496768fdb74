"""A training run in its folder: `fit`, with everything that is recorded around it."""

import contextlib
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from demist import runs
from demist.config import Stages, TrainConfig, flat, parse_duration, update
from demist.data import Dataset
from demist.errors import CannotCreateError, DemistError
from demist.io.untrusted import refuse_links_out
from demist.machine.compiling import compile_network
from demist.modalities import of
from demist.modalities.named import to_learn
from demist.model import learned_codec
from demist.model.learned_codec import Trained
from demist.model.relearned import FOLDER
from demist.runs import Run
from demist.runs.checkpoint import Checkpoint
from demist.training import advice
from demist.training.background_saver import BackgroundSaver
from demist.training.base import keep_base
from demist.training.build import Load, build, choose_gradient
from demist.training.cadence import Cadence
from demist.training.experiment import Experiment
from demist.training.finish import finish, is_finished
from demist.training.fit import TrainState, fit, scalars, start
from demist.training.footprint import require_fits
from demist.training.given import Given, config_of, pinned, stages_of, with_runs_named
from demist.training.gradient import network_of
from demist.training.interrupt import Interrupt, interruptible
from demist.training.joint import Joint
from demist.training.levels import Levels, recorded
from demist.training.newest import newest
from demist.training.parallel import ALONE, World
from demist.training.progress import Progress
from demist.training.resume import require_resumable, require_whole, with_hold_out
from demist.training.sharding import collected
from demist.training.stages import train_stages
from demist.training.texts import with_encoder
from demist.training.trackers.group import Trackers, open_trackers
from demist.training.watchdog import Watchdog


def train(
    config: Given | Stages,
    run: Run | None = None,
    *,
    resume: bool = False,
    override: Collection[str] = (),
    data: Dataset | None = None,
    command: Sequence[str] | None = None,
    quiet: bool = False,
    world: World = ALONE,
    **options: Any,
) -> Run:
    """Train a model into a run folder.

    Ctrl-C, SIGTERM, SIGHUP or SIGUSR1 finish the step, save, and return; a second Ctrl-C stops at
    once.

    Args:
        config: All options, some by name, or where the data is: `train("photos", size=32)`. Or all
            stages of a run, as `recipe.divided()` gives them.
        run: The folder; default a new one in `config.output.runs` or, with `resume`, the latest.
        resume: Go on from the run's newest good checkpoint. `config` may then differ from the run's
            in limits, output, device and path.
        override: Names of further options that may differ from the run's.
        data: Use this data instead of loading `config.data.path`.
        command: What was typed, for the record.
        quiet: Print nothing.
        world: The processes that train together; only the first one's `run` counts.
        options: Further options by name; one may be a part, also of a class of your own:
            `schedule=SlowStart(3)`, `network=MyNetwork`.

    Returns:
        The run. Its status says `done`, or `stopped` if it was interrupted.

    Raises:
        DemistError: Something is wrong with the options, the data, the folder or the numbers.
    """
    last = config.last if isinstance(config, Stages) else config_of(config, options)
    open_trackers(last.output.log)  # one that is missing is refused before data is read
    if world.first and resume:
        run = run or runs.find("latest", last.output.runs)
    elif world.first and run is not None and (run.path / "config.toml").exists():
        raise CannotCreateError(f"{run.path} holds a run already; resume it instead")
    if resume:
        run = Run(Path(world.agree(str(run.path) if run else "")))
        refuse_links_out(run.path)
        require_whole(run)
    stages = stages_of(config, options, run if resume else None)
    one = partial(
        _train, override=override, data=data, command=command or sys.argv, quiet=quiet, world=world
    )
    if not stages.earlier:
        return one(stages.last, run, resume)
    speak = Progress(quiet or not world.first).say
    return train_stages(stages, run, resume, one, data, world, speak)


def _train(
    config: TrainConfig,
    run: Run | None,
    resume: bool,
    load: Load = to_learn,
    locked: bool = False,
    interrupt: Interrupt | None = None,
    *,
    override: Collection[str],
    data: Dataset | None,
    command: Sequence[str],
    quiet: bool,
    world: World,
) -> Run:
    """Train one stage; if `locked`, the caller holds the lock. `interrupt` is told of signals."""
    if resume:
        assert run is not None
        old = run.config()
        if run.description.exists():  # else its data was never looked at
            old = with_hold_out(old, 0.0)  # runs of the past learned from all
        config = with_hold_out(config, old.data.hold_out)
        if config.optimization.precision == "auto":
            config = update(config, {"precision": old.optimization.precision})
        config = with_encoder(pinned(config, old, run), run)
        require_resumable(old, config, override)
    else:
        config = pinned(config) if data is None else with_runs_named(config)
    experiment = build(config, data, world, run, load)
    if isinstance(net := network_of(experiment.denoiser), Joint):
        net.require()
    require_fits(experiment, world.size)
    if not resume:
        if world.first and run is None:
            name = config.output.name or experiment.data.name
            run = runs.create(config.output.runs, name, experiment.config)
        run = Run(Path(world.agree(str(run.path) if run else "")))
    assert run is not None
    lock = run.lock() if world.first and not locked else contextlib.nullcontext()
    quiet = quiet or not world.first
    with lock, interruptible(interrupt) as told, contextlib.closing(Progress(quiet)) as progress:
        trainer = _Trainer(experiment, run, told, progress, world)
        try:
            trainer.train(resume, command)
        except (Exception, KeyboardInterrupt) as error:
            trainer.fail(error)
            raise
    return run


class _Trainer:
    """The parts of one call of `train`. Only the first process writes."""

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        interrupt: Interrupt,
        progress: Progress,
        world: World,
    ) -> None:
        self.experiment, self.config, self.run = experiment, experiment.config, run
        self.interrupt, self.progress, self.world = interrupt, progress, world
        self.state = start(experiment.denoiser, self.config.optimization)
        self.saver = BackgroundSaver(run.checkpoints, self.config.output.keep, progress.say, world)
        self.watchdog = Watchdog(parse_duration(self.config.limits.patience))
        self.objective = recorded(experiment.objective)
        self.trackers = Trackers(open_trackers(self.config.output.log), progress.say)
        self.started, self.begun = runs.now(), 0.0
        self.described = dict[str, Any]()  # goes into every checkpoint, under its manifest

    def train(self, resume: bool, command: Sequence[str]) -> None:
        run, state = self.run, self.state
        first = self.world.first
        e, say = self.experiment, self.progress.say
        state.restore(newest(run, e, say) if first and resume else None, self.world)
        if first:
            self._begin(resume, command)
        begun, self.begun = state.step, state.seconds
        with self.watchdog.watching():
            self._loop()
        self.saver.save(self._checkpoint())
        self.saver.wait()
        unfinished = state.step > begun or not is_finished(run, state.step)
        if state.progress >= 1 and self.world.agree(unfinished):
            self._finish()
        if not first:
            return
        if state.progress < 1:
            name = self.interrupt.signal or "a signal to another process"
            self.status("stopped", message=f"stopped by {name}")
            self.progress.say(
                f"stopped after step {state.step}; saved. To go on: "
                f"{runs.resume_command(runs.stages.whole(run))}"
            )
            return
        if unfinished and (short := advice.after(e, state.images)):
            say(short)
        if not unfinished:
            say(f"{run.path} had reached its limit; raise --steps or --budget")
        self.status("done")

    def fail(self, error: BaseException) -> None:
        """Record why training ended; the first error is the one to report, so raise no other."""
        if not self.world.first:
            return
        if isinstance(error, KeyboardInterrupt):
            state, message, code = "stopped", "stopped at once, without saving", 130
        else:
            code = error.exit_code if isinstance(error, DemistError) else DemistError.exit_code
            state, message = "failed", str(error)
            with contextlib.suppress(DemistError):
                self.saver.wait()
        with contextlib.suppress(OSError):
            self.status(state, message=message, exit_code=code)

    def _loop(self) -> None:
        state, out = self.state, self.config.output
        log, save = Cadence(out.log_every), Cadence(out.save_every)
        draw, tell, listen = Cadence(out.sample_every), Cadence("5s"), Cadence("1s")
        losses: list[float] = []
        skipped = state.skipped
        with contextlib.ExitStack() as stack:
            metrics = runs.MetricsLog(self.run.metrics) if self.world.first else None
            if metrics:
                stack.callback(metrics.close)
            for _ in self._steps():
                self.watchdog.beat()
                losses.append(state.loss)
                if metrics:
                    if state.skipped > skipped:
                        self._note_skipped()
                    self.progress.show(state)
                    if log.due(state.step) or state.progress >= 1:
                        speed = self.progress.speed(state)
                        mean = {"loss": float(np.mean(losses)), "images_per_second": speed}
                        mean |= {"waiting": self.waiting(), **self._further()}
                        values = {**scalars(state), **mean}
                        levels = {"loss_by_level": by_level} if (by_level := self._levels()) else {}
                        self._try("metrics", partial(metrics.append, **values, **levels))
                        self.trackers.log(values, state.step)
                        losses.clear()
                    self.saver.check()
                    if tell.due(state.step):
                        self._try("the status", lambda: self.status("running"))
                skipped = state.skipped
                asked = runs.take(self.run) if metrics and listen.due(state.step) else set()
                if "stop" in asked:
                    self.interrupt.signal = self.interrupt.signal or "a wish in control/"
                # The first process's clock decides what all take part in.
                due = [metrics is not None and what.due(state.step) for what in (save, draw)]
                due = [
                    now or what in asked for now, what in zip(due, ("save", "sample"), strict=True)
                ]
                stop, keep, image = self.world.any(bool(self.interrupt), *due)
                if keep:
                    self.saver.save(self._checkpoint())
                if image:
                    self._try("an image", self._draw)
                    draw.done()
                if stop:
                    break

    def _checkpoint(self) -> Checkpoint:
        found = self.state.checkpoint()
        return replace(found, state={**found.state, "model": self.described})

    def _try(self, what: str, action: Callable[[], None]) -> None:
        """Do what training can do without; a full disk must not end it while checkpoints fit."""
        try:
            action()
        except OSError as error:
            self.progress.say(f"cannot write {what}: {error.strerror or error}; going on")

    def _steps(self) -> Iterator[TrainState]:
        e, options = self.experiment, self.config.optimization
        if options.compile:
            compile_network(network_of(e.denoiser), self.progress.say)
        return fit(
            e.denoiser,
            e.batches,
            objective=self.objective,
            gradient=choose_gradient(options, e.denoiser, self.world, self.progress.say),
            options=options,
            limits=self.config.limits,
            state=self.state,
            clock=self.world.clock,
        )

    def _begin(self, resume: bool, command: Sequence[str]) -> None:
        run, data = self.run, self.experiment.data
        runs.take(run)  # what an earlier process was asked
        if resume:
            runs.rewind(run, self.state.step)
        if resume and run.description.exists():
            self.progress.say(f"resuming {run.path} after step {self.state.step}")
        else:
            self.progress.say(f"training in {run.path}")
        self.progress.say(data.report.paragraph())
        runs.begin(run, self.config, command)
        runs.write_report(run, data.report.to_json())
        runs.write_bad_files(run, [(bad.path, bad.reason) for bad in data.bad])
        if self.experiment.held_out:
            self.progress.say(self.experiment.held_out)
        for sentence in advice.before(self.experiment):
            self.progress.say(sentence)
        for bad in data.bad[:10]:
            self.progress.say(f"left out {bad.path}: {bad.reason}")
        if left := self.experiment.unused:
            self.progress.say(f"not used: {', '.join(left)}; choose with --conditions")
        if len(data.bad) > 10:
            self.progress.say(f"left out {len(data.bad)} files in all; see bad_files.jsonl")
        if not (run.path / FOLDER).is_dir():
            keep_base(self.experiment.base, run)
        self.described = learned_codec.keep(run, self.experiment.pipeline)
        learned_codec.with_stages(self.experiment.pipeline, run)  # what does not fit is refused now
        self.status("running")
        self.trackers.begin(run.path, flat(self.config), self.state.step)
        self.saver.prepare(self.state.checkpoint().parts)

    def _note_skipped(self) -> None:
        state, streams = self.state, self.experiment.streams
        step = state.step - 1
        indices = replace(streams, rank=0, world=1).indices(step).tolist()
        self.progress.say(
            f"step {step} was skipped: loss {state.loss:g}, gradient norm {state.grad_norm:g}"
        )
        self._try(
            "skipped.jsonl",
            lambda: runs.note_skipped(self.run, step, state.loss, state.grad_norm, indices),
        )

    def status(self, state: str, **facts: Any) -> None:
        s = self.state
        runs.stages.write_status(
            self.run,
            state,
            started=self.started,
            step=s.step,
            images=s.images,
            seconds=round(s.seconds, 3),
            progress=round(min(s.progress, 1.0), 6),
            **facts,
        )
        if state != "running":
            self.trackers.close(state)

    def waiting(self) -> float:
        """Share of the time, since this process began to train, in which it waited for data."""
        seconds = self.state.seconds - self.begun
        return round(self.experiment.waiting.seconds / max(seconds, 1e-9), 4)

    def _levels(self) -> list[float | None]:
        """The loss by noise level since it was last asked, of this process's samples."""
        return self.objective.take() if isinstance(self.objective, Levels) else []

    def _further(self) -> dict[str, float]:
        """What networks that are trained together have to say, which is shown, too."""
        net = network_of(self.experiment.denoiser)
        found = net.metrics() if isinstance(net, Joint) else {}
        if "codes_used" in found:
            self.progress.note = f"{found['codes_used']:.0f} codes"
        return found

    def _averaged(self) -> Trained | None:
        """The model with the averaged weights, on the first process; all must ask for it."""
        tensors = dict(collected(self.state.ema.tensors, self.world))
        return self.experiment.pipeline.of_weights(tensors) if self.world.first else None

    def _draw(self) -> None:
        count = self.config.output.sample_count
        data = self.experiment.data
        count = of(data).drawn if count is None else count
        if count and (pipeline := self._averaged()):
            step, say = self.state.step, self.progress.say
            self.experiment.task.draw(pipeline, self.run, step, data, count, say)
            self.trackers.draw(self.run.image(self.state.step), self.state.step)

    def _finish(self) -> None:
        self._draw()
        if pipeline := self._averaged():
            e, waiting = self.experiment, self.waiting()
            finish(self.run, e, self.state, pipeline, self.world.size, waiting, self.progress.say)
