"""`demist export`: the denoiser of a model for other programs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from demist.commands.sampling import ModelOptions
from demist.commands.shared import read


@dataclass(frozen=True)
class Options:
    """Write a model for other programs: its denoiser alone, or a published model whole."""

    model: Annotated[Positional[str], arg(metavar="RUN|FOLDER")]
    """A run (number, name, path or `latest`), or a saved model's folder."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """New folder: for denoiser.onnx (or .pt2) and denoiser.json, or for the whole model; a new file
    with single."""
    format: Literal["onnx", "torch-export", "diffusers", "single", "comfy"] = "onnx"
    """onnx, which needs demist[export]; torch-export; diffusers, for published models and those of
    the networks unet2d and sd; or for published models and sd single (one file, as A1111 and
    ComfyUI read it) or comfy (the parts that ComfyUI reads)."""
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)


def main(args: list[str]) -> None:
    """Export, and say how exact it is."""
    options = read(Options, "export", args)
    pipeline = options.source.open(options.model)
    if options.format != "onnx" and options.format != "torch-export":
        print(pipeline.save_published(options.out, options.format))
        return
    made = pipeline.export(options.out, options.format)
    exact = made["error"]
    print(options.out / made["file"])
    print(options.out / "denoiser.json")
    print(
        "not compared with the network: onnxruntime is not installed"
        if exact is None
        else f"differs from the network by {exact:.1g} at most"
    )
