"""Mutants of other makers' files: each is refused in one sentence, or read as what it says.

    python tests/faults/published.py [MUTANTS] [SEED]

A folder of Stable Diffusion, a single file of it, a ControlNet, a LoRA, a GGUF file and a file of
torch.save are damaged as in `hostile.py`; in headers of safetensors files names, types and shapes
are changed, and names of tensors exchanged. Then they are opened, each within seconds and without
taking much memory. Such files name no sums, so what they say is believed if it makes sense. Prints
counts as JSON, and exits 1 after an internal error, a hang, or a file that was touched.
"""

import json
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import torch
from hostile import Hang, command, limited
from mutants import damage, retype

sys.path.insert(0, str(Path(__file__).parents[1]))

from demist.errors import DemistError
from demist.interop import read_control
from demist.interop.adapters import LowRank, write_lora
from demist.interop.single import write_single
from demist.io.headers import header_of
from demist.io.tensors import write_tensors
from demist.io.weights import open_tensors
from demist.model import Pipeline
from demist.networks import published
from interop import test_single_files as single_files  # which know how to make one

UNET = {
    "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 8,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 12, "attention_head_dim": 2,
}  # fmt: skip
VAE = {
    "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
}  # fmt: skip
CONTROL = {k: v for k, v in UNET.items() if k not in ("up_block_types", "sample_size")}
MEMORY = 2**31
"""Bytes above what the process takes when it begins."""
LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def network(folder, cls, options):
    torch.manual_seed(1)
    net = cls.from_json(options, "here")
    write_json(folder / "config.json", {"_class_name": net.kind, **options})
    write_tensors(folder / "diffusion_pytorch_model.safetensors", net.state_dict())


def stable_diffusion(folder):
    names = ("text_encoder", "tokenizer", "vae", "unet")
    index = {"_class_name": "StableDiffusionPipeline", **{n: ["diffusers", "x"] for n in names}}
    write_json(folder / "model_index.json", index)
    for name in names[:2]:
        write_json(folder / name / "config.json", {"architectures": ["CLIPTextModel"]})
    write_json(folder / "scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"})
    network(folder / "vae", published.AutoencoderKL, VAE)
    network(folder / "unet", published.UNet2DCondition, UNET)


def open_model(place, width=12):
    """Load, predict and decode once; the prompt's states are given."""
    model = Pipeline.load(place)
    x = torch.linspace(-1, 1, int(np.prod(model.state_shape))).reshape(1, *model.state_shape)
    with torch.no_grad():
        model.denoiser(x, torch.tensor(0.5).double(), text=torch.ones(1, 4, width))
        model.decode(x)


def single(folder):
    """A model in one file, text encoder included."""
    source, networks, texts = single_files.model("sd1", folder / "m")
    write_single(folder / "x.safetensors", "single", source, networks, texts, print)
    shutil.rmtree(folder / "m")


def open_single(place):
    open_model(place / "x.safetensors", 16)
    command("show", str(place / "x.safetensors"))


def control(folder):
    network(folder, published.ControlNet, CONTROL)


def open_control(place):
    read_control(place)


def lora(folder):
    stable_diffusion(folder / "model")
    ones = torch.ones(2, 8), torch.ones(8, 2)
    layers = {f"unet.{LAYER}": LowRank(*ones, alpha=1.0)}
    for form in ("diffusers", "kohya"):
        write_lora(folder / f"{form}.safetensors", layers, form)


def open_lora(place):
    model = Pipeline.load(place / "model")
    for form in ("diffusers", "kohya"):
        model.with_lora(place / f"{form}.safetensors", 0.5)


def gguf(folder):
    """Two tensors, one of them in blocks of eight bits."""
    folder.mkdir(parents=True)
    name = [struct.pack("<Q", len(n)) + n for n in (b"a.weight", b"b.weight")]
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 1)
    key = struct.pack("<Q", 1) + b"k" + struct.pack("<II", 4, 7)
    first = name[0] + struct.pack("<IQQIQ", 2, 32, 2, 8, 0)
    second = name[1] + struct.pack("<IQIQ", 1, 8, 0, 96)
    whole = head + key + first + second
    whole += bytes(-len(whole) % 32) + bytes(range(68)) + bytes(28) + bytes(32)
    (folder / "x.gguf").write_bytes(whole)


def open_gguf(place):
    header_of(place / "x.gguf")
    file = open_tensors(place / "x.gguf")
    for name in file.shapes:
        file.read(name)


def pickled(folder):
    folder.mkdir(parents=True)
    torch.manual_seed(2)
    state = {"state_dict": {"a": torch.randn(8, 9), "b": torch.ones(3).half()}, "epoch": 3}
    torch.save(state, folder / "x.ckpt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)


def open_pickled(place):
    for name in ("x.ckpt", "old.pt"):
        code, said = command("convert", str(place / name), str(place / "out.safetensors"))
        (place / "out.safetensors").unlink(missing_ok=True)
        if code:
            raise DemistError(said)


SUBJECTS = {
    "folder": (stable_diffusion, open_model, 3),
    "single": (single, open_single, 3),
    "control": (control, open_control, 1),
    "lora": (lora, open_lora, 2),
    "gguf": (gguf, open_gguf, 1),
    "pickle": (pickled, open_pickled, 2),
}
"""Name -> what makes it, what opens it, its share of the cases."""


def change_header(file, rng):
    """One place of a safetensors header is another value, or two tensors exchange their names."""
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    names = [name for name in header if name != "__metadata__"]
    if rng.random() < 0.3 and len(names) > 1:
        a, b = rng.choice(names, 2, replace=False)
        header[a], header[b] = header[b], header[a]
    else:
        header = retype(header, rng)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    return f"header {file.name}"


def main(count=600, seed=0):
    """Damage so many files; what happened, as a dictionary."""
    rng, begun = np.random.default_rng(seed), time.monotonic()
    facts = dict.fromkeys(("refused", "read", "internal", "hangs"), 0)
    with tempfile.TemporaryDirectory() as place:
        for name, (make, call, _) in SUBJECTS.items():
            make(Path(place, name))
            call(Path(place, name))
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
        shares = np.array([share for *_, share in SUBJECTS.values()], float)
        for case in range(count):
            name = str(rng.choice(list(SUBJECTS), p=shares / shares.sum()))
            here = Path(place, "here")
            shutil.copytree(Path(place, name), here)
            files = [path for path in sorted(here.rglob("*")) if path.is_file()]
            tensors = [path for path in files if path.suffix == ".safetensors"]
            if tensors and rng.random() < 0.4:
                what = change_header(tensors[int(rng.integers(len(tensors)))], rng)
            else:
                what, _ = damage(files, rng)
            try:
                with limited():
                    SUBJECTS[name][1](here)
                facts["read"] += 1
            except DemistError:
                facts["refused"] += 1
            except Hang:
                facts["hangs"] += 1
                print(f"case {case}, {name}: {what}: hangs", file=sys.stderr)
            except Exception as error:
                facts["internal"] += 1
                kind = type(error).__name__
                print(f"case {case}, {name}: {what}: {kind}: {error}"[:300], file=sys.stderr)
                if "-v" in sys.argv:
                    traceback.print_exc()
            shutil.rmtree(here)
        facts["trapped"] = int(Path("trapped").exists())
    return facts | {"count": count, "seconds": round(time.monotonic() - begun, 1)}


if __name__ == "__main__":
    result = main(*(int(word) for word in sys.argv[1:] if word != "-v"))
    print(json.dumps(result))
    sys.exit(any(result[key] for key in ("internal", "hangs", "trapped")))
