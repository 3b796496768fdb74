"""A fault in what a chapter builds by hand ends the chapter, and with it the build of the site."""

import subprocess
import sys

import pytest

from demist import course

FAULTS = {
    "2-beta-for-alpha-bar": ("alpha_bar = (1 - betas[:i]).prod()", "alpha_bar = 1 - betas[i - 1]"),
    "4-sign-of-the-step": ("mean = (x - beta / ", "mean = (x + beta / "),
    "7-score-without-its-sign": ("return -eps / sigma", "return eps / sigma"),
    "9-classes-swapped": (
        "return without + scale * (with_ - without)",
        "return with_ + scale * (without - with_)",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_chapter_with_a_fault_stops(fault, tmp_path):
    right, wrong = FAULTS[fault]
    text = course.find_chapter(fault.split("-")[0]).path.read_text(encoding="utf-8")
    assert text.count(right) == 1
    place = tmp_path / "chapter.py"
    place.write_text(text.replace(right, wrong))
    done = subprocess.run(
        [sys.executable, str(place)], capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": "", "DEMIST_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "AssertionError" in done.stderr.strip().splitlines()[-1]
