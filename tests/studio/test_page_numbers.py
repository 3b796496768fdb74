"""The mathematics of the page, in node where there is one; the browser test asks for all of it."""

import json
import shutil
import subprocess
from pathlib import Path

import page_numbers
import pytest

from demist.core import SCHEDULES
from demist.samplers import GRIDS, SOLVERS, usual
from demist.studio.app import PAGE


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
        *page_numbers.cases(("cosine", "vp"), page_numbers.SOLVERS, ("own",), [1, 7]),
        *page_numbers.cases(page_numbers.SCHEDULES, ("adams", "ddpm"), ("own",), [6]),
        *page_numbers.cases(("linear",), ("ddim",), page_numbers.GRIDS, [9]),
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
    assert names["usual"] == [usual(n) for n in (1, 10, 11, 100)]
