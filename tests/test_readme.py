"""The Python in the README and the docs runs as printed, but for the size of the training."""

import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demist.conditions import Conditioner
from demist.core import Linear, Prediction
from demist.core.exact import Exact, Mixture

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

TINY = """"steps": 2, "limit": 100, "batch_size": 8, "precision": "fp32", "sample_count": 0,
    "channels_per_level": (8, 8), "attention_levels": (1,), "norm_groups": 2, "head_dim": 4"""


def run(code, **names):
    exec(compile(code, "README.md", "exec"), names)
    return names


def test_train_and_sample(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert '"budget": "3m"' in BLOCKS[0]
    assert len(BLOCKS[0].strip().splitlines()) <= 14
    names = run(BLOCKS[0].replace('"budget": "3m"', TINY).replace("sample(64,", "sample(4,"))
    assert (tmp_path / "runs" / "0001-digits").is_dir()
    assert names["images"].shape == (4, 1, 28, 28)
    assert names["images"].dtype == np.uint8
    with Image.open("sevens.png") as picture:
        assert picture.size == (118, 118)
    assert capsys.readouterr().out.splitlines()[0] == "t = 1.00"


def test_the_ideas_underneath(capsys):
    x = run(BLOCKS[1])["state"].x
    assert len(capsys.readouterr().out.splitlines()) == 20
    assert x.std().item() == np.float64(x.std()).item()
    assert abs(x.std().item() - 4.1**0.5) < 0.05  # of the mixture: 2^2 + 0.1
    assert abs((x > 0).float().mean().item() - 0.5) < 0.05


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_commands_exist():
    from demist.cli import COMMANDS

    typed = re.findall(r"^demist ([\w-]+)", README, flags=re.MULTILINE)
    assert len(typed) > 5
    assert set(typed) <= set(COMMANDS)


def test_solvers_are_as_good_as_the_record_says():
    """Medians over all recorded problems of the best peer setting's error over ours."""
    kept = json.loads((ROOT / "benchmarks/results/solvers_best.json").read_text())
    problems = kept["problems"].values()
    unseen = [row for number, row in kept["problems"].items() if int(number) > 96]
    assert len(unseen) == 8
    assert len(problems) == 28

    def medians(ours, error="rms", problems=problems):
        found = {}
        for budget in ("5", "8", "10", "15", "20", "40"):
            cells = [
                min(row[peer][budget][error][0] for peer in ("diffusers", "k-diffusion", "azula"))
                / row["demist"][budget][f"{ours}{error}"]
                for row in problems
            ]
            found[budget] = f"{statistics.median(cells):.2g}"
        return found

    def listed(values):
        return f"{', '.join(values[:-1])} and {values[-1]} times"

    said = " ".join(README.split())
    four = ("5", "10", "20", "40")
    for ours, error in (("fitted ", "rms"), ("", "rms")):
        assert listed([medians(ours, error)[b] for b in four]) in said
    assert f"({listed([medians('', problems=unseen)[b] for b in four])} on the eight" in said
    guide = " ".join((ROOT / "docs/how-to-choose-a-sampler.md").read_text().split())
    assert listed([*medians("fitted ").values()]).replace(" times", " times as large") in guide
    assert f"({listed([*medians('').values()])}; on the 8 mixtures" in guide
    assert f"{listed([*medians('', problems=unseen).values()])})" in guide
    assert f"{listed([*medians('', 'median').values()])} that of the default" in guide
    assert listed([*medians("fitted ", "median").values()]) in guide


def test_defaults_are_as_good_as_the_record_says():
    """Medians of the root mean square error of the others' defaults over ours, at 5, 10 and 20."""
    page = (ROOT / "benchmarks/results/solvers_drawn.md").read_text().split("## Median")[0]
    cells = [
        re.findall(r"\*\*([\d.e+]+)\*\* .*?; (\d+) of 24", line)
        for line in page.splitlines()
        if line.startswith(("| diffusers", "| k-diffusion", "| azula"))
    ]
    assert [len(row) for row in cells] == [6, 6, 6]
    said = " ".join(README.split())
    for column, words in ((0, "times the root mean"), (2, "times at 10"), (4, "times at 20")):
        first, second, third = (f"{float(row[column][0]):g}" for row in cells)
        assert f"{first}, {second} and {third} {words}" in said
    won = [min(int(row[column][1]) for row in cells) for column in (0, 2, 4)]
    assert f"at least {won[0]}, {won[1]} and {won[2]} of the 24" in said


@pytest.mark.parametrize("scale", ["1.5", "1"])
def test_samplers_of_digits_are_as_good_as_the_record_says(scale):
    """Distance and FD at 5, 10 and 20 evaluations, of ours and of the best of three others."""
    page = ROOT / f"benchmarks/results/solvers_networks-digits-guidance-{scale}.md"
    rows = re.findall(r"^\| ([\w-]+): (\w+).*?\| (\d.*) \|$", page.read_text(), flags=re.MULTILINE)
    assert len(rows) == 16
    found = {}
    for library, solver, cells in rows:
        numbers = [[float(n.split(" ± ")[0]) for n in c.split(" / ")] for c in cells.split(" | ")]
        found.setdefault(solver if library == "demist" else "others", []).append(numbers)
    assert len(found["others"]) == 11
    guide = (ROOT / "docs/how-to-choose-a-sampler.md").read_text()
    table = guide[guide.index(f"| guidance {scale}, ") :].splitlines()
    for line, name in zip(table, ("auto", "others"), strict=False):
        said = [float(n) for n in re.findall(r"\b0\.\d+", line)]
        assert np.allclose(np.min(found[name], 0).ravel(), said, rtol=0, atol=5.1e-4), line


def blocks_of(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)


def test_the_page_on_conditions():
    names = run(blocks_of("conditions.md")[0])
    x, t = torch.randn(2, 3, 64, 64), torch.zeros(2)
    cond = names["conditioner"].encode(2, {"label": "cat"})
    assert names["net"](x, t, **cond).shape == x.shape


def test_the_page_on_restoring(capsys):
    done = run(blocks_of("restore.md")[0])["done"]
    assert done.samples.shape == (4, 1, 28, 28)
    assert "coverage" in capsys.readouterr().out


def test_the_page_on_guidance():
    model, conditioner = (
        Exact(Mixture(torch.ones(1), torch.zeros(1, 1), 1.0), Linear()),
        Conditioner(),
    )
    names = run(blocks_of("guidance.md")[0], model=model, conditioner=conditioner)
    assert isinstance(names["guided"](torch.zeros(2, 1), torch.tensor(0.5)), Prediction)
