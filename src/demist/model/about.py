"""What a model is, in a line and in a table of a notebook."""

from html import escape
from typing import TYPE_CHECKING

from demist.model.feeders import stages_of

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


def line(pipeline: "Pipeline") -> str:
    """What it is, in one line."""
    net = pipeline.denoiser.net
    known = ", ".join(pipeline.conditioner.conditions) or "no condition"
    count = sum(p.numel() for p in net.parameters())
    what = " x ".join(map(str, pipeline.shape))
    after = "".join(f" after {name}" for name in reversed(stages_of(pipeline)))
    return f"<Pipeline: {what}, {known}; {type(net).__name__} of {count:,} parameters{after}>"


def table(pipeline: "Pipeline") -> str:
    """The same in HTML, with how it is sampled and where it comes from."""
    stages = stages_of(pipeline)
    rows = {
        "makes": " x ".join(map(str, pipeline.shape)),
        "conditions": ", ".join(pipeline.conditioner.conditions) or "none",
        "network": type(pipeline.denoiser.net).__name__,
        **({"stages": ", ".join([*stages, "itself"])} if stages else {}),
        **pipeline.defaults.given(),
        **{key: pipeline.facts[key] for key in ("data", "step") if key in pipeline.facts},
    }
    cells = (
        f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>"
        for key, value in rows.items()
    )
    return f"<table>{''.join(cells)}</table>"
