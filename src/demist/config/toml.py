"""Options as text and as flat dictionaries: TOML files, updates by name, differences."""

import json
import reprlib
import tomllib
import types
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from demist.config.notation import nearest, require_utf8
from demist.config.options import SECTION_OF, SECTIONS, TrainConfig
from demist.errors import DataError, MissingError, StorageError, UsageError
from demist.io.untrusted import read_small, refuse_pickle
from demist.parts import spec_of


def flat(config: TrainConfig) -> dict[str, Any]:
    """All options as one dictionary, in the order of declaration."""
    return {key: value for section in asdict(config).values() for key, value in section.items()}


def update(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """Return `config` with some options replaced: `update(config, {"size": 32, "lr": 3e-4})`.

    A part may be an object, also of a class of your own: `{"schedule": SlowStart(3)}`; and a
    network its class.

    Raises:
        UsageError: An option does not exist (the nearest is named) or its value is out of range.
    """
    for key in values:
        if key not in SECTION_OF:
            raise UsageError(f"there is no option {key!r}{nearest(key, SECTION_OF)}")
    nested: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        nested.setdefault(SECTION_OF[key], {})[key] = spec_of(value)
    return _overlay(config, nested, "option ")


def load_toml(path: str | Path, base: TrainConfig | None = None) -> TrainConfig:
    """Read a TOML file over `base`; what the file does not mention stays as in `base`.

    `"none"` stands for None, which TOML lacks.

    Raises:
        MissingError: There is no such file.
        DataError: The file is not TOML.
        RefusedError: It is a pickle.
        UsageError: A key is unknown or a value is of the wrong type or out of range.
    """
    return parse_toml(toml_text(path), base, f"{path}: ")


def toml_text(path: str | Path) -> str:
    """The text of a TOML file.

    Raises:
        MissingError: There is no such file.
        DataError: It is no text, or not TOML.
        RefusedError: It is a pickle.
        StorageError: It cannot be read.
    """
    data = b""
    try:
        data = read_small(path)
        text = data.decode()
        tomllib.loads(text)
        return text
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise MissingError(f"there is no configuration file {str(path)!r}") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        refuse_pickle(data[:256], path)
        raise DataError(f"{path} is not a text file in UTF-8: {error}") from None
    except (ValueError, RecursionError) as error:
        refuse_pickle(data[:256], path)
        raise DataError(f"{path} is not valid TOML: {error}") from None


def parse_toml(text: str, base: TrainConfig | None = None, where: str = "") -> TrainConfig:
    """`load_toml` for text in memory, which is TOML; `where` begins every error message."""
    nested = tomllib.loads(text)
    for section, values in nested.items():
        if section in SECTION_OF and section not in SECTIONS:
            raise UsageError(f"{where}{section!r} belongs in the section [{SECTION_OF[section]}]")
        if section not in SECTIONS:
            raise UsageError(f"{where}there is no section [{section}]{nearest(section, SECTIONS)}")
        if not isinstance(values, dict):
            raise UsageError(f"{where}{section!r} is a section: write [{section}] on its own line")
        for key in values:
            if SECTION_OF.get(key) == section:
                continue
            hint = (
                f"; it belongs in [{SECTION_OF[key]}]"
                if key in SECTION_OF
                else nearest(key, SECTION_OF)
            )
            raise UsageError(f"{where}there is no key {key!r} in [{section}]{hint}")
    return _overlay(base or TrainConfig(), nested, where)


def to_toml(config: TrainConfig) -> str:
    """Every option as TOML, None as `"none"`; `parse_toml` gives back an equal config."""
    import tomli_w

    nested = {
        section: {key: "none" if value is None else value for key, value in values.items()}
        for section, values in asdict(config).items()
    }
    return tomli_w.dumps(nested)


def differences(old: TrainConfig, new: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Options that differ, as name -> (old, new)."""
    before, after = flat(old), flat(new)
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def _overlay(base: TrainConfig, nested: dict[str, dict[str, Any]], where: str) -> TrainConfig:
    from pydantic import TypeAdapter, ValidationError

    changed: dict[str, Any] = {}
    for section, values in nested.items():
        cls = SECTIONS[section]
        optional = {
            k for k, hint in get_type_hints(cls).items() if types.NoneType in get_args(hint)
        }
        values = {k: None if v == "none" and k in optional else v for k, v in values.items()}
        merged = asdict(getattr(base, section)) | values
        try:
            # Strict, through JSON: a list is a tuple and 1 is 1.0, but "1" and True are not 1.
            text = json.dumps(merged, default=str)
            for key, value in values.items():
                require_utf8(key, value)
            changed[section] = TypeAdapter(cls).validate_json(text, strict=True)
        except ValidationError as error:
            place = error.errors()[0]["loc"]
            key = str(place[0]) if place else next(iter(values))
            problem = error.errors()[0]["msg"]
            problem = problem[0].lower() + problem[1:]
            raise UsageError(f"{where}{key} = {reprlib.repr(merged[key])}: {problem}") from None
        except UsageError as error:
            raise UsageError(f"{where}{error}") from None
    return replace(base, **changed)
