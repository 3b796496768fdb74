"""`demist convert`: a pickle of weights as safetensors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from demist.commands.shared import read


@dataclass(frozen=True)
class Options:
    """Read a .ckpt, .bin, .pt or .pth as data, running nothing of it, and write .safetensors."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """What torch.save wrote."""
    out: Annotated[Positional[Path], arg(metavar="OUT.safetensors")]
    """New file."""
    only: str | None = None
    """Dotted path of the dict to take, such as ema or state_dict. Default: the state_dict of a
    training checkpoint, else all there is."""
    force: bool = False
    """Replace OUT if it exists."""


def main(args: list[str]) -> None:
    """Convert, and say what was taken and what was left out."""
    options = read(Options, "convert", args)
    from demist.interop.convert import convert

    made = convert(options.file, options.out, only=options.only, replace=options.force)
    print(made.out)
    for sentence in made.sentences():
        print(sentence)
