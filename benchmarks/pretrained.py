"""Published models: how near we are to diffusers, and how fast beside it.

    python benchmarks/pretrained.py [--out FOLDER]

Needs diffusers, transformers, tokenizers, sentencepiece and peft, which are no dependencies of
demist. Differences are those of the tests of parity (tiny networks with random weights, the same
start, five steps), which are run with their numbers written down. Times are of one call of the
denoising network, ours and diffusers', on the same weights, in turn. Writes `pretrained.md`.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import diffusers
import torch
import transformers
from torch import Tensor

from demist import Pipeline
from demist.interop.weights import NETWORKS
from demist.samplers import make_grid

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests" / "interop"

SD = {
    "sample_size": 32, "block_out_channels": (64, 128, 256), "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 256, "attention_head_dim": 8,
}  # fmt: skip
SD3 = {
    "sample_size": 32, "in_channels": 16, "out_channels": 16, "num_layers": 6,
    "attention_head_dim": 64, "num_attention_heads": 4, "joint_attention_dim": 256,
    "caption_projection_dim": 256, "pooled_projection_dim": 128, "pos_embed_max_size": 32,
}  # fmt: skip
ROUNDS = 15


def differences() -> list[tuple[str, int, float]]:
    """Test, number of comparisons, largest difference in standard deviations of the latents."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        files = sorted(map(str, TESTS.glob("test_*parity*.py")))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
        done = subprocess.run(command, env={**os.environ, "DEMIST_PARITY_LOG": str(log)})
        if done.returncode:
            sys.exit("a test of parity fails: there is nothing to record")
        found: dict[str, list[float]] = {}
        for line in log.read_text().splitlines():
            name, value = line.rsplit(" ", 1)
            found.setdefault(name.rpartition("/")[2], []).append(float(value))
    return [(name, len(values), max(values)) for name, values in sorted(found.items())]


def cases() -> list[tuple[str, torch.nn.Module, dict[str, torch.Tensor], dict[str, str]]]:
    """Name, network of diffusers, arguments beside state and time, their names in ours."""
    torch.manual_seed(0)
    tokens, pooled = torch.randn(2, 77, 256), torch.randn(2, 128)
    states = {"encoder_hidden_states": "states"}
    both = {**states, "pooled_projections": "pooled"}
    return [
        ("UNet2DConditionModel", diffusers.UNet2DConditionModel(**SD),
         {"encoder_hidden_states": tokens}, states),
        ("SD3Transformer2DModel", diffusers.SD3Transformer2DModel(**SD3),
         {"encoder_hidden_states": tokens, "pooled_projections": pooled}, both),
    ]  # fmt: skip


def times() -> list[tuple[str, int, float, float, float]]:
    """Name, parameters, milliseconds of a call theirs and ours, ratio: medians, in turn."""
    rows = []
    for name, theirs, given, names in cases():
        config = {"_class_name": name, **dict(theirs.config)}
        ours = NETWORKS[name].from_json(config, name)
        ours.load_state_dict(theirs.state_dict())
        theirs.eval(), ours.eval()
        x, t = torch.randn(2, theirs.config["in_channels"], 32, 32), torch.full((2,), 500.0)
        kept = {names[key]: value for key, value in given.items()}

        def call_theirs(x=x, t=t, given=given, theirs=theirs):
            return theirs(x, timestep=t, return_dict=False, **given)[0]

        def call_ours(x=x, t=t, kept=kept, ours=ours):
            return ours(x, t, **kept)

        spent: dict[str, list[float]] = {"theirs": [], "ours": []}
        with torch.no_grad():
            torch.testing.assert_close(call_ours(), call_theirs(), atol=1e-4, rtol=1e-4)
            for _ in range(ROUNDS):
                for who, call in (("theirs", call_theirs), ("ours", call_ours)):
                    begun = time.perf_counter()
                    call()
                    spent[who].append(1000 * (time.perf_counter() - begun))
        ratio = statistics.median(
            b / a for a, b in zip(spent["theirs"], spent["ours"], strict=True)
        )
        count = sum(p.numel() for p in ours.parameters())
        medians = (statistics.median(spent[who]) for who in ("theirs", "ours"))
        rows.append((name, count, *medians, ratio))
    return rows


PUBLISHED = {
    "StableDiffusion": [
        ("DDIM", {}, 1), ("PNDM", {"skip_prk_steps": True}, 1), ("EulerDiscrete", {}, 1),
        ("HeunDiscrete", {}, 2), ("LMSDiscrete", {}, 1), ("DPMSolverMultistep", {}, 1),
        ("DPMSolverMultistep", {"use_karras_sigmas": True}, 1), ("UniPCMultistep", {}, 1),
    ],
    "StableDiffusion3": [
        ("FlowMatchEulerDiscrete", {}, 1), ("FlowMatchEulerDiscrete", {"shift": 3.0}, 1),
    ],
}  # fmt: skip
"""Model -> class of its scheduler without the word, options, evaluations a step."""
OURS = ("adams", "deis", "dpmpp-2m", "unipc", "heun", "ddim")
BUDGETS = (6, 10, 20, 40)
N = 4
"""Samples."""


def tiny(kind: str, folder: Path) -> Path:
    """A tiny model with random weights, saved by diffusers."""
    sys.path.insert(0, str(TESTS.parent))
    from interop import test_interop_parity as parity  # tests that know how to make one

    torch.manual_seed(0)
    tokens = parity.tokenizer(folder / "tokens")
    vae = parity.drawn(diffusers.AutoencoderKL(**parity.VAE))
    if kind == "StableDiffusion":
        net = parity.drawn(diffusers.UNet2DConditionModel(**parity.SD))
        text = parity.encoder(transformers.CLIPTextModel, 12)
        made = diffusers.StableDiffusionPipeline(
            vae, text, tokens, net, diffusers.DDIMScheduler(**parity.PATH), None, None,
            requires_safety_checker=False,
        )  # fmt: skip
    else:
        cls = transformers.CLIPTextModelWithProjection
        made = diffusers.StableDiffusion3Pipeline(
            parity.drawn(diffusers.SD3Transformer2DModel(**parity.SD3)),
            diffusers.FlowMatchEulerDiscreteScheduler(), vae, parity.encoder(cls, 12, 12), tokens,
            parity.encoder(cls, 16, 10), tokens, None, None,
        )  # fmt: skip
    made.save_pretrained(folder / "m")
    return folder / "m"


def error(
    pipeline: Pipeline, steps: int, known: dict[tuple[float, str], Tensor], **how: str
) -> float:
    """Distance of the latents from the solution of 500 steps from the same start, in deviations.

    Args:
        pipeline: The model.
        steps: How many are taken.
        known: Solutions by their start, which are added to.
        how: The solver.
    """
    plan = pipeline.plan(N, steps=steps, text="a cat", guidance=1.0, **how)
    first, *_, last = plan.states()
    start = float(plan.grid[0])
    key = start, hashlib.sha256(first.x.numpy().tobytes()).hexdigest()
    if key not in known:
        grid = make_grid("angular", 500, pipeline.denoiser.schedule, start).tolist()
        *_, end = pipeline.plan(
            N, solver="adams", grid=grid, init=first.x, text="a cat", guidance=1.0, start=start
        ).states()
        known[key] = end.x
    return float((last.x - known[key]).square().mean().sqrt() / known[key].std())


def solvers() -> list[str]:
    """Rows of the table: model, sampler, error at each budget."""
    rows = []
    for kind, theirs in PUBLISHED.items():
        with tempfile.TemporaryDirectory() as place:
            folder = tiny(kind, Path(place))
            file = folder / "scheduler" / "scheduler_config.json"
            config = json.loads(file.read_text())
            found: list[tuple[str, list[float]]] = []
            known: Known = {}
            for name, options, each in theirs:
                changed = {"_class_name": f"{name}Scheduler", "timestep_spacing": "trailing"}
                file.write_text(json.dumps({**config, **changed, "steps_offset": 0, **options}))
                pipeline = Pipeline.load(folder)
                words = ", ".join(f"{key}={value}" for key, value in options.items())
                text = f"diffusers' {name}" + (f" ({words})" if words else "")
                errors = [error(pipeline, n // each, known, solver="published") for n in BUDGETS]
                found.append((text, errors))
            for name in OURS:
                each = 2 if name == "heun" else 1
                errors = [error(pipeline, n // each, known, solver=name) for n in BUDGETS]
                found.append((f"demist's {name}", errors))
            rows += [
                f"| {kind} | {name} | " + " | ".join(f"{e:.1e}" for e in errors) + " |"
                for name, errors in found
            ]
    return rows


PAGE = """# Published models beside diffusers

`python benchmarks/pretrained.py`; {machine}.

## The same latents

Largest difference of the latents after five steps, in their standard deviations. Tiny networks with
random weights, the same start, prompts and guidance; each row is a test.

| test | comparisons | largest difference |
|---|---|---|
{near}

## Time of a call of the network

Two states of 32 x 32, fp32; medians of {rounds} calls in turn; the ratio is the median of
the ratios of neighbours, demist to diffusers.

| network | parameters | diffusers, ms | demist, ms | ratio |
|---|---|---|---|---|
{speed}

## Solvers

Distance of the latents from the solution of the same ODE by 500 steps from the same start, in their
standard deviations, with at most so many evaluations; tiny networks with random weights, 4 samples,
no guidance. Times of theirs are spaced "trailing", which begins at the last step of training.

| model | sampler | 6 | 10 | 20 | 40 |
|---|---|---|---|---|---|
{solvers}
"""


def machine() -> str:
    """What the figures are from."""
    with open("/proc/cpuinfo") as file:
        names = [line.partition(": ")[2].strip() for line in file if line.startswith("model name")]
    return (
        f"{names[0]}, one thread; Python {platform.python_version()}, torch {torch.__version__}, "
        f"diffusers {diffusers.__version__}; {datetime.date.today()}"
    )


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    speed = [
        f"| {name} | {count:,} | {a:.1f} | {b:.1f} | {r:.2f} |" for name, count, a, b, r in times()
    ]
    near = [f"| `{name}` | {count} | {value:.1e} |" for name, count, value in differences()]
    page = PAGE.format(
        machine=machine(), near="\n".join(near), speed="\n".join(speed), rounds=ROUNDS,
        solvers="\n".join(solvers()),
    )  # fmt: skip
    (out / "pretrained.md").write_text(page)
    print(out / "pretrained.md")


if __name__ == "__main__":
    main()
