"""`demist launch`: a supervisor that keeps a training run going."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demist import runs
from demist.commands import train
from demist.commands.shared import read
from demist.config import parse_duration
from demist.errors import TryAgainError, UsageError
from demist.machine.processes import CODES, codes_left, kill_with_parent
from demist.machine.streams import tell
from demist.runs import Run
from demist.training.interrupt import stopping
from demist.training.resume import newest

PERMANENT = {64, 65, 66, 69, 73, 77}
"""Exit codes after which the same command would fail again."""
LONGEST = 300.0
"""Seconds; no pause is longer."""
PATIENCE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
"""Environment variable: seconds that torchrun gives its workers to save, by default 30."""


@dataclass(frozen=True)
class Options:
    """Keep a training run going: several processes, started again after a failure.

    What to run comes last: `demist launch --processes 8 train photos --budget 2h`.
    """

    processes: int = 1
    """How many on this machine; one per GPU, usually."""
    tries: int = 5
    """Stop after so many failures in a row without a new checkpoint between them."""
    pause: str = "5s"
    """Before the first restart; doubled after every failure without progress, up to 5 minutes."""

    def __post_init__(self) -> None:
        for name in ("processes", "tries"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} {getattr(self, name)}: give 1 or more")
        parse_duration(self.pause)


def main(args: list[str]) -> None:
    """Run the command until it is done, stopped, or makes no progress."""
    place = args.index("train") if "train" in args else len(args)
    options = read(Options, "launch", args[:place])
    command = args[place + 1 :]
    if place == len(args):
        raise UsageError("say what to launch: demist launch --processes 2 train moons --steps 100")
    with tempfile.TemporaryDirectory() as codes, stoppable() as stop:
        launch = _Launch(options, command, Path(codes), stop)
        code = supervise(
            launch.once, launch.progress, options.tries, parse_duration(options.pause), stop.wait
        )
    if code:
        raise SystemExit(code)


def supervise(
    once: Callable[[], int],
    progress: Callable[[], object],
    tries: int,
    pause: float,
    wait: Callable[[float], bool],
) -> int:
    """Run `once` again and again until it succeeds or there is no point.

    Args:
        once: Runs the command; its exit code.
        progress: Something that changes when there is progress.
        tries: Failures in a row, without progress between them, after which to stop.
        pause: Seconds before the first restart.
        wait: Waits so many seconds; true if it was stopped meanwhile.

    Returns:
        0, or the exit code of the last failure.
    """
    failures, before = 0, progress()
    while True:
        code = once()
        if code == 0 or code in PERMANENT:
            return code
        now = progress()
        failures, before = (1 if now != before else failures + 1), now
        if failures >= tries:
            say(f"failed {failures} times without a new checkpoint between; giving up")
            return code
        seconds = min(pause * 2 ** (failures - 1), LONGEST)
        say(f"ended with exit code {code}; starting again in {seconds:g} seconds")
        if wait(seconds):
            return code


def say(message: str) -> None:
    """Tell the user, between the lines of the command."""
    tell(f"demist launch: {message}")


class Stop:
    """Passes signals on to the process under way, and remembers them."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self._event = threading.Event()
        self.wait = self._event.wait

    def receive(self, number: int, frame: object = None) -> None:
        """Handle a signal."""
        self._event.set()
        if number != signal.SIGINT:  # torchrun would not pass SIGUSR1 on but end at once
            number = signal.SIGTERM
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(number)

    def __bool__(self) -> bool:
        return self._event.is_set()


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Within the block, signals to stop go to the process under way."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.receive) for number in stopping()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Launch:
    """One command, run as often as needed."""

    def __init__(self, options: Options, command: Sequence[str], codes: Path, stop: Stop):
        self.options, self.command, self.codes, self.stop = options, list(command), codes, stop
        self.asked = train.parse(self.command)  # a mistake is refused before anything starts
        self.stages = train.divided(self.asked)

    def run(self) -> Run | None:
        """The run that the command makes or goes on with."""
        if self.asked.resume:
            return runs.find(self.asked.resume, self.asked.settings.output.runs)
        return newest(self.stages)

    def progress(self) -> object:
        """The run's newest checkpoint, of each of its stages."""
        run = self.run()
        places = run and [run.checkpoints, *sorted(run.path.glob("stages/*/checkpoints"))]
        return places and [max(place.glob("step-*"), default=place) for place in places]

    def once(self) -> int:
        before = self._status()
        line = self._line()
        environment = {PATIENCE: "600"} | os.environ | {CODES: str(self.codes)}
        # The child of a supervisor that is killed must not go on without one.
        with_parent = kill_with_parent if sys.platform == "linux" else None
        child = subprocess.Popen(line, env=environment, preexec_fn=with_parent)
        self.stop.child = child
        code = child.wait()
        self.stop.child = None
        self.command = [word for word in self.command if word != "--fresh"]
        codes, after = codes_left(self.codes), self._status()
        if after != before and after.get("state") in ("done", "stopped"):
            return 0  # torchrun ends with 1 after its workers have stopped in good order
        failed = after != before and after.get("state") == "failed"
        if code == 0 and not codes and not failed:
            return 0
        lasting = [c for c in codes if c in PERMANENT]
        return (lasting or codes or [code if code > 1 else TryAgainError.exit_code])[0]

    def _status(self) -> dict[str, Any]:
        run = self.run()
        return run.status() if run else {}

    def _line(self) -> list[str]:
        start = [sys.executable, "-m"]
        if self.options.processes > 1:
            start += ["torch.distributed.run", "--standalone", "--max-restarts=0"]
            start += [f"--nproc-per-node={self.options.processes}", "-m"]
        return [*start, "demist", "train", *self.command]
