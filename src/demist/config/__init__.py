"""All options of a training run, once: flags, TOML files and the Python API read them from here.

`options` holds them, `notation` says how values are written, `toml` turns them into text and back.
"""

from demist.config.command import training_command
from demist.config.notation import (
    DEFAULT_BUDGET,
    check_size,
    nearest,
    parse_cadence,
    parse_duration,
    parse_evaluations,
    parse_list,
    require_utf8,
)
from demist.config.options import (
    SECTION_OF,
    SECTIONS,
    DataConfig,
    DiffusionConfig,
    DistillationConfig,
    LatentsConfig,
    LimitsConfig,
    NetworkConfig,
    OptimizationConfig,
    OutputConfig,
    Section,
    TrainConfig,
    option,
)
from demist.config.toml import (
    differences,
    flat,
    load_toml,
    parse_toml,
    to_toml,
    toml_text,
    update,
)

__all__ = [
    "DEFAULT_BUDGET",
    "SECTIONS",
    "SECTION_OF",
    "DataConfig",
    "DiffusionConfig",
    "DistillationConfig",
    "LatentsConfig",
    "LimitsConfig",
    "NetworkConfig",
    "OptimizationConfig",
    "OutputConfig",
    "Section",
    "TrainConfig",
    "check_size",
    "differences",
    "flat",
    "load_toml",
    "nearest",
    "option",
    "parse_cadence",
    "parse_duration",
    "parse_evaluations",
    "parse_list",
    "parse_toml",
    "require_utf8",
    "to_toml",
    "toml_text",
    "training_command",
    "update",
]
