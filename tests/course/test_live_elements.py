"""Elements of the studio in chapters: their words, and what is written into the page."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from demist import course
from demist.errors import UsageError

SITE = Path(__file__).parents[2] / "docs" / "site"


def facts(one):
    return json.loads(re.search(r"json\">(.*)</script>", one._repr_html_())[1])


def test_what_an_element_shows_is_in_the_page():
    image = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    one = course.live(
        "compare", "Two pictures </script> under one slider.", a=image, names=["</script>", "b"],
        lines=[{"y": np.array([0.5, 1 / 3])}],
    )  # fmt: skip
    assert one._repr_html_().count("</script>") == 1
    found = facts(one)
    assert found["a"].startswith("data:image/png;base64,iVBOR")
    assert found["names"] == ["</script>", "b"]
    assert found["lines"] == [{"y": [0.5, 0.333333]}]


def test_a_program_says_how_the_studio_shows_it(capsys):
    course.live("river", "Paths flow from noise to a number.", page="river?data=2,8")
    assert capsys.readouterr().out == "In the studio: demist studio --page 'river?data=2,8'\n"


def test_the_page_knows_every_element():
    program = (SITE / "live.js").read_text(encoding="utf-8")
    names = re.search(r"const KINDS = \{ (.*) \};", program)[1]
    assert tuple(names.split(", ")) == course.ELEMENTS


def test_an_element_has_words():
    with pytest.raises(UsageError, match="write a sentence"):
        course.live("river", "A river")


def test_pages_of_the_studio_that_chapters_name_are_there():
    from demist.studio.serve import PAGES

    program = Path(course.__file__).parents[1] / "studio" / "page" / "app.js"
    assert tuple(re.findall(r"\{ name: '(\w+)'", program.read_text())) == PAGES
    for chapter in course.chapters():
        for page in re.findall(r'page="([^"]*)"', chapter.path.read_text(encoding="utf-8")):
            assert page.split("?")[0] in PAGES


def test_modules_are_named_where_they_are_imported():
    spec = importlib.util.spec_from_file_location("site_elements_", SITE / "elements.py")
    elements = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(elements)
    made = elements.script(SITE / "live.js")
    modules = json.loads(re.search(r"const modules = (\{.*\});", made)[1])
    assert "studio/elements/river.js" in modules
    for text in modules.values():
        for target in re.findall(r"(?m)^(?:import|\} from)[^'\n]*'([^']+)'", text):
            assert target in modules
