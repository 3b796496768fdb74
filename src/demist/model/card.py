"""The page that goes with a model: `README.md`, made from its facts, and never over a person's.

Its last line holds the SHA-256 of what stands before it. A page whose last line is right is ours
and may be made anew; any other was edited by somebody, and stays.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist.io.files import write_text
from demist.model.feeders import stages_of
from demist.model.fits import settled
from demist.networks import Network

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

NAME = "README.md"
TABLE = "## How good it is\n"
"""Where the table of an evaluation begins; nothing comes after it."""
_MARK = re.compile(r"<!-- made by demist, sha256 ([0-9a-f]{64}) -->\n?\Z")
_LONGEST = 2**20  # bytes; no page is longer
_SHOWN = 30
"""Classes that are listed."""


def card(
    pipeline: "Pipeline",
    how: str | None = None,
    *,
    place: str = "FOLDER",
    samples: str | None = None,
    table: str = "",
) -> str:
    """The page of a model.

    Args:
        pipeline: The model. Of its facts, `license` goes to the head of the page, if somebody put
            it there.
        how: What is said of its use; None: how it is opened and sampled.
        place: What is written there for the place of the model.
        samples: An image beside the page.
        table: Of an evaluation.
    """
    facts = pipeline.facts
    trained = facts.get("trained", {})
    trained = trained if isinstance(trained, Mapping) else {}
    parts = [
        _head(pipeline),
        f"# {_plain(facts['maker'])}\n"
        if "maker" in facts
        else f"# A diffusion model of {_plain(facts.get('data') or 'unnamed data')}\n",
        _rows(pipeline, trained),
    ]
    if trained.get("data"):
        parts.append(f"## Data\n\n{trained['data']}\n")
    if trained.get("command"):
        parts.append(f"## Trained by\n\n```\n{trained['command']}\n```\n")
    if samples:
        parts.append(f"## Samples\n\n![Samples]({samples})\n")
    parts.append(f"## Use\n\n{_use(pipeline, place) if how is None else how}")
    if table:
        parts.append(f"{TABLE}\n{table}")
    return marked("\n".join(parts))


def marked(text: str) -> str:
    """A page with the line that says that it is ours."""
    text = text.rstrip("\n") + "\n\n"
    return f"{text}<!-- made by demist, sha256 {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def edited(folder: Path) -> str | None:
    """The page in a folder, if a person wrote or changed it."""
    path = folder / NAME
    if not path.is_file() or path.stat().st_size > _LONGEST:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    found = _MARK.search(text)
    ours = found and hashlib.sha256(text[: found.start()].encode()).hexdigest() == found[1]
    return None if ours else text


def table_in(folder: Path) -> str:
    """The table of an evaluation in the page in a folder; "" if there is none."""
    path = folder / NAME
    if not path.is_file() or edited(folder) is not None:
        return ""
    return _MARK.sub("", path.read_text(encoding="utf-8")).partition(TABLE)[2].strip("\n")


def add_table(folder: Path, table: str) -> bool:
    """Put the table of an evaluation into the page in a folder, in place of the one before.

    Returns:
        Whether it was done: not if there is no page, or a person's.
    """
    path = folder / NAME
    if not path.is_file() or edited(folder) is not None:
        return False
    text = _MARK.sub("", path.read_text(encoding="utf-8")).partition(TABLE)[0]
    write_text(path, marked(f"{text}{TABLE}\n{table}"))
    return True


def _head(pipeline: "Pipeline") -> str:
    """What the hub of Hugging Face reads."""
    net = pipeline.denoiser.net
    kinds = net.kinds if isinstance(net, Network) else ()
    conditions = pipeline.conditioner.conditions.values()
    lines = [f"library_name: {'diffusers' if pipeline.origin else 'demist'}"]
    if "images" in kinds:
        by_text = any(c.short == "prompt" for c in conditions)
        lines.append(
            f"pipeline_tag: {'text-to-image' if by_text else 'unconditional-image-generation'}"
        )
    lines += ["tags:", "- diffusion", "- demist", *(f"- {kind}" for kind in kinds)]
    if isinstance(licence := pipeline.facts.get("license"), str):
        lines.append(f"license: {_plain(licence)}")
    return "\n".join(["---", *lines, "---\n"])


def _rows(pipeline: "Pipeline", trained: Mapping[str, Any]) -> str:
    d, facts = pipeline.denoiser, pipeline.facts
    count = sum(p.numel() for p in d.net.parameters())
    how = settled(pipeline, pipeline.defaults)
    rows = {
        "makes": f"{' x '.join(map(str, pipeline.shape))} each",
        "learned from": f"{facts['items']:,} samples" if "items" in facts else None,
        "network": f"{type(d.net).__name__}, {count:,} parameters",
        "schedule, prediction": f"{type(d.schedule).__name__}, {type(d.parameterization).__name__}",
        "trained for": _span(facts, trained),
        "usual sampling": f"{how.steps} steps of {how.solver}, guidance {how.guidance:g}",
        "few steps": f"fitted for {pipeline.fits}" if pipeline.fits else None,
        "data's fingerprint": facts.get("fingerprint"),
        "stages before it": ", ".join(
            f"`{name}`, {' x '.join(map(str, stage.shape))}"
            for name, stage in stages_of(pipeline).items()
        ),
        "last steps": pipeline.refinement and f"by a refiner, from {pipeline.refinement.start:g}",
    }
    for name, c in pipeline.conditioner.conditions.items():
        listed = ", ".join(_plain(choice) for choice in c.choices[:_SHOWN])
        more = f" and {len(c.choices) - _SHOWN} more" if len(c.choices) > _SHOWN else ""
        rows[f"condition `{name}`"] = f"{type(c).__name__.lower()} {listed}{more}".rstrip()
    lines = [f"| {key} | {value} |" for key, value in rows.items() if value]
    return "\n".join(["| | |", "|---|---|", *lines]) + "\n"


def _span(facts: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    steps = [f"{facts['step']:,} steps"] if "step" in facts else []
    seconds = [f"{trained['seconds']:,} seconds"] if "seconds" in trained else []
    return ", ".join(steps + seconds)


def _use(pipeline: "Pipeline", place: str) -> str:
    """How to sample, from Python and from the command line."""
    python, typed = [""], [""]
    for name, c in pipeline.conditioner.conditions.items():
        if c.short == "prompt":
            python.append(f'{name}="..."')
            typed.append('--prompt "..."')
        elif c.choices:
            value = str(c.choices[0])
            python.append(f"{name}={value!r}")
            short = "--class" if pipeline.conditioner.called("class") == name else f"--cond {name}="
            typed.append(f"{short}{'' if short.endswith('=') else ' '}{_quoted(value)}")
    return f"""```python
from demist import Pipeline

pipeline = Pipeline.load("{place}")  # where this page is
samples = pipeline.sample(16{", ".join(python)})
```

```
demist sample {place}{" ".join(typed)}
```
"""


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w.-]+", value) else f"'{value}'"


def _plain(value: Any) -> str:
    """A word of somebody's data, in one line of a table."""
    return " ".join(str(value).replace("|", "\\|").split())[:80]
