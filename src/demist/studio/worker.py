"""The one process that owns the device: takes jobs from its standard input, tells on its output.

It ends when its input does, so that none outlives the server. What libraries print goes to the
standard error, which the server keeps in a file.
"""

import dataclasses
import os
import queue
import re
import sys
import threading
import traceback
import warnings
from io import BufferedIOBase
from pathlib import Path
from typing import Any, TextIO

from pydantic import TypeAdapter, ValidationError

from demist.errors import DataError, DemistError, UsageError
from demist.studio import frames, kinds
from demist.studio.telling import CancelledError, Tell
from demist.studio.uploaded import reencode

LONGEST = 2000
"""Characters of a message at most."""
_FULL = ("can't allocate memory", "out of memory", "std::bad_alloc")


class Outbox:
    """Sends frames from a thread of its own; of steps and previews not yet sent, only the last."""

    def __init__(self, out: BufferedIOBase):
        self._out = out
        self._ready = threading.Condition()
        self._waiting: dict[Any, bytes] = {}
        self._count = 0
        threading.Thread(target=self._run, daemon=True).start()

    def send(self, header: dict[str, Any], data: bytes = b"") -> None:
        """Put a frame into the box; returns at once.

        Raises:
            UsageError, ValueError, TypeError: As `frames.pack`: what cannot travel is a fault of
                who sends it, and the box stays open for the rest.
        """
        frame = frames.pack(header, data)
        with self._ready:
            self._count += 1
            key: Any = self._count
            if header.get("type") in ("step", "preview"):
                key = (header["type"], header["job"], header.get("name"))
                self._waiting.pop(key, None)  # the new one goes to the end
            self._waiting[key] = frame
            self._ready.notify()

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: bool(self._waiting))
                frame = self._waiting.pop(next(iter(self._waiting)))
            try:
                self._out.write(frame)
                self._out.flush()
            except OSError:
                os._exit(0)  # nobody listens any more


class Worker:
    """Jobs one after another in the main thread; short questions beside them."""

    def __init__(self, out: BufferedIOBase):
        self.outbox = Outbox(out)
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.questions: queue.Queue[dict[str, Any]] = queue.Queue()
        self.telling: dict[str, Tell] = {}
        self.doing: Tell | None = None

    def warned(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        """In place of `warnings.showwarning`: what is for people is told by the job that runs."""
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))
        if self.doing is not None and issubclass(category, UserWarning):
            self.doing.warn(str(message)[:LONGEST])

    def listen(self, file: BufferedIOBase) -> None:
        """Read what the server asks, until it is gone."""
        try:
            while (frame := frames.read(file)) is not None:
                self._take(frame[0])
        except Exception:  # deaf, it would keep the queue waiting without end
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _take(self, header: dict[str, Any]) -> None:
        if header["type"] == "run":
            job, folder = header["job"], Path(header["folder"])
            self.telling[job] = Tell(job, folder, self.outbox.send)
            self.jobs.put(header)
        elif header["type"] == "cancel":
            if (tell := self.telling.get(header["job"])) is not None:
                tell.cancel()
        else:
            self.questions.put(header)

    def answer_questions(self) -> None:
        """Schemas and uploads, while a job runs."""
        while True:
            asked = self.questions.get()
            about = {"type": "answer", "question": asked["question"]}
            try:
                self.outbox.send({**about, "value": answer_to(asked)})
            except Exception as error:
                usage = isinstance(error, DemistError)
                self.outbox.send({**about, "error": in_words(error), "usage": usage})

    def run(self) -> None:
        """Do jobs, one after another."""
        while True:
            asked = self.jobs.get()
            job = asked["job"]
            tell = self.doing = self.telling[job]
            self.outbox.send({"type": "started", "job": job})
            end: dict[str, Any] = {"type": "done"}
            try:
                if tell.cancelled():
                    raise CancelledError("cancelled before it began")
                kind = kinds.load(asked["kind"])
                kind.run(settings_of(kind, asked["settings"]), Path(asked["folder"]), tell)
            except CancelledError as error:
                end = {"type": "cancelled", "message": str(error)}
            except Exception as error:
                traceback.print_exc()
                end = {"type": "failed", "message": in_words(error)}
            try:
                tell.keep()
            except OSError as error:
                end = {"type": "failed", "message": f"a picture could not be written: {error}"}
            self.doing = None
            del self.telling[job]
            self.outbox.send({**end, "job": job})


def settings_of(kind: Any, given: dict[str, Any]) -> Any:
    """The settings of a kind of job from JSON values.

    Raises:
        UsageError: One is unknown or makes no sense.
    """
    if unknown := sorted(set(given) - {field.name for field in dataclasses.fields(kind.Settings)}):
        raise UsageError(f"there is no setting {unknown[0]!r} of this kind of job")
    try:
        return TypeAdapter(kind.Settings).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where} = {repr(first.get('input'))[:200]}: {first['msg']}") from None


def schema(name: str) -> dict[str, Any]:
    """JSON Schema of a kind's settings; the strings below its fields are their descriptions."""
    kind = kinds.load(name)
    found: dict[str, Any] = TypeAdapter(kind.Settings).json_schema()
    source = Path(kind.__file__).read_text(encoding="utf-8")
    described = re.findall(r'^    (\w+): .*\n    """((?:[^"]|"(?!""))+)"""', source, re.MULTILINE)
    for field, text in described:
        if field in found.get("properties", {}):
            found["properties"][field]["description"] = " ".join(text.split())
    return found


def answer_to(asked: dict[str, Any]) -> Any:
    """The answer to one question of the server."""
    if asked["type"] == "schema":
        return schema(asked["kind"])
    if asked["type"] == "upload":
        return reencode(Path(asked["file"]), Path(asked["to"]))
    raise DataError(f"the worker was asked {asked['type']!r}, which it does not know")


def in_words(error: BaseException) -> str:
    """One sentence about an error, for people."""
    if isinstance(error, DemistError):
        return str(error)[:LONGEST]
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _FULL):
        return (
            "out of memory: the machine has not enough for this; ask for fewer or smaller samples. "
            f"({text.splitlines()[0][:200] if text else type(error).__name__})"
        )
    if isinstance(error, OSError) and error.filename:
        return f"cannot read or write {os.fsdecode(error.filename)}: {error.strerror}"
    return f"internal error, {type(error).__name__}: {text[:500]}; worker.log shows where"


def main() -> None:
    """Serve until the standard input ends."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anybody prints must not get between the frames
    worker = Worker(out)
    warnings.simplefilter("always", UserWarning)  # a second job is told as the first was
    warnings.showwarning = worker.warned
    for target in (
        lambda: worker.listen(os.fdopen(0, "rb", closefd=False)),
        worker.answer_questions,
    ):
        threading.Thread(target=target, daemon=True).start()
    worker.run()


if __name__ == "__main__":
    main()
