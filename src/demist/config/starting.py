"""Which options a model decides that a run starts from."""

from pathlib import Path

from demist.config.options import LatentsConfig, NetworkConfig, TrainConfig
from demist.config.toml import flat, update
from demist.io.files import read_json

OWN = (
    "start_from", "dropout", "text_width", "text_depth", "text_encoder", "image_encoder",
    "text_tower", "mid_positions",
)  # fmt: skip
"""Options of the network that are the run's own: they say how new conditions are read."""
DIFFUSION = ("schedule", "parameterization", "clock", "bounded")
"""What noise and predictions mean, which a network learned."""
NO_PLACE = ("dropout", "text_encoder", "image_encoder", "text_tower")
"""Options for which a model of another maker has no place: it comes with its own."""
BASE_DECIDES = (
    *(name for name in vars(NetworkConfig()) if name not in OWN),
    *vars(LatentsConfig()),
    *DIFFUSION,
)


def giving_way(config: TrainConfig, spec: str | None) -> TrainConfig:
    """Options of a recipe for a run that starts from a model: what that decides is left open.

    Args:
        config: As the recipe has them.
        spec: The model; None: nothing changes.
    """
    spec = spec or config.network.start_from
    if spec is None:
        return config
    names = (*BASE_DECIDES, "variance_steps", *(NO_PLACE if _is_foreign(Path(spec)) else ()))
    usual = flat(TrainConfig())
    return update(config, {name: usual[name] for name in names})


def _is_foreign(place: Path) -> bool:
    """Whether it is a file of weights, or a folder with the index of another maker."""
    index = place / "model_index.json"
    if not index.is_file():
        return place.is_file()
    return "_demist_version" not in read_json(index)
