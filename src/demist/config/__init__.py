"""All options of a training run, once: flags, TOML files and the Python API read them from here.

`options` holds them, `section` says what one is, `notation` how values are written, `toml` turns
them into text and back, `stages` divides them where a run trains one thing after another.
"""

from demist.config.command import training_command
from demist.config.notation import (
    DEFAULT_BUDGET,
    check_part,
    check_size,
    duration_text,
    nearest,
    parse_cadence,
    parse_duration,
    parse_evaluations,
    parse_list,
    parse_share,
    require_utf8,
)
from demist.config.options import (
    CODEC_KINDS,
    CODEC_WORDS,
    SECTION_OF,
    SECTIONS,
    CascadeConfig,
    DataConfig,
    DiffusionConfig,
    DistillationConfig,
    LatentsConfig,
    LimitsConfig,
    NetworkConfig,
    OptimizationConfig,
    OutputConfig,
    TrainConfig,
)
from demist.config.patches import patch_of
from demist.config.section import Section, option
from demist.config.stages import (
    AUTOENCODER,
    CODEC_ONLY,
    Stage,
    Stages,
    codec_first,
    divide,
)
from demist.config.starting import giving_way
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
    "AUTOENCODER",
    "CODEC_KINDS",
    "CODEC_ONLY",
    "CODEC_WORDS",
    "DEFAULT_BUDGET",
    "SECTIONS",
    "SECTION_OF",
    "CascadeConfig",
    "DataConfig",
    "DiffusionConfig",
    "DistillationConfig",
    "LatentsConfig",
    "LimitsConfig",
    "NetworkConfig",
    "OptimizationConfig",
    "OutputConfig",
    "Section",
    "Stage",
    "Stages",
    "TrainConfig",
    "check_part",
    "check_size",
    "codec_first",
    "differences",
    "divide",
    "duration_text",
    "flat",
    "giving_way",
    "load_toml",
    "nearest",
    "option",
    "parse_cadence",
    "parse_duration",
    "parse_evaluations",
    "parse_list",
    "parse_share",
    "parse_toml",
    "patch_of",
    "require_utf8",
    "stages",
    "to_toml",
    "toml_text",
    "training_command",
    "update",
]
