"""A check of the whole way from the device to the page: noise that clears, step by step."""

import io
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from demist.errors import UsageError
from demist.io import files
from demist.studio.telling import Tell


@dataclass(frozen=True)
class Settings:
    """Watch a disc come out of noise, by the exact straight line between the two."""

    steps: int = 20
    """How many steps."""
    pause: float = 0.0
    """Seconds to wait in each."""
    side: int = 64
    """Height and width in pixels."""
    seed: int = 0
    """Of the noise."""


def run(settings: Settings, folder: Path, tell: Tell) -> None:
    """Draw every step as `preview.png`, and the last as `picture.png`.

    Raises:
        UsageError: A setting makes no sense.
    """
    within = 1 <= settings.steps <= 100_000 and 8 <= settings.side <= 10**7
    if not within or not 0 <= settings.pause <= 60:
        raise UsageError("steps are 1 to 100000, side 8 to 10000000, pause between 0 and 60 s")
    draw = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn(settings.side, settings.side, generator=draw)
    line = torch.linspace(-1, 1, settings.side)
    disc = torch.where(line[:, None] ** 2 + line[None] ** 2 < 0.5, 1.0, -1.0)
    for step in range(1, settings.steps + 1):
        t = 1 - step / settings.steps
        at = time.monotonic()
        pixels = ((1 - t) * disc + t * noise).clamp(-1, 1).add(1).mul(127.5).round().byte().numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        tell.preview("preview.png", file.getvalue(), at)
        time.sleep(settings.pause)
        tell.step(step, settings.steps, t=round(t, 6))
    files.write_bytes(folder / "picture.png", file.getvalue())
