"""How Sphinx builds the site; `docs/site/build.py` lays its pages out first."""

import re
from pathlib import Path

project = "demist"
author = "The demist authors"
project_copyright = author
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx-mathjax-offline",
]
html_theme = "furo"
html_title = "demist"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_search_summary = False  # it would fetch pages, which a browser refuses to a file
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds of one cell, on a machine that has other work too
nb_execution_show_tb = True
nb_merge_streams = True
nb_code_prompt_show = "Show the solution"
nb_code_prompt_hide = "Hide the solution"
nb_ipywidgets_js = {}  # widgets would be asked for elsewhere
suppress_warnings = ["ref.python"]  # a type's short name may be of two packages

autodoc_typehints = "none"  # shapes stand in the docstrings
autodoc_member_order = "bysource"
autodoc_default_options = {"show-inheritance": False}
napoleon_use_ivar = True  # attributes of a dataclass are described once


def setup(app):
    """Docstrings are written with single backticks around code."""
    app.connect("autodoc-process-docstring", as_written, priority=400)  # before its sections


def as_written(app, what, name, obj, options, lines):
    """Formulas, programs and tables stay as they are; `x` becomes ``x``, as Sphinx has it."""
    text: list[str] = []
    inside, last = False, ""  # last: the last line that is not empty
    for line in lines:
        inset = line.startswith(("    ", "|"))
        if inset and not inside and text and not text[-1].strip() and not last.startswith(" "):
            text += ["::", ""]
            inside = True
        elif line.strip() and not inset:
            inside = False
        if not inside:  # |x| is a norm, and no name of something to be put in
            line = re.sub(r"(`[^`]*`)|\|", lambda found: found[1] or r"\|", line)
        text.append(f"    {line}" if line.startswith("|") else line)
        last = line if line.strip() else last
    lines[:] = re.sub(r"(?<![`:\w])`([^`]+)`(?!`)", r"``\1``", "\n".join(text)).split("\n")
