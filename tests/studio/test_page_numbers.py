"""The mathematics of the page, in node where there is one; the browser test asks for all of it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import page_numbers
import pytest
import torch

from demist.core import (
    CLOCKS,
    PARAMETERIZATIONS,
    SCHEDULES,
    AngleClock,
    Cosine,
    Denoiser,
    V,
    make_schedule,
)
from demist.data.readers import toy
from demist.editing import Sheet
from demist.editing.masks import of_states
from demist.errors import UsageError
from demist.io.tensors import read_metadata, read_tensors
from demist.networks import MLP
from demist.samplers import GRIDS, SOLVERS, settled
from demist.studio import learned_score
from demist.studio.app import PAGE
from demist.studio.jobs import learn_points
from demist.studio.telling import Tell


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the modules that node takes for modules."""
    if shutil.which("node") is None:
        pytest.skip("needs node; make browser compares the same numbers in Chromium")
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(PAGE / "lib", folder / "lib")
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def run(node: Path, code: str, value: object) -> object:
    """The result of the JavaScript function `code` for `value`."""
    program = (
        "import {readFileSync} from 'node:fs';"
        f"const f = {code}; const v = JSON.parse(readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(await f(v)));"
    )
    command = ["node", "--input-type=module", "-e", program]
    done = subprocess.run(
        command, input=json.dumps(value), capture_output=True, text=True, check=False, cwd=node
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_node_walks_the_library_s_trajectories(node: Path) -> None:
    asked = [
        *page_numbers.cases(("vp",), page_numbers.SOLVERS, ("own",), [7]),
        *page_numbers.cases(page_numbers.SCHEDULES, ("adams",), ("own",), [5]),
        *page_numbers.cases(("linear",), ("ddim",), page_numbers.GRIDS, [3]),
    ]
    questions, expected = (list(part) for part in zip(*asked, strict=True))
    answers = run(node, page_numbers.JAVASCRIPT, {"base": node.as_uri(), "cases": questions})
    assert isinstance(answers, list)
    assert page_numbers.furthest(answers, expected) < 1e-9


def test_the_page_s_names_are_the_library_s(node: Path) -> None:
    names = run(
        node,
        """async ({base}) => {
          const at = (name) => import(`${base}/lib/diffusion/${name}.js`);
          const s = await at('solvers');
          return {schedules: (await at('schedules')).SCHEDULES, grids: (await at('grids')).GRIDS,
            solvers: [...s.ODE, ...s.SDE], usual: [1, 10, 11, 100].map(s.usual)};
        }""",
        {"base": node.as_uri()},
    )
    assert isinstance(names, dict)
    for family, kind in ((SCHEDULES, "schedules"), (GRIDS, "grids"), (SOLVERS, "solvers")):
        for name in names[kind]:
            assert name in family.names(), name
    assert names["usual"] == [settled("auto", n) for n in (1, 10, 11, 100)]


def test_shapes_are_those_of_the_toy_sets(node: Path) -> None:
    code = """async ({base}) => {
      const {NAMES, shape} = await import(`${base}/lib/diffusion/shapes.js`);
      return Object.fromEntries(NAMES.map((name) => [name, [...shape(name).points]]));
    }"""
    found = run(node, code, {"base": node.as_uri()})
    assert isinstance(found, dict)
    assert found.keys() == toy.TOYS.keys()
    for name, numbers in found.items():
        u = (np.arange(len(numbers) // 2) + 0.5) / (len(numbers) // 2)
        expected = toy._points(toy.TOYS[name], u, np.zeros((len(u), 2)))
        assert np.abs(np.reshape(numbers, (-1, 2)) - expected).max() < 1e-6  # of float32


def test_a_learned_network_says_in_the_page_what_it_says_here(node: Path, tmp_path: Path) -> None:
    """To 1e-5: the job's own file, read by the page."""
    told: list[dict[str, Any]] = []
    tell = Tell("000001-learn_points", tmp_path, lambda header, data: told.append(header))
    learn_points.run(learn_points.Settings(steps=30), tmp_path, tell)
    assert [header["step"] for header in told if header["type"] == "step"][-1] == 30
    assert json.loads((tmp_path / "learned.json").read_text())["error"] < 2
    weights = tmp_path / learn_points.WEIGHTS
    net = MLP(**json.loads(read_metadata(weights)["network"]))
    net.load_state_dict(read_tensors(weights))
    denoiser = Denoiser(net, Cosine(), V(), clock=AngleClock()).eval()
    x = 2 * torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    times = [1.0, 0.7, 0.2, 0.01]
    asked = {
        "base": node.as_uri(), "weights": list(weights.read_bytes()),
        "x": x.flatten().tolist(), "times": times, "path": "cosine",
    }  # fmt: skip
    found = torch.tensor(run(node, SAID, asked))
    with torch.inference_mode():
        said = [denoiser(x, torch.tensor(t, dtype=torch.float64)) for t in times]
    expected = torch.stack([torch.stack([p.x0.flatten(), p.eps.flatten()]) for p in said])
    assert expected.abs().max() > 0.5
    assert (found - expected).abs().max() < 1e-5


SAID = """async ({base, weights, x, times, path}) => {
  const {learned} = await import(`${base}/lib/diffusion/mlp.js`);
  const {schedule} = await import(`${base}/lib/diffusion/schedules.js`);
  const model = learned(Uint8Array.from(weights).buffer, schedule(path)), at = Float64Array.from(x);
  return times.map((t) => { const p = model.predict(at, t); return [[...p.x0], [...p.eps]]; });
}"""


READINGS = [
    ("velocity", "angle", "linear"), ("velocity", "time", "vp"), ("eps", "log-snr", "vp"),
    ("x0", "flow", "cosine"), ("karras:sigma_data=1.0", "log-snr", "ve:sigma_max=10.0"),
    ("score", "index:steps=5", "sigmoid"), ("v", "scaled:scale=3.0", "sigmoid"),
]  # fmt: skip


def test_a_trained_model_says_in_the_page_what_it_says_here(node: Path, tmp_path: Path) -> None:
    """However it predicts, on its own path and on another one, with the units of its data."""
    torch.manual_seed(0)
    x, times, other = 2 * torch.randn(7, 2), [0.9, 0.5, 0.1], make_schedule("cosine")
    mean, std, label = torch.tensor([0.5, -1.0]), 1.7, torch.tensor([1])
    asked, expected = [], []
    for prediction, clock, path in READINGS:
        net = MLP(width=16, depth=2, inlets={"label": {"route": "vector", "classes": 3}})
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.3)
        denoiser = Denoiser(
            net, make_schedule(path), PARAMETERIZATIONS.make(prediction), clock=CLOCKS.make(clock),
            input_std=0.9,
        ).eval()  # fmt: skip
        file = tmp_path / "weights.safetensors"
        weights = learned_score.write(
            file, denoiser, net.state_dict(), {"label": label}, mean.tolist(), std
        )
        asked.append(list(weights))
        for t in times:
            alpha, sigma = other(torch.tensor(t, dtype=torch.float64))
            # At the same log-SNR in units of the model, where the noise is std times smaller.
            own = denoiser.schedule.time_at(2 * (alpha / sigma * std).log())
            a, s = denoiser.schedule(own)
            unit = torch.hypot(a, s) / torch.hypot(alpha, sigma / std)
            with torch.inference_mode():
                z = ((x - alpha * mean) / std * unit).float()
                said = denoiser(z, own, label=label.expand(7))
            assert said.eps.abs().max() > 0.01
            expected.append(torch.stack([(mean + std * said.x0).flatten(), said.eps.flatten()]))
    settings = {"base": node.as_uri(), "x": x.flatten().tolist(), "times": times, "path": "cosine"}
    code = f"(v) => Promise.all(v.files.map((weights) => ({SAID})({{...v, weights}})))"
    found = torch.tensor(run(node, code, {**settings, "files": asked})).flatten(0, 1)
    right = torch.stack(expected)
    size = right.abs().amax((1, 2))
    assert ((found - right).abs().amax((1, 2)) / size).max() < 1e-4


def test_models_that_the_page_cannot_evaluate_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for net in (MLP(features=3), MLP(out_features=4)):
        denoiser = Denoiser(net, Cosine(), V(), learn_variance=net.features == 2)
        with pytest.raises(UsageError, match="the page evaluates"):
            learned_score.write(path, denoiser, net.state_dict())
    shifted = Denoiser(MLP(), make_schedule("shifted:shift=2.0,schedule=linear"), V())
    with pytest.raises(UsageError, match="no schedule shifted"):
        learned_score.write(path, shifted, {})
    assert not path.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"points": []}, "0 points"),
        ({"points": [(0.0, float("nan"))]}, "further than 100"),
        ({"width": 0.0}, "width = 0"),
        ({"steps": 10**6}, "steps = 1000000"),
    ],
)
def test_what_cannot_be_learned_is_said(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        learn_points.check(learn_points.Settings(**settings))


SEEN = """async (cases) => {
  const {seen, windowOf} = await import('./lib/mask.js');
  return cases.map(({data, width, height, sides, state, padding}) => {
    const mask = {data: Uint8Array.from(data), width, height};
    const window = padding === null ? {x: 0, y: 0, width, height} : windowOf(mask, padding, sides);
    return [window, [...seen(mask, window, sides, state).values]];
  });
}"""


def test_node_sees_masks_as_the_library_shows_them_to_networks(node: Path) -> None:
    cases: list[dict[str, Any]] = []
    expected = []
    draw = np.random.default_rng(0)
    for height, width in ((28, 28), (41, 67), (13, 9), (30, 120)):
        hard = np.zeros((height, width), np.uint8)
        hard[height // 3 : height // 3 + 5, 2 : width // 2] = 255
        for mask in (hard, hard // 255 * draw.integers(0, 256, hard.shape, dtype=np.uint8)):
            for sides, state in (((28, 28), (28, 28)), ((32, 48), (8, 12)), ((20, 20), (7, 3))):
                for padding in (None, 0, 4):
                    values = mask / np.float32(255)
                    image = np.zeros((1, height, width), np.uint8)
                    sheet = (
                        Sheet.whole(image, values)
                        if padding is None
                        else Sheet.around(image, values, padding, sides)
                    )
                    cases.append({
                        "data": mask.reshape(-1).tolist(), "width": width, "height": height,
                        "sides": sides, "state": state, "padding": padding,
                    })  # fmt: skip
                    right = of_states(sheet.anew(sides)[None], (1, *state))
                    expected.append((sheet.window._asdict(), right.reshape(-1)))
    answers: Any = run(node, SEEN, cases)
    for (window, found), (where, right) in zip(answers, expected, strict=True):
        assert window == where
        assert np.abs(np.array(found) - right.numpy()).max() < 1e-6
