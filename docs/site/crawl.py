"""What is wrong with built pages: dead links, requests to other hosts, pictures without words."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse


class _Page(HTMLParser):
    """The links of a page, the places that it has, and what it asks other hosts for."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.foreign: list[str] = []
        self.wordless = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.places |= {place for key in ("id", "name") if (place := said.get(key))}
        self.wordless += tag == "img" and not said.get("alt")
        for key in ("src", "href", "srcset"):
            link = said.get(key) or "#"
            if re.match(r"https?:|//", link):
                # a link is followed by people; everything else by the browser itself
                self.foreign += [] if tag == "a" else [link]
            elif not re.match(r"data:|mailto:|javascript:|#$", link):
                self.links.append(link)


def faults(site: Path) -> list[str]:
    """A sentence for each fault of the pages below a folder."""
    site = site.resolve()
    pages = {}
    for path in sorted(site.rglob("*.html")):
        page = pages[path] = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    found = []
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        found += [f"{name} asks {link}" for link in page.foreign]
        found += [f"{name} has {page.wordless} pictures without words"] if page.wordless else []
        for link in dict.fromkeys(page.links):
            parts = urlparse(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            if not target.is_file() or (
                place and place not in getattr(pages.get(target), "places", {place})
            ):
                found.append(f"{name} links to {link}, which is not there")
    return found
