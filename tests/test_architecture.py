"""The house rules that a machine can check: who imports whom, and what nobody does."""

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "demist"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}

LEAVES = {"errors", "version", "parts", "io", "machine", "scenes"}
"""Small utilities that any room may use."""

MATH = {"core", "samplers", "guidance", "objectives"}
MODEL = MATH | {
    "formats", "networks", "codecs", "conditions", "config", "runs", "interop", "model", "zoo",
}  # fmt: skip
DATA = {"data", "evaluation", "modalities", "drawing"}

MAY_IMPORT = {
    "errors": set(),
    "version": set(),
    "parts": set(),
    "io": set(),
    "machine": set(),
    "scenes": set(),
    "config": set(),
    "core": set(),
    "samplers": {"core"},
    "guidance": {"core"},
    "objectives": {"core", "samplers"},
    "inverse": {"core", "samplers", "guidance"},
    "networks": set(),
    "codecs": set(),
    "conditions": {"networks"},
    "data": set(),
    "evaluation": {"data"},
    "drawing": {"runs"},
    "zoo": set(),
    "formats": set(),
    "runs": {"config"},
    "interop": {"core", "formats", "networks", "codecs", "conditions", "samplers"},
    "model": MODEL,
    "editing": MODEL | DATA | {"inverse", "measuring"},
    "modalities": MODEL | DATA,
    "training": MODEL | DATA,
    "measuring": MODEL | DATA | {"training"},
    "recipes": {"config", "modalities"},
    "studio": MODEL | DATA | {"inverse", "editing", "training", "measuring", "recipes"},
    "course": MODEL | DATA,
    "commands": MODEL
    | DATA
    | {
        "course",
        "inverse",
        "editing",
        "training",
        "measuring",
        "recipes",
        "studio",
    },
    "cli": {"commands"},
    "__main__": {"cli"},
    "__init__": MODEL | DATA | {"inverse", "editing", "training", "measuring"},
}
"""Room -> rooms it may know, besides itself and the leaves."""

ONLY_TORCH = {
    "core", "samplers", "guidance", "objectives", "inverse", "networks", "codecs", "conditions",
}  # fmt: skip
MATHEMATICS = {"torch", "numpy", "jaxtyping", "typing_extensions"}
OPTIONAL = {"conditions": {"tokenizers", "transformers"}, "samplers": {"scipy"}}
"""Room -> optional packages that it imports where they are used, and not before."""

LAZY = {
    "commands/bulk.py": 2,
    "commands/classifier.py": 2,
    "commands/convert.py": 1,
    "commands/demo.py": 2,
    "commands/doctor.py": 1,
    "commands/edit.py": 1,
    "commands/evaluate.py": 1,
    "commands/make_pairs.py": 1,
    "commands/pack.py": 1,
    "commands/learn.py": 1,
    "commands/push.py": 1,
    "commands/restore.py": 1,
    "commands/sample.py": 3,
    "commands/sampling.py": 2,
    "commands/studio.py": 1,
    "commands/trace.py": 2,
    "commands/train.py": 1,
    "conditions/states.py": 1,
    "conditions/text.py": 1,
    "config/toml.py": 2,
    "data/images/tables.py": 1,
    "data/images/decode.py": 1,
    "data/readers/arrow.py": 1,
    "data/sounds/decode.py": 2,
    "data/readers/scenes.py": 2,
    "drawing/curves.py": 1,
    "evaluation/extractors/pretrained.py": 1,
    "io/hub.py": 1,
    "measuring/on_ray.py": 1,
    "samplers/grids/in_time.py": 1,
    "training/sharding.py": 1,
    "training/trackers/mlflow.py": 1,
    "training/trackers/tensorboard.py": 1,
    "training/trackers/trackio.py": 1,
    "training/trackers/wandb.py": 1,
}
"""Imports inside functions, file by file: optional packages, workers of commands, and few more."""

BANNED_MODULES = {
    "pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml",
    "runpy", "code", "codeop", "pty", "commands", "xmlrpc", "webdataset",
}  # fmt: skip
BANNED_CALLS = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile",
    "builtins.__import__", "importlib.__import__", "pydoc.locate", "torch.load", "torch.save",
    "torch.jit.load", "torch.export.load", "torch.hub.load", "torch.serialization.load",
    "torch.serialization.save", "torch.utils.cpp_extension.load", "pandas.read_pickle",
    "pandas.eval", "os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.execvpe",
    "os.spawnv", "os.spawnvp", "os.posix_spawn", "subprocess.getoutput",
    "subprocess.getstatusoutput", "time.time", "time.time_ns", "time.localtime", "time.gmtime",
}  # fmt: skip
"""Ways to run what a file says; and clocks that jump, which no timer may use."""
BANNED_KEYWORDS = {"shell", "allow_pickle", "trust_remote_code"}
TIME_OF_DAY = {"runs/run.py": "now", "commands/ls.py": "age"}
"""The functions that may ask for it: what they give is only ever shown."""


def room(path):
    """`core` for src/demist/core/noise.py, `runs` for src/demist/runs.py."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports(path, tree):
    """(line, absolute module name) of every import, at any depth in the file."""
    inside = path.relative_to(SOURCE).parts[:-1] if path.is_relative_to(SOURCE) else ()
    package = ("demist", *inside)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{name}.{alias.name}" if name == "demist" else name


def wrong_imports(path, tree):
    here = room(path)
    allowed = MAY_IMPORT.get(here, set()) | LEAVES | {here}
    return [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for line, name in imports(path, tree)
        if name.startswith("demist.")
        and (there := name.split(".")[1]) not in allowed
        and not there.startswith("__")
    ]


def module_of(path):
    """`demist.core.noise` for src/demist/core/noise.py, `demist.core` for its __init__.py."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(("demist", *parts)).removesuffix(".__init__")


def outside_functions(tree):
    """The import statements that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield from outside_functions(node)


def graph(trees):
    """Module -> modules that importing it imports: those it names, and the faces above them."""
    files = {module_of(path): path for path in trees}
    known = {}
    for module, path in files.items():
        inside = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
        names = set()
        for node in outside_functions(trees[path]):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            else:
                base = inside[: len(inside) + 1 - node.level] if node.level else []
                name = ".".join([*base, *([node.module] if node.module else [])])
                names |= {name} | {f"{name}.{alias.name}" for alias in node.names}
        above = {name.rsplit(".", i)[0] for name in names for i in range(name.count("."))}
        faces = {module.rsplit(".", i)[0] for i in range(module.count(".") + 1)}
        known[module] = above & set(files) - faces - {"demist"}
    return known


def circles(known):
    """Groups of names of which each leads to all others of the group, each group sorted."""
    reach = {name: {name} for name in known}
    grown = True
    while grown:
        grown = False
        for name, to in reach.items():
            wider = to.union(*(known.get(other, ()) for other in to))
            if wider != to:
                reach[name], grown = wider, True
    groups = {tuple(sorted(o for o in reach[name] if name in reach.get(o, ()))) for name in known}
    return sorted(list(group) for group in groups if len(group) > 1)


def lazy(tree):
    """What is imported inside functions, one name for each statement."""
    at_the_top = set(outside_functions(tree))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    return sorted(
        node.names[0].name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in at_the_top | for_types
    )


def foreign_imports(path, tree):
    if room(path) not in ONLY_TORCH:
        return []
    known = MATHEMATICS | {"demist"} | sys.stdlib_module_names | OPTIONAL.get(room(path), set())
    if path.name == "config.py":
        known |= {"pydantic"}  # checks what files say
    return [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for line, name in imports(path, tree)
        if name.split(".")[0] not in known
    ]


def true_names(tree):
    """What names stand for: {"t": "torch", "read": "torch.load"}."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def dangers(path, tree):
    where = path.relative_to(SOURCE) if path.is_relative_to(SOURCE) else path.name
    found = [
        f"{where}:{line} imports {name}"
        for line, name in imports(path, tree)
        if name.split(".")[0] in BANNED_MODULES
    ]
    known = true_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, dot, rest = ast.unparse(node.func).partition(".")
        name = known.get(first, first) + dot + rest
        if name in BANNED_CALLS:
            found.append(f"{where}:{node.lineno} calls {name}")
        if name.endswith("import_module") and not of_this_package(node.args[0]):
            found.append(f"{where}:{node.lineno} imports a module that others name")
        said = {keyword.arg for keyword in node.keywords}
        if name.endswith(".from_pretrained") and "trust_remote_code" not in said:
            found.append(f"{where}:{node.lineno} does not refuse code beside weights")
        found += [
            f"{where}:{node.lineno} passes {keyword.arg}"
            for keyword in node.keywords
            if keyword.arg in BANNED_KEYWORDS and ast.unparse(keyword.value) != "False"
        ]
    return found


def times_of_day(path, tree):
    """Calls of `now` on a date, but for those that are meant for people."""
    where = str(path.relative_to(SOURCE))
    allowed = {
        node
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef) and f.name == TIME_OF_DAY.get(where)
        for node in ast.walk(f)
    }
    return [
        f"{where}:{node.lineno} asks for the time of day"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("datetime.now", "date.today", "datetime.utcnow"))
        and node not in allowed
    ]


def of_this_package(argument):
    """Whether a module name is written out at least up to `demist.`."""
    first = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
    return isinstance(first, ast.Constant) and str(first.value).startswith("demist.")


MAY_COUNT_AXES = (
    "core/", "samplers/", "guidance/", "objectives/",  # broadcasting over states of any shape
    "inverse/",
    "networks/", "codecs/", "conditions/",  # each checks its own tensors
    "data/readers/", "data/images/", # what the format of a file says of an array
    "io/headers.py", "io/weights.py", "io/pickles/",
    "modalities/",
)  # fmt: skip
"""Rooms that may ask how many axes an array has; all others ask the modality."""


def questions_of_axes(path, tree):
    """Where a file asks for `x.ndim`, `x.dim()`, `np.ndim(x)` or `len(x.shape)`."""
    where = path.relative_to(SOURCE).as_posix()
    if where.startswith(MAY_COUNT_AXES):
        return []
    found = []
    for node in ast.walk(tree):
        text = ast.unparse(node) if isinstance(node, ast.Call | ast.Attribute) else ""
        if isinstance(node, ast.Attribute):
            asks = node.attr == "ndim"
        elif isinstance(node, ast.Call):
            asks = text.endswith(".dim()") or (text.startswith("len(") and text.endswith("shape)"))
        else:
            asks = False
        if asks:
            found.append(f"{where}:{node.lineno} counts axes: {text}; ask demist.modalities")
    return found


NAMES_OF_CONDITIONS = {
    "networks/conditioning.py": 2,  # the name that parameters of saved networks have
    "training/conditions.py": 2,  # the kind of a column, which is called text as well
}
"""How often a file says "label" or "text"; to `data` they are columns of people's files."""


def names_of_conditions(tree):
    """How often a condition is named, instead of asked what it is."""
    values = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return sum(value in ("label", "text") for value in values if isinstance(value, str))


def test_nobody_else_names_conditions():
    found = {
        path.relative_to(SOURCE).as_posix(): names_of_conditions(tree)
        for path, tree in TREES.items()
        if room(path) not in {"conditions", "modalities", "data", "interop"}
    }
    assert {file: count for file, count in found.items() if count} == NAMES_OF_CONDITIONS
    assert names_of_conditions(ast.parse("known['label'], known.get('text'), 'labels'")) == 2


def test_every_room_has_its_directions():
    assert {room(path) for path in FILES} <= set(MAY_IMPORT)


def test_nothing_is_imported_in_a_circle():
    """Neither among rooms nor among modules, what packages import in their faces included."""
    modules = graph(TREES)
    rooms = {}
    for module, known in modules.items():
        here = rooms.setdefault(".".join(module.split(".")[:2]), set())
        here.update(".".join(name.split(".")[:2]) for name in known)
    rooms = {name: known - {name} for name, known in rooms.items()}
    assert circles(rooms) == []
    assert circles(modules) == []


def test_circles_are_seen_through_faces():
    code = {
        "core/__init__.py": "from demist.core.noise import Noise",
        "core/noise.py": "from demist.data.table import Table",
        "data/__init__.py": "from demist.data import load",
        "data/load.py": "def f():\n    import demist.samplers\nfrom demist.core import left",
        "data/table.py": "import torch",
        "samplers/__init__.py": "import demist.data",
    }
    trees = {SOURCE / place: ast.parse(text) for place, text in code.items()}
    assert circles(graph(trees)) == [
        ["demist.core", "demist.core.noise", "demist.data", "demist.data.load"]
    ]


def test_lazy_imports_are_few_and_known():
    """An import inside a function is for what is heavy or optional, and hides a dependency.

    A command imports its worker in one line. Whoever removes one shortens the list.
    """
    found = {str(path.relative_to(SOURCE)): lazy(TREES[path]) for path in FILES}
    counts = {place: len(names) for place, names in found.items() if names}
    assert counts == LAZY, "import at the top of the file, or count it in LAZY"
    assert sum(LAZY.values()) <= 45


@pytest.mark.parametrize(
    "check", [wrong_imports, foreign_imports, dangers, times_of_day, questions_of_axes]
)
def test_the_tree_is_clean(check):
    assert len(FILES) > 20
    assert [problem for path, tree in TREES.items() for problem in check(path, tree)] == []


@pytest.mark.parametrize(
    ("check", "place", "code"),
    [
        (wrong_imports, "core/x.py", "from demist.samplers import DDIM"),
        (wrong_imports, "core/x.py", "from ..samplers.ddim import DDIM"),
        (wrong_imports, "core/x.py", "import demist.training.fit"),
        (wrong_imports, "samplers/x.py", "def f():\n    from demist.guidance import CFG"),
        (wrong_imports, "networks/x.py", "from demist.core import left"),
        (wrong_imports, "objectives/deep/x.py", "from ...training import fit"),
        (wrong_imports, "data/x.py", "from demist import config"),
        (wrong_imports, "recipes/x.py", "from demist.commands import train"),
        (wrong_imports, "training/x.py", "def f():\n    from demist.commands import train"),
        (wrong_imports, "garden/x.py", "from demist.core import left"),
        (questions_of_axes, "training/x.py", "images = data.x.ndim == 4"),
        (questions_of_axes, "commands/x.py", "if len(pipeline.shape) == 3:\n    pass"),
        (questions_of_axes, "model/x.py", "n = len(shape)"),
        (questions_of_axes, "data/load.py", "np.ndim(x)"),
        (questions_of_axes, "drawing/x.py", "x.dim() == 2"),
        (foreign_imports, "core/x.py", "import sklearn.mixture"),
        (foreign_imports, "networks/x.py", "from PIL import Image"),
        (dangers, "data/x.py", "import pickle"),
        (dangers, "data/x.py", "from yaml import load"),
        (dangers, "data/x.py", "torch.load(path, weights_only=True)"),
        (dangers, "data/x.py", "np.load(path, allow_pickle=True)"),
        (dangers, "data/x.py", "np.load(path, allow_pickle=flag)"),
        (dangers, "cli.py", "subprocess.run(text, shell=True)"),
        (dangers, "cli.py", "eval('1')"),
        (dangers, "cli.py", "importlib.import_module(name)"),
        (dangers, "cli.py", "from importlib import import_module\nimport_module(name)"),
        (dangers, "data/x.py", "import torch as t\nt.load(path)"),
        (dangers, "data/x.py", "from torch import load as read\nread(path)"),
        (dangers, "data/x.py", "import builtins\nbuiltins.exec(text)"),
        (dangers, "data/x.py", "def f():\n    import _pickle"),
        (dangers, "data/x.py", "torch.jit.load(path)"),
        (dangers, "data/x.py", "torch.export.load(path)"),
        (dangers, "data/x.py", "from os import system\nsystem(text)"),
        (dangers, "data/x.py", "AutoModel.from_pretrained(x, use_safetensors=True)"),
        (dangers, "data/x.py", "AutoModel.from_pretrained(x, trust_remote_code=None)"),
        (dangers, "training/x.py", "import time\nbegun = time.time()"),
        (dangers, "training/x.py", "from time import time\nbegun = time()"),
        (times_of_day, "training/x.py", "from datetime import datetime\ndatetime.now(UTC)"),
        (times_of_day, "runs/run.py", "import datetime\ndef other(): datetime.datetime.now()"),
        (dangers, "cli.py", "importlib.import_module(f'{name}.x')"),
    ],
)
def test_the_checks_see(check, place, code):
    assert len(check(SOURCE / place, ast.parse(code))) == 1


@pytest.mark.parametrize(
    ("check", "place", "code"),
    [
        (wrong_imports, "samplers/x.py", "from demist.core import left\nfrom . import ddim"),
        (wrong_imports, "commands/x.py", "from demist.training import fit"),
        (wrong_imports, "data/x.py", "from demist import __version__, errors"),
        (foreign_imports, "core/x.py", "import math, torch\nfrom jaxtyping import Float"),
        (dangers, "data/x.py", "np.load(path, allow_pickle=False)\nmodel.eval()"),
        (dangers, "data/x.py", "AutoModel.from_pretrained(x, trust_remote_code=False)"),
        (dangers, "data/x.py", "from json import load\nload(file), time.monotonic()"),
        (times_of_day, "runs/run.py", "import datetime\ndef now(): datetime.datetime.now()"),
        (dangers, "cli.py", "importlib.import_module(f'demist.commands.{name}')"),
    ],
)
def test_the_checks_let_pass(check, place, code):
    assert check(SOURCE / place, ast.parse(code)) == []


def test_tensors_and_json_have_one_door():
    """Files of tensors are read with our checks only, and JSON files are written in one way."""
    readers = [p for p, tree in TREES.items() for _, name in imports(p, tree)
               if name.split(".")[0] == "safetensors"]  # fmt: skip
    assert readers == []
    writers = {p.name for p in FILES if "json.dumps(" in (t := p.read_text()) and "indent=" in t}
    assert writers <= {"files.py"}


def test_sampling_loads_no_training():
    loaded = modules_after("import demist.commands.sample, demist.model.noisy_classifier")
    assert not [name for name in loaded if name.startswith("demist.training")]


def test_nothing_beside_the_package_is_dangerous_either():
    """Benchmarks may import peers by name, and have them read what the benchmark just wrote."""
    root = SOURCE.parents[1]
    files = [
        p for place in ("examples", "benchmarks", "scripts") for p in (root / place).rglob("*.py")
    ]
    found = [problem for f in files for problem in dangers(f, ast.parse(f.read_text()))]
    peers = ("others name", "code beside weights")
    assert [problem for problem in found if not problem.endswith(peers)] == []


def modules_after(code):
    """Names of all modules loaded by `code` in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_package_costs_nothing():
    loaded = modules_after("import demist")
    assert not loaded & {"torch", "numpy", "PIL", "pydantic", "tyro", "matplotlib"}


def test_importing_everything_costs_no_more_than_torch():
    """No heavy or optional package is loaded before it is needed."""
    names = [
        ".".join(("demist", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for path in FILES
        if path.name != "__main__.py"
    ]
    loaded = modules_after("\n".join(f"import {name}" for name in names))
    assert not loaded & {
        "matplotlib",
        "scipy",
        "sklearn",
        "pandas",
        "transformers",
        "tensorboard",
        "tokenizers",
        "datasets",
        "huggingface_hub",
        "ray",
    }


def test_help_is_quick_and_free_of_torch():
    code = "from demist.cli import main; main(['--help'])"
    assert not modules_after(code) & {"torch", "numpy", "PIL"}
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "demist", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.3  # of processor time, since other work may keep the clock running


def test_files_of_tests_have_names_of_their_own():
    """Two of one name in different folders cannot be collected in one run."""
    names = [path.name for path in sorted(Path(__file__).parent.rglob("test_*.py"))]
    assert [name for name in names if names.count(name) > 1] == []
