"""Which options a model decides that a run starts from."""

from demist.config.options import LatentsConfig, NetworkConfig, TrainConfig
from demist.config.toml import flat, update

OWN = (
    "start_from", "dropout", "text_width", "text_depth", "text_encoder", "image_encoder",
    "text_tower", "mid_positions",
)  # fmt: skip
"""Options of the network that are the run's own: they say how new conditions are read."""
DIFFUSION = ("schedule", "parameterization", "clock", "bounded")
"""What noise and predictions mean, which a network learned."""
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
    if spec is None and config.network.start_from is None:
        return config
    usual = flat(TrainConfig())
    return update(config, {name: usual[name] for name in (*BASE_DECIDES, "variance_steps")})
