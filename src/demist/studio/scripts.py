"""The same samples as code: what the page's "Copy as Python / command line" gives.

A script is made in the worker step by step, as samplings branch, and kept as JSON beside the trace.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from demist.errors import DataError
from demist.model import Sampling
from demist.model.sampling import flag

IMPORT = "from demist.model import open_model"


@dataclass(frozen=True)
class Script:
    """Lines of Python, and commands.

    Attributes:
        model: As `open_model` takes it.
        device: Where it runs; on another one the samples agree to rounding.
        imports: Lines above.
        python: Lines.
        commands: Of a shell; none if there is no command for it.
        why_none: Why there are none.
    """

    model: str
    device: str = "cpu"
    imports: tuple[str, ...] = (IMPORT,)
    python: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    why_none: str = ""

    def sampled(
        self, n: int, how: Sampling, cond: Mapping[str, Any], typed: Mapping[str, str],
        negative: str | None,
    ) -> "Script":  # fmt: skip
        """A sampling from noise."""
        words = [str(n), *_arguments(how, cond)]
        line = f"trace = pipeline.trace({', '.join(words)})"
        command = [
            "demist", "sample", self.model, "--n", str(n), *_flags(how, typed, negative),
            *([] if typed else ["--class", "none"]), "--batch-size", str(n),
            "--trace", "trace.safetensors", "--out", "samples.png",
        ]  # fmt: skip
        return replace(self, python=(*self.python, line), commands=(shlex.join(command),))

    def started(self, file: str, shape: Sequence[int], start: float) -> "Script":
        """The last line, on a picture."""
        last = self.python[-1].removesuffix(")") + f", init=init, start={start!r})"
        found = replace(self, python=self.python[:-1]).read(file, shape)
        return replace(
            found, python=(*found.python, last), commands=(),
            why_none="demist sample starts from noise; a start from a picture takes Python",
        )  # fmt: skip

    def read(self, file: str, shape: Sequence[int]) -> "Script":
        """A picture, as `init`."""
        channels, *sides = shape
        line = f"init = read_image({file!r}, {channels}, {tuple(sides)!r})"
        return self._with("from demist.data.images.decode import read_image", line)

    def inverted(self, data: str, how: Sampling, cond: Mapping[str, Any]) -> "Script":
        """The walk to noise from `data`, an expression."""
        words = ", ".join(["pipeline", data, *_arguments(how, cond)])
        line = f"trace = inversion({words}).run()"
        return self._with("from demist.editing import inversion", line)

    def returned(self, step: int, how: Sampling, cond: Mapping[str, Any]) -> "Script":
        """The way back from a step of that."""
        words = ", ".join(["pipeline", "trace", str(step), *_arguments(how, cond)])
        line = f"trace = returned({words}).run()"
        return self._with("from demist.editing import returned", line)

    def _with(self, needed: str, line: str) -> "Script":
        """A line that no command does."""
        imports = self.imports if needed in self.imports else (*self.imports, needed)
        why = "an inversion, and what comes after it, takes Python"
        return replace(
            self, imports=imports, python=(*self.python, line), commands=(), why_none=why
        )

    def resumed(
        self, step: int, how: Sampling, cond: Mapping[str, Any], typed: Mapping[str, str],
        negative: str | None, keep: Sequence[str] = (), freed: bool = False,
    ) -> "Script":  # fmt: skip
        """A branch of what the script makes so far; `freed`: without the part that it kept."""
        lines, imports, words = [*self.python], [*self.imports], [str(step)]
        if keep:
            for one in (
                "import numpy as np", "from demist.editing.known import with_known",
                "from demist.editing.masks import resized",
            ):  # fmt: skip
                imports += [] if one in imports else [one]
            lines += [
                f"rows = {tuple(keep)!r}  # 1: kept",
                "mask = np.array([[1.0 - int(one) for one in row] for row in rows], np.float32)",
                "mask = (resized(mask, trace.shape[-2:]) > 0.5).astype(np.float32)",
                "masks, kept = np.repeat(mask[None], trace.n, 0), trace.samples",
            ]
            words.append("change=lambda plan: with_known(plan, kept, masks)")
        if freed:
            one = "from demist.model.recording import unchanged"
            imports += [] if one in imports else [one]
            words.append("change=unchanged")
        words += _arguments(how, cond)
        lines.append(f"trace = pipeline.resume(trace, {', '.join(words)})")
        number = len(self.commands)
        before = "trace.safetensors" if number == 1 else f"trace-{number}.safetensors"
        command = [
            "demist", "trace", before, "--model", self.model, "--from-step", str(step),
            *_flags(how, typed, negative), "--save", f"trace-{number + 1}.safetensors",
            "--out", f"strip-{number + 1}.png",
        ]  # fmt: skip
        commands = (*self.commands, shlex.join(command)) if self.commands and not keep else ()
        why = "a painted mask has no command; it takes Python" if keep else self.why_none
        return replace(
            self, imports=tuple(imports), python=tuple(lines), commands=commands, why_none=why
        )

    def text(self) -> str:
        """The program."""
        opened = f"pipeline = open_model({self.model!r}, device={self.device!r})"
        lines = [*self.imports, "", opened, *self.python, "samples = trace.samples"]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """As the page reads it, and `of_json`."""
        return {
            "model": self.model, "device": self.device, "imports": list(self.imports),
            "lines": list(self.python), "commands": list(self.commands), "why_none": self.why_none,
            "python": self.text(), "shell": "\n".join(self.commands),
        }  # fmt: skip

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Script":
        """What `to_json` gave.

        Raises:
            DataError: It is something else.
        """
        try:
            return cls(
                str(value["model"]), str(value["device"]), tuple(value["imports"]),
                tuple(value["lines"]), tuple(value["commands"]), str(value["why_none"]),
            )  # fmt: skip
        except (KeyError, TypeError):
            raise DataError("code.json of the parent is damaged; sample anew") from None


def _arguments(how: Sampling, cond: Mapping[str, Any]) -> list[str]:
    both = how.given() | dict(cond)
    return [f"{name}={value!r}" for name, value in both.items()]


def _flags(how: Sampling, typed: Mapping[str, str], negative: str | None) -> list[str]:
    words = []
    for name, value in how.given().items():
        text = ":".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{flag(name)}", text]
    for name, text in typed.items():
        words += ["--cond", f"{name}={text}"]
    return words + ([] if negative is None else ["--negative", negative])
