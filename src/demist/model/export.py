"""The denoiser for other programs: ONNX, or torch's exported programs, and all that sampling needs.

```
denoiser.onnx or denoiser.pt2    (x, t, conditions) -> (x0, eps), for any number of samples
denoiser.json                    names, shapes and ranges; schedule; the times of the usual steps
```

What surrounds the denoiser (guidance, solver, codec) stays outside: a sampler is ten lines, see
docs/export.md.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from demist.core import Denoiser, Parameterization, Rates
from demist.errors import DemistError, UsageError
from demist.io.files import write_json, write_text
from demist.io.folders import atomic_folder
from demist.machine.packages import installed, require_packages
from demist.model import folder as model_folder
from demist.model.card import NAME, card
from demist.version import __version__

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

Kind = Literal["onnx", "torch-export"]
ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2"}
WRITTEN_OUT = 4096
"""Numbers of an encoded null or choice; larger ones are left out of the description."""
TOLERANCE = 1e-3
"""Of the largest number: what the exported program may differ by from the network."""


@dataclass(frozen=True)
class Unchecked(Parameterization):
    """A parameterization whose equations are solved without looking whether they can be.

    A program of operations has no place for the question; its answer is the range of `t`.
    """

    inner: Parameterization

    def row(
        self, alpha: Tensor, sigma: Tensor, rates: Rates
    ) -> tuple[Tensor | float, Tensor | float]:
        """As `inner`."""
        return self.inner.row(alpha, sigma, rates)

    def _require_solvable(self, open_: Tensor, alpha: Tensor, sigma: Tensor) -> None:
        pass


class Exported(nn.Module):
    """A denoiser as a function of tensors alone.

    Args:
        denoiser: Of a pipeline, on the CPU.
    """

    def __init__(self, denoiser: Denoiser):
        super().__init__()
        d = denoiser
        self.denoiser = Denoiser(
            d.net, d.schedule, Unchecked(d.parameterization), clock=d.clock, input_std=d.input_std,
            learn_variance=d.learn_variance, bounds=d.bounds,
        ).eval()  # fmt: skip

    def forward(self, x: Tensor, t: Tensor, cond: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Both ends of the line through `x`: `(x0, eps)` of x's shape.

        Args:
            x: States, `(B, ...)`.
            t: A time for each, `(B,)`.
            cond: Encoded conditions by name, each `(B, ...)`.
        """
        prediction = self.denoiser(x, t, **cond)
        return prediction.x0, prediction.eps


def export(pipeline: "Pipeline", folder: Path, kind: Kind) -> dict[str, Any]:
    """Write a pipeline's denoiser and its description into a new folder, all or nothing.

    Args:
        pipeline: The model; it is moved to the CPU.
        folder: Where to.
        kind: `onnx` needs demist[export]; `torch-export` is a `torch.export` archive.

    Returns:
        The description. Its `error` is the largest difference from the network's own answers, or
        None if there is no onnxruntime to run the program in.

    Raises:
        UsageError: There is no such kind, or the model has control networks.
        CannotCreateError: The folder exists.
        MissingError: A package is not installed.
        DemistError: The network cannot be exported, or what came out answers differently.
    """
    if kind not in ENDINGS:
        raise UsageError(f"kind = {kind!r}: choose one of {', '.join(ENDINGS)}")
    if pipeline.controls:
        raise UsageError(
            f"control networks are not written as {kind}, which holds one network; export the "
            f"model without them"
        )
    if kind == "onnx":
        require_packages("--format onnx", ("onnx", "onnxscript"), "export")
    pipeline = pipeline.to("cpu")
    exported = Exported(pipeline.denoiser)
    name = f"denoiser{ENDINGS[kind]}"
    with atomic_folder(folder) as temporary:
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, about itself
                write = _write_onnx if kind == "onnx" else _write_torch
                program = write(exported, _inputs(pipeline, 2), temporary / name)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            raise DemistError(
                f"this model cannot be exported as {kind}: {reason}; try the other of "
                f"{', '.join(ENDINGS)}"
            ) from error
        found = None if program is None else _difference(exported, _inputs(pipeline, 3), program)
        description = describe(pipeline, name, found)
        write_json(temporary / "denoiser.json", description)
        how = f"`{name}` is the denoiser, `denoiser.json` describes it: see docs/export.md."
        write_text(temporary / NAME, card(pipeline, f"{how}\n"))
    return description


def describe(pipeline: "Pipeline", file: str, error: float | None = None) -> dict[str, Any]:
    """What somebody needs to know who writes a sampler; see docs/export.md.

    Args:
        pipeline: The model.
        file: Name of the program beside.
        error: Its largest difference from the network.
    """
    d = pipeline.denoiser
    plan = pipeline.plan(1)
    alpha, sigma = d.schedule(plan.grid)
    top = _top_of(d)
    inputs = {
        "x": {"shape": ["B", *pipeline.state_shape], "dtype": "float32"},
        "t": {"shape": ["B"], "dtype": "float32", "range": [0.0, top]},
    }
    scheduler = model_folder.describe(pipeline)[model_folder.SCHEDULER]
    index = model_folder.describe(pipeline)[model_folder.INDEX]
    return {
        "file": file,
        "demist": __version__,
        "inputs": inputs | _conditions(pipeline),
        "outputs": {
            name: {"shape": ["B", *pipeline.state_shape], "dtype": "float32"}
            for name in ("x0", "eps")
        },
        "meaning": "x = alpha(t) x0 + sigma(t) eps; t = 1 is noise, t = 0 is data",
        "schedule": scheduler["schedule"],
        "parameterization": scheduler["parameterization"],
        "steps": {
            "t": plan.grid.tolist(),
            "alpha": alpha.expand_as(plan.grid).tolist(),
            "sigma": sigma.expand_as(plan.grid).tolist(),
        },
        "codec": index["codec"],
        "data_shape": list(pipeline.shape),
        "facts": dict(pipeline.facts),
        "error": error,
    }


def _top_of(denoiser: Denoiser) -> float:
    """The largest time at which the network's answer says what x0 and eps are."""
    for top in (1.0, 0.9999, 0.999, 0.99):
        t = torch.tensor(top, dtype=torch.float64)
        alpha, sigma = denoiser.schedule(t)
        a, b = denoiser.parameterization.row(alpha, sigma, partial(denoiser.schedule.rates, t))
        det = alpha * b - sigma * a
        if bool(torch.isfinite(det)) and float(det) != 0:
            return top
    return 0.99


def _conditions(pipeline: "Pipeline") -> dict[str, Any]:
    """The encoded conditions as inputs: shape, type, null, and the choices where there are any."""
    conditioner = pipeline.conditioner
    found: dict[str, Any] = {}
    for name, condition in conditioner.conditions.items():
        null = conditioner.encode_only(1, {name: None})
        choices = condition.choices
        chosen = conditioner.encode_only(len(choices), {name: list(choices)}) if choices else {}
        for key, value in null.items():
            found[key] = {
                "shape": ["B", *value.shape[1:]],
                "dtype": str(value.dtype).removeprefix("torch."),
            }
            if value.numel() <= WRITTEN_OUT:
                found[key]["null"] = value[0].tolist()
            if key in chosen and chosen[key].numel() <= WRITTEN_OUT:
                encoded = chosen[key].tolist()
                found[key]["choices"] = dict(zip(map(str, choices), encoded, strict=True))
    return found


def _inputs(pipeline: "Pipeline", n: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """States of noise at times in between, and no condition but the first choices, if any."""
    noise = torch.from_numpy(np.random.default_rng(n).standard_normal((n, *pipeline.state_shape)))
    values = {}
    for name, condition in pipeline.conditioner.conditions.items():
        if choices := condition.choices:
            values[name] = [choices[i % len(choices)] for i in range(n)]
    cond = pipeline.conditioner.encode(n, values)
    return noise.float(), torch.linspace(0.3, 0.7, n), {k: v.contiguous() for k, v in cond.items()}


Program = Callable[[Tensor, Tensor, dict[str, Tensor]], Any]
"""What was exported, where it runs: `(x, t, conditions) -> (x0, eps)`."""


def _write_torch(exported: Exported, inputs: tuple[Any, ...], path: Path) -> Program:
    program = torch.export.export(exported, inputs, dynamic_shapes=_dynamic(inputs))
    torch.export.save(program, path)
    module: Program = program.module()
    return module


def _write_onnx(exported: Exported, inputs: tuple[Any, ...], path: Path) -> Program | None:
    # Of a module, torch would take a mapping at the end of the inputs for keywords.
    traced = torch.export.export(exported, inputs, dynamic_shapes=_dynamic(inputs))
    traced = traced.run_decompositions({torch.ops.aten.hypot.default: _hypot})  # ONNX has none
    names = ["x", "t", *inputs[2]]
    program = torch.onnx.export(
        traced, dynamo=True, input_names=names, output_names=["x0", "eps"], verbose=False
    )
    assert program is not None
    program.save(path)
    return program if installed("onnxruntime") else None


def _hypot(a: Tensor, b: Tensor) -> Tensor:
    return (a * a + b * b).sqrt()


def _dynamic(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first axis of everything is the batch."""
    batch = torch.export.Dim("batch")
    return ({0: batch}, {0: batch}, {name: {0: batch} for name in inputs[2]})


def _difference(exported: Exported, inputs: tuple[Any, ...], program: Program) -> float:
    """The largest difference in a batch of another size, relative to the largest number.

    Raises:
        DemistError: It is too large.
    """
    with torch.no_grad():
        pairs = list(zip(exported(*inputs), program(*inputs), strict=True))
    off = max(float((a - b).abs().max() / a.abs().max().clamp(min=1)) for a, b in pairs)
    if not off <= TOLERANCE:
        raise DemistError(f"the exported program differs by {off:.1g} from the network")
    return off
