"""The options of a run as the command that asks for them again."""

import shlex
from pathlib import Path

from demist.config.options import OutputConfig, TrainConfig
from demist.config.toml import differences

MACHINE = {"device", "threads", "patience", "compile", "auto_microbatch", "parallel"}
"""Options that say where a run is made, and not what it learns."""


def training_command(config: TrainConfig) -> str:
    """`demist train` with every option that differs from its default and decides what is learned.

    Of the data's place only the name is written: folders of one's machine are nobody's affair.
    """
    path = config.data.path
    words = ["demist", "train", path if path.startswith("hf:") else Path(path).name or path]
    for name, (_, value) in differences(TrainConfig(), config).items():
        if name in MACHINE or name == "path" or name in vars(OutputConfig()):
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += [flag, *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return shlex.join(words)
