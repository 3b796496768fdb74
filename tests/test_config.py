import subprocess
import sys
from dataclasses import fields, replace

import pytest

from demist.config import (
    SECTION_OF,
    SECTIONS,
    LimitsConfig,
    OptimizationConfig,
    TrainConfig,
    differences,
    flat,
    load_toml,
    parse_cadence,
    parse_duration,
    parse_toml,
    to_toml,
    update,
)
from demist.errors import DataError, MissingError, UsageError

DEFAULT = TrainConfig()


def test_names_are_unique_across_sections():
    names = [f.name for cls in SECTIONS.values() for f in fields(cls)]
    assert len(names) == len(set(names)) == len(SECTION_OF) == len(flat(DEFAULT))


def test_every_option_has_a_line_of_help():
    import ast
    import inspect

    import demist.config

    for cls in ast.parse(inspect.getsource(demist.config)).body:
        if (
            isinstance(cls, ast.ClassDef)
            and cls.name.endswith("Config")
            and cls.name[:5] != "Train"
        ):
            body = cls.body[1:]
            for here, following in zip(body[::2], body[1::2], strict=True):
                assert isinstance(here, ast.AnnAssign)
                assert isinstance(following, ast.Expr), f"{here.target.id} has no help"
                assert following.value.value.strip()[-1] == "."


def test_import_is_light():
    code = "import demist.config, sys; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


CHANGED = {
    "path": 'my pictures/ä "quoted"',
    "size": 32,
    "labels": False,
    "channels_per_level": (32, 64),
    "attention_levels": (),
    "schedule": "vp:beta_max=12.5",
    "lr": 3e-4,
    "seed": 2**60 + 1,
    "budget": "1h30m",
    "log_every": "7",
}


@pytest.mark.parametrize("config", [DEFAULT, update(DEFAULT, CHANGED)])
def test_toml_round_trip_is_exact(config):
    text = to_toml(config)
    assert parse_toml(text) == config
    # Every key is written, so the base does not matter.
    assert parse_toml(text, update(DEFAULT, {"steps": 5, "size": 64, "budget": "3s"})) == config


def test_file_overlays_the_base(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[optimization]\nlr = 1\n\n[limits]\nbudget = "none"\nsteps = 7\n')
    base = update(DEFAULT, {"budget": "5m", "batch_size": 3})
    config = load_toml(path, base)
    assert config.optimization == replace(base.optimization, lr=1.0)
    assert isinstance(config.optimization.lr, float)
    assert config.limits == LimitsConfig(steps=7)
    assert differences(base, config) == {
        "lr": (2e-3, 1.0),
        "budget": ("5m", None),
        "steps": (None, 7),
    }


@pytest.mark.parametrize(
    "text, words",
    [
        ("[data]\nsise = 3", ["'sise'", "[data]", "did you mean 'size'"]),
        ("[data]\nlr = 3", ["'lr'", "belongs in [optimization]"]),
        ("size = 3", ["'size'", "[data]"]),
        ("[dta]\nsize = 3", ["[dta]", "did you mean 'data'"]),
        ("data = 3", ["[data]"]),
        ("[data]\nsize = 'x'", ["size = 'x'", "integer"]),
        ("[data]\nsize = true", ["size = True", "integer"]),
        ("[data]\nsize = 3.5", ["size = 3.5", "integer"]),
        ("[data]\nsize = 2", ["size = 2", "at least 4"]),
        ("[data]\nlabels = 1", ["labels = 1", "boolean"]),
        ("[data]\nlabel_drop = 1.5", ["label_drop = 1.5", "at most 1"]),
        ("[data]\npath = 'none'\nlabels = 'none'", ["labels = 'none'"]),
        ("[network]\nchannels_per_level = [32, 1]", ["(32, 1)", "at least 4"]),
        ("[optimization]\nlr = nan", ["lr = nan"]),
        ("[optimization]\nlr = inf", ["lr = inf", "at most 10"]),
        ("[optimization]\nlr = 1979-05-27", ["lr", "number"]),
        ("[optimization]\ndecay = 'cos'", ["'cos'", "'cosine', 'linear' or 'constant'"]),
        ("[diffusion]\nschedule = 'cosin:x=1'", ["'cosin:x=1'", "did you mean 'cosine'"]),
        ("[diffusion]\nschedule = 'vp:beta'", ["'beta'", "name=value"]),
        ("[limits]\nbudget = '5 apples'", ["budget = '5 apples'", "90s, 5m or 1h30m"]),
        ("[output]\nsave_every = '0'", ["save_every = '0'"]),
    ],
)
def test_mistakes_are_named(text, words, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_toml(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_files_that_are_none(tmp_path):
    with pytest.raises(MissingError, match="no configuration file"):
        load_toml(tmp_path / "absent.toml")
    with pytest.raises(MissingError):
        load_toml(tmp_path)
    (tmp_path / "a").write_text("[[[")
    with pytest.raises(DataError, match="not valid TOML"):
        load_toml(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        load_toml(tmp_path / "b")


def test_update():
    config = update(DEFAULT, {"size": 32, "lr": 3e-4})
    assert (config.data.size, config.optimization.lr) == (32, 3e-4)
    assert config.network == DEFAULT.network
    with pytest.raises(UsageError, match=r"no option 'batchsize'.*did you mean 'batch_size'"):
        update(DEFAULT, {"batchsize": 3})
    with pytest.raises(UsageError, match="option size = 1: must be at least 4"):
        update(DEFAULT, {"size": 1})


def test_sections_check_themselves():
    with pytest.raises(UsageError, match=r"beta2 = 1\.0: must be at most"):
        OptimizationConfig(beta2=1.0)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90s", 90),
        ("90", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("2d", 172800),
        ("1d2h3m4.5s", 93784.5),
        (" 5M ", 300),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-5m", "5x", "m", "5m1h", "1e3s", "inf", "nan"])
def test_not_durations(text):
    with pytest.raises(UsageError, match="not a duration"):
        parse_duration(text)


def test_cadence_and_component():
    assert parse_cadence("500") == (500, None)
    assert parse_cadence("500s") == (None, 500.0)
