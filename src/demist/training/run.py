"""A training run in its folder: `fit`, with everything that is recorded around it."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from demist import checkpoint, runs, saved
from demist.config import TrainConfig, flat, parse_cadence, update
from demist.data import Dataset
from demist.errors import CannotCreateError, DataError, MissingError, UsageError
from demist.files import write_json
from demist.pipeline import Pipeline
from demist.runs import Run
from demist.storage import sweep
from demist.training.build import Experiment, build
from demist.training.fit import TrainState, fit, scalars, start
from demist.training.interrupt import Interrupt, interruptible
from demist.training.plan import peak_memory
from demist.training.progress import Progress


def train(
    config: TrainConfig,
    run: Run | None = None,
    *,
    resume: bool = False,
    data: Dataset | None = None,
    command: Sequence[str] | None = None,
    quiet: bool = False,
) -> Run:
    """Train a model into a run folder.

    Ctrl-C, SIGTERM or SIGUSR1 finish the step, save, and return; a second Ctrl-C stops at once.

    Args:
        config: All options.
        run: The folder; default a new one in `config.output.runs` or, with `resume`, the latest.
        resume: Go on from the run's newest good checkpoint. `config` may then differ from the run's
            in limits, output, device and path.
        data: Use this data instead of loading `config.data.path`.
        command: What was typed, for the record.
        quiet: Print nothing.

    Returns:
        The run. Its status says `done`, or `stopped` if it was interrupted.

    Raises:
        DemistError: Something is wrong with the options, the data, the folder or the numbers.
    """
    if resume:
        run = run or runs.find("latest", config.output.runs)
        old = run.config()
        if config.optimization.precision == "auto":
            config = update(config, {"precision": old.optimization.precision})
        require_resumable(old, config)
    elif run is not None and (run.path / "config.toml").exists():
        raise CannotCreateError(f"{run.path} holds a run already; resume it instead")
    experiment = build(config, data)
    if not resume:
        name = config.output.name or experiment.data.name
        run = run or runs.create(config.output.runs, name)
    assert run is not None
    with run.lock(), interruptible() as interrupt, contextlib.closing(Progress(quiet)) as progress:
        trainer = _Trainer(experiment, run, interrupt, progress)
        try:
            trainer.train(resume, command or sys.argv)
        except (Exception, KeyboardInterrupt) as error:
            at_once = isinstance(error, KeyboardInterrupt)
            with contextlib.suppress(OSError):  # the first error is the one to report
                message = "stopped at once, without saving" if at_once else str(error)
                trainer.status("stopped" if at_once else "failed", message=message)
            raise
    return run


class _Trainer:
    """The parts of one call of `train`."""

    def __init__(
        self, experiment: Experiment, run: Run, interrupt: Interrupt, progress: Progress
    ) -> None:
        self.experiment, self.config, self.run = experiment, experiment.config, run
        self.interrupt, self.progress = interrupt, progress
        self.state = start(experiment.pipeline.denoiser, self.config.optimization)
        self.started = runs.now()

    def train(self, resume: bool, command: Sequence[str]) -> None:
        run, state, out = self.run, self.state, self.config.output
        self._begin(resume, command)
        log, save = Cadence(out.log_every), Cadence(out.save_every)
        draw, tell = Cadence(out.sample_every), Cadence("5s")
        metrics = runs.MetricsLog(run.metrics)
        begun = state.step
        losses: list[float] = []
        with contextlib.closing(metrics):
            for _ in self._steps():
                losses.append(state.loss)
                self.progress.show(state)
                if log.due(state.step) or state.progress >= 1:
                    speed = self.progress.speed(state)
                    mean = {"loss": float(np.mean(losses)), "images_per_second": speed}
                    metrics.append(**{**scalars(state), **mean})
                    losses.clear()
                if save.due(state.step):
                    self._save()
                if tell.due(state.step):
                    self.status("running")
                if draw.due(state.step):
                    self._draw()
                if self.interrupt:
                    break
        self._save()
        if state.progress < 1:
            self.status("stopped", message=f"stopped by {self.interrupt.signal}")
            self.progress.say(
                f"stopped after step {state.step}; saved. To go on: {runs.resume_command(run)}"
            )
            return
        if state.step > begun or not run.model.exists():
            self._finish()
        else:
            self.progress.say(f"{run.path} had reached its limit; raise --steps or --budget")
        self.status("done")

    def _steps(self) -> Iterator[TrainState]:
        e = self.experiment
        return fit(
            e.pipeline.denoiser,
            e.batches,
            objective=e.objective,
            options=self.config.optimization,
            limits=self.config.limits,
            state=self.state,
        )

    def _begin(self, resume: bool, command: Sequence[str]) -> None:
        run, data = self.run, self.experiment.data
        if resume:
            sweep(run.checkpoints)
            facts = runs.read_json(run.description)[saved.INDEX]["facts"]
            if facts["fingerprint"] != data.fingerprint:
                raise DataError(
                    f"{run.path} was trained on other data (fingerprint "
                    f"{facts['fingerprint'][:12]}, now {data.fingerprint[:12]}); restore it, or "
                    f"start a new run"
                )
            newest = checkpoint.load_newest(run.checkpoints, self.progress.say, repair=True)
            if newest is not None:
                self.state.restore(newest)
            runs.rewind_metrics(run.metrics, self.state.step)
            self.progress.say(f"resuming {run.path} after step {self.state.step}")
        else:
            self.progress.say(f"training in {run.path}")
        runs.begin(run, self.config, command)
        runs.write_bad_files(run, [(bad.path, bad.reason) for bad in data.bad])
        write_json(run.description, saved.describe(self.experiment.pipeline))
        self.status("running")

    def status(self, state: str, **facts: Any) -> None:
        s = self.state
        self.run.write_status(
            state,
            started=self.started,
            step=s.step,
            images=s.images,
            seconds=round(s.seconds, 3),
            progress=round(min(s.progress, 1.0), 6),
            **facts,
        )

    def _save(self) -> None:
        checkpoint.save(self.run.checkpoints, self.state.checkpoint(), self.config.output.keep)

    def _draw(self) -> None:
        count = self.config.output.sample_count
        images = self.experiment.data.x.ndim == 4
        count = (40 if images else 1000) if count is None else count
        if count:
            with self.state.ema.applied():
                e, texts = self.experiment, self.experiment.data.texts or ()
                chosen = texts[:: max(1, len(texts) // count)][:count]
                draw_samples(e.pipeline, self.run, self.state.step, count, chosen)

    def _finish(self) -> None:
        run, state, e = self.run, self.state, self.experiment
        self._draw()
        facts = {**e.pipeline.facts, "step": state.step}
        with state.ema.applied():
            replace(e.pipeline, facts=facts).save(run.model, replace=True)
        rows = runs.read_metrics(run.metrics)
        last = [row["loss"] for row in rows[-max(1, len(rows) // 20) :] if row.get("loss")]
        summary = {
            "data": e.data.name,
            "items": len(e.data),
            "classes": len(e.data.classes) if e.pipeline.conditioner.conditions else 0,
            "parameters": e.parameters,
            "steps": state.step,
            "images": state.images,
            "seconds": round(state.seconds, 1),
            "images_per_second": round(state.images / max(state.seconds, 1e-9), 1),
            "loss": float(np.mean(last)) if last else None,
            "skipped": state.skipped,
            "precision": self.config.optimization.precision,
            "peak_memory_mb": round(peak_memory() / 1e6),
        }
        runs.write_summary(run, summary)
        with contextlib.suppress(DataError, MissingError):  # no matplotlib, or hardly any steps
            from demist.pictures import loss_curve

            loss_curve(run.metrics, run.path / "loss.png")


class Cadence:
    """Says when something is due: every so many steps, or every so many seconds."""

    def __init__(self, text: str, clock: Any = time.monotonic):
        self._steps, self._seconds = parse_cadence(text)
        self._clock, self._last = clock, clock()

    def due(self, step: int) -> bool:
        """Whether it is due after step `step`."""
        if self._steps is not None:
            return step % self._steps == 0
        if self._clock() - self._last < (self._seconds or math.inf):
            return False
        self._last = self._clock()
        return True


def draw_samples(
    pipeline: Pipeline, run: Run, step: int, count: int, captions: Sequence[str] = ()
) -> None:
    """Draw `count` samples into the run's folder, classes in turn, always from the same noise.

    With captions, sample i is of caption i; those are listed in the picture's metadata.
    """
    from demist.pictures import image_grid, save_png, scatter

    known = pipeline.conditioner.conditions
    classes: tuple[str, ...] = getattr(known.get("label"), "classes", ())
    names = [classes[i % len(classes)] for i in range(count)] if classes else None
    cond: dict[str, Any] = {"label": names} if names else {}
    if "text" in known and captions:
        cond["text"] = [captions[i % len(captions)] for i in range(count)]
    samples = pipeline.sample(count, **cond)
    facts = {"run": run.path.name, "step": step, "count": count, "seed": 0, **cond}
    if samples.ndim == 4:
        columns = len(classes) if 2 < len(classes) <= 20 else None
        save_png(image_grid(samples, labels=names, columns=columns), run.picture(step), facts)
    elif samples.shape[1] <= 2:
        save_png(scatter(samples), run.picture(step), facts)


FREE = ("path", "device")


def require_resumable(old: TrainConfig, new: TrainConfig) -> None:
    """Check that a run started with `old` may go on with `new`.

    Limits, output, the device and the data's place may change; all else would make it another run.

    Raises:
        UsageError: Something else changed; the message is a table of old and new.
    """
    free = {*FREE, *vars(old.limits), *vars(old.output)}
    before, after = flat(old), flat(new)
    changed = [k for k in before if before[k] != after[k] and k not in free]
    if changed:
        rows = [f"  {k:20s} {before[k]!s:>24s} {after[k]!s:>24s}" for k in changed]
        head = f"  {'option':20s} {'the run has':>24s} {'you asked for':>24s}"
        raise UsageError(
            "these options cannot change when a run is resumed; leave them, or start a new run:\n"
            + "\n".join([head, *rows])
        )
