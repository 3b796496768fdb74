"""The studio's elements for the site: its modules in one script, its styles in one sheet.

Browsers load no modules from `file://`. So each goes into the script as text, under the name
`studio/...`, and an import map makes modules of them there.
"""

import json
import re
from pathlib import Path, PurePosixPath

PAGE = Path(__file__).resolve().parents[2] / "src" / "demist" / "studio" / "page"
STYLES = ("style.css", "pages/runs.css", "pages/river.css", "pages/field.css", "pages/denoise.css")
FROM = re.compile(r"""(?m)^(import\b[^'";]*?|\} from )(['"])([^'"]+)\2""")

LOADER = """(() => {
const modules = %s;
const imports = {};
const kind = 'data:text/javascript;charset=utf-8,';
for (const name in modules) imports[name] = kind + encodeURIComponent(modules[name]);
const map = document.createElement('script');
map.type = 'importmap';
map.textContent = JSON.stringify({ imports });
document.head.append(map);
import('live');
})();
"""


def script(start: Path) -> str:
    """A program that runs a module with all that it imports from the studio."""
    modules: dict[str, str] = {}

    def add(name: str, path: Path) -> None:
        if name in modules:
            return
        needed: list[str] = []

        def renamed(match: re.Match[str]) -> str:
            target = match[3]
            if target.startswith("."):
                target = joined(PurePosixPath(name).parent, target)
            needed.append(target)
            return f"{match[1]}'{target}'"

        modules[name] = FROM.sub(renamed, path.read_text(encoding="utf-8"))
        for one in needed:
            add(one, PAGE / one.removeprefix("studio/"))

    add("live", start)
    # no end of a script may stand in a script
    return LOADER % json.dumps(modules).replace("</", "<\\/")


def joined(folder: PurePosixPath, target: str) -> str:
    """`../lib/dom.js` from `studio/elements` is `studio/lib/dom.js`."""
    parts = list(folder.parts)
    for part in target.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def styles() -> str:
    """The studio's tokens for the page, and its rules for what stands in `.live`."""
    texts = [re.sub(r"(?m)^@import .*\n", "", (PAGE / name).read_text("utf-8")) for name in STYLES]
    tokens, mark, rules = texts[0].partition("*, *::before")
    assert mark, "style.css has changed: where do its tokens end?"
    return f"{tokens}\n.live {{\n{mark}{rules}\n{''.join(texts[1:])}\n}}\n"
