"""Films and filmstrips of traces: what a sampling went through, drawn as its kind of data is."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from demist.drawing import FILMS, FORMATS, animation, format_of, save_image
from demist.drawing.grid import INK, PAPER
from demist.errors import UsageError
from demist.measuring.pages import read_image as read_image
from demist.modalities import MODALITIES, Modality
from demist.modalities.kinds import of_shape
from demist.model.recording import resumed as resumed
from demist.model.trace import Trace
from demist.model.values import typed_conditions as typed_conditions

STRIP = 10
"""Moments in a strip, at most."""
SIDE = 360
"""Pixels that one of the two pictures of a film has at least, enlarged by whole numbers."""
NAMES = ("x_t", "predicted x0")


def require_ending(out: Path) -> None:
    """Raise UsageError, before any work, if neither a film nor an image has this ending."""
    if out.suffix.lower() not in FILMS:
        format_of(out, FORMATS)


def write(trace: Trace, out: Path, fps: float = 12) -> str:
    """Write a film (`.gif`, `.webp`) or a strip (other endings), and say what it shows.

    Args:
        trace: What was written down.
        out: Where to.
        fps: Frames per second of a film.

    Raises:
        UsageError: The ending is of neither, or the data cannot be drawn.
        DataError: The trace is of a model in latents and holds no looks.
    """
    if out.suffix.lower() in FILMS:
        frames = film(trace)
        animation(frames, out, fps)
        return f"{len(frames)} frames: the noisy state beside the data predicted from it"
    steps = moments(trace.steps)
    save_image(strip(trace, steps), out, dict(trace.facts))
    return f"the states after {', '.join(map(str, steps))} steps, and what was predicted there"


def line(trace: Trace) -> str:
    """What a trace is, in one line."""
    how, branches = trace.facts["sampling"], trace.facts.get("branches", ())
    after = f", gone on from step {branches[-1]['step']} of another" if branches else ""
    return (
        f"{trace.n} samples over {trace.steps} steps by {how.get('solver')}{after}; the last step "
        f"changed the prediction by {float(trace.changes()[-1:].mean()):.2g} (root mean square)"
    )


def film(trace: Trace) -> list[Image.Image]:
    """One page for each state: on the left x_t, on the right the x0 predicted from it."""
    both = [_pages(trace, which, range(trace.steps + 1)) for which in ("x", "x0")]
    grow = max(1, SIDE // max(both[0][0].size))
    width, height = (side * grow for side in both[0][0].size)
    font, line, gap = ImageFont.load_default(15), 26, 16
    frames = []
    for k, pair in enumerate(zip(*both, strict=True)):
        page = Image.new("RGB", (2 * width + 3 * gap, height + 2 * line + gap), PAPER)
        draw = ImageDraw.Draw(page)
        for i, (name, picture) in enumerate(zip(NAMES, pair, strict=True)):
            left = gap + i * (width + gap)
            page.paste(picture.resize((width, height), Image.Resampling.NEAREST), (left, line))
            draw.text((left, line / 2), name, INK, font, anchor="lm")
        draw.text((gap, line + height + gap), said(trace, k), INK, font, anchor="lm")
        frames.append(page)
    return frames


def strip(trace: Trace, steps: Sequence[int]) -> Image.Image:
    """Two rows, x_t above and the x0 predicted from it below; a column for each of `steps`."""
    both = [_pages(trace, which, steps) for which in ("x", "x0")]
    width, height = both[0][0].size
    font, line, gap, left = ImageFont.load_default(13), 22, 8, 92
    size = (left + len(steps) * (width + gap), line + 2 * (height + gap))
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    for row, name in enumerate(NAMES):
        top = line + row * (height + gap)
        draw.text((left - gap, top + height / 2), name, INK, font, anchor="rm")
        for column, k in enumerate(steps):
            at = left + column * (width + gap)
            page.paste(both[row][column], (at, top))
            if row == 0:
                draw.text((at + width / 2, line / 2), str(k), INK, font, anchor="mm")
    return page


def moments(steps: int, most: int = STRIP) -> list[int]:
    """At most so many numbers of steps, from 0 to all, as evenly spread as they go."""
    count = min(most, steps + 1)
    return sorted({round(i * steps / (count - 1)) for i in range(count)})


def said(trace: Trace, k: int) -> str:
    """Where a state lies, in words."""
    t, snr = float(trace.times[k]), float(trace.log_snr[k])
    return f"step {k} of {trace.steps},  t = {t:.3f},  log-SNR = {snr:.2f}"


def _pages(trace: Trace, which: str, steps: Sequence[int]) -> list[Image.Image]:
    modality: Modality = MODALITIES.make(trace.kind) if trace.kind else of_shape(trace.shape)
    if not modality.drawable(trace.shape):
        raise UsageError(f"{modality.name} of shape {trace.shape} cannot be drawn")
    return modality.film([trace.look(which, k) for k in steps])
