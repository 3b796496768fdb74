"""Memory and time of opening a model of Stable Diffusion XL's form.

    python benchmarks/opening.py [--gb 2] [--rounds 3] [--stored fp32 fp16 bf16] [--dtype bf16]

A folder with random weights is written for each type of file, and each is opened in a process of
its own, turn by turn with reading its files as they are. Prints the peak of resident memory over
what `import torch` takes, as a multiple of the weights in the type asked for (at most 1.15 is asked
for), and the time as a multiple of that of reading (at most 2).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from demist.io.tensors import write_tensors
from demist.machine.precision import DTYPES
from demist.networks import published

VAE = {
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "scaling_factor": 0.13025,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
MEASURE = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
what, folder, dtype = sys.argv[1:]
files = sorted(Path(folder).rglob("*.safetensors"))
if what == "open":
    from demist import Pipeline
    from demist.interop import Reading
    begun = time.perf_counter()
    made = Pipeline.load(folder, Reading(dtype=dtype))
elif what == "read":
    begun = time.perf_counter()
    for path in files:
        path.read_bytes()
else:
    begun = time.perf_counter()
seconds = time.perf_counter() - begun
status = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([seconds, int(status["VmHWM"].split()[0]) * 1024]))
"""


def unet(gb):
    """A configuration whose weights take about `gb` GB in half precision."""
    unit, most = 1, 5.14  # of the true one, whose channels are five times 64
    while unit < 5 and most * ((unit + 0.5) / 5) ** 1.5 < gb:
        unit += 1
    return {
        "sample_size": 128, "block_out_channels": [64 * unit * k for k in (1, 2, 4)],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 10],
        "attention_head_dim": [unit, 2 * unit, 4 * unit],
        "cross_attention_dim": 2048, "use_linear_projection": True,
        "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    }  # fmt: skip


def write(folder, gb, dtype):
    """Write a model; how many numbers it has."""
    parts = {"unet": (published.UNet2DCondition, unet(gb)), "vae": (published.AutoencoderKL, VAE)}
    index = {"_class_name": "StableDiffusionXLPipeline"}
    for name in ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"):
        index[name] = ["transformers", "opened later"]
        (folder / name).mkdir(parents=True)
    (folder / "scheduler").mkdir()
    scheduler = {"_class_name": "EulerDiscreteScheduler"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    count = 0
    for name, (cls, config) in parts.items():
        index[name] = ["diffusers", cls.kind]
        with torch.device("meta"):
            net = cls.from_json(config, name)
        tensors = {
            key: torch.empty(value.shape, dtype=dtype).uniform_(-0.02, 0.02)
            for key, value in net.state_dict().items()
        }
        count += sum(value.numel() for value in tensors.values())
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps({"_class_name": cls.kind, **config}))
        write_tensors(folder / name / "diffusion_pytorch_model.safetensors", tensors)
    (folder / "model_index.json").write_text(json.dumps(index))
    return count


def measured(what, folder, dtype):
    """Seconds and peak in bytes, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, what, str(folder), dtype]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main():
    """Print one row for each type of file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stored", nargs="+", default=["fp32", "fp16", "bf16"])
    parser.add_argument("--dtype", default="bf16")
    options = parser.parse_args()
    print(
        "| file | weights, GB | peak / weights | open, s | read, s | open / read |\n|---|"
        + "---|" * 5
    )
    for stored in options.stored:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "model"
            size = write(folder, options.gb, DTYPES[stored]) * DTYPES[options.dtype].itemsize
            measured("read", folder, options.dtype)  # into the system's cache
            runs = [
                [measured(what, folder, options.dtype) for what in ("nothing", "open", "read")]
                for _ in range(options.rounds)
            ]
            base, opened, read = (
                [min(run[i][j] for run in runs) for j in range(2)] for i in range(3)
            )
            print(
                f"| {stored} | {size / 1e9:.2f} | {(opened[1] - base[1]) / size:.3f} | "
                f"{opened[0]:.2f} | {read[0]:.2f} | {opened[0] / read[0]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
