"""The options of a run in its config.toml, under a line with the SHA-256 of all that follows.

So a change by hand is noticed: of a learning rate, for example, with which a run would go on as if
it had always been so. A file without that line is of an older version, or was accepted on purpose.
"""

import hashlib
import re
from pathlib import Path

from demist.config import TrainConfig, parse_toml, to_toml, toml_text
from demist.errors import DataError

_SUM = re.compile(r"# sha256 of the lines below: ([0-9a-f]{64})\n")


def config_text(config: TrainConfig) -> str:
    """What config.toml holds."""
    text = to_toml(config)
    return f"# sha256 of the lines below: {_sum(text)}\n{text}"


def read_options(path: Path, base: TrainConfig) -> TrainConfig:
    """The options in a run's config.toml, over `base`.

    Raises:
        MissingError: There is no such file.
        DataError: It was changed since it was written, or is not TOML.
        RefusedError: It is a pickle.
        UsageError: An option is unknown, or a value makes no sense.
    """
    text = toml_text(path)
    stated = _SUM.match(text)
    if stated and _sum(text[stated.end() :]) != stated[1]:
        raise DataError(
            f"{path} was changed by hand or is damaged; give a change as an option, such as "
            f"--resume RUN --lr 1e-4 --override lr, or remove its first line to accept the file"
        )
    return parse_toml(text, base, f"{path}: ")


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
