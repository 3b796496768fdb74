"""Elements of the studio in a page: a river to drag, a film to scrub, two pictures to compare.

The site shows them with the studio's own files. Elsewhere, as in a notebook or a program, there are
only the words, and how to open the same in the studio.
"""

import base64
import html
import io
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demist.course.figures import said
from demist.errors import UsageError
from demist.model.trace import Trace

ELEMENTS = ("river", "field", "filmstrip", "compare", "curve")
"""Those of `docs/site/live.js`; a filmstrip stands above its schedule."""


@dataclass(frozen=True)
class Live:
    """An element, what it shows, and words for those who cannot see it; a notebook shows it.

    Attributes:
        element: Its name.
        alt: What it shows, in a sentence.
        page: Page of the studio that opens with the same, as `river?data=2,8`; "": there is none.
        facts: What it shows, as JSON values.
    """

    element: str
    alt: str
    page: str
    facts: Mapping[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        facts = json.dumps(self.facts, allow_nan=False).replace("</", "<\\/")
        words = html.escape(self.alt)
        if self.page:
            words += f" In the studio: <code>{html.escape(_opens(self.page))}</code>"
        return (
            f'<figure class="live" data-live="{self.element}">'
            f'<script type="application/json">{facts}</script>'
            f"<figcaption>{words}</figcaption></figure>"
        )


def live(element: str, alt: str, *, page: str = "", **facts: Any) -> Live:
    """An element of the studio, to stand as the last line of a cell.

    Args:
        element: One of `ELEMENTS`.
        alt: What one sees and can do, in a sentence.
        page: Page of the studio that opens with the same, as `river?data=2,8`.
        facts: What it shows: for `river` and `field` values of the page's address and `controls`, a
            list of those that are offered; for `filmstrip` a `trace`; for `compare` `a` and `b`,
            images in bytes `(C, H, W)`, and `names` of both; for `curve` its data. Arrays,
            images and traces are written into the page.

    Raises:
        UsageError: There is no such element, or too few words.
    """
    if element not in ELEMENTS:
        raise UsageError(f"there is no element {element!r}; there are {', '.join(ELEMENTS)}")
    made = Live(element, said(alt), page, {name: _plain(value) for name, value in facts.items()})
    if page and "ipykernel" not in sys.modules:
        print(f"In the studio: {_opens(page)}")
    return made


def _opens(page: str) -> str:
    return f"demist studio --page '{page}'"


def _plain(value: Any) -> Any:
    """A value of JSON; a trace and an image as addresses that hold their bytes."""
    if isinstance(value, Trace):
        with tempfile.TemporaryDirectory() as folder:
            data = value.save(Path(folder) / "trace.safetensors").read_bytes()
        return _address(data, "application/octet-stream")
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        out = io.BytesIO()
        pixels = value.transpose(1, 2, 0)
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out, "png")
        return _address(out.getvalue(), "image/png")
    if isinstance(value, np.ndarray):
        return [float(f"{one:.6g}") for one in value.tolist()]
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _address(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
