"""The pages that `make docs` builds, in the browser: silent, and open to everybody."""

from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "build" / "site"
PAGES = sorted(SITE.rglob("*.html"))

pytestmark = pytest.mark.skipif(not PAGES, reason="the site is not built; make docs")


@pytest.fixture
def turn(chromium):
    """Open a page of the site; at the end no page has complained or asked another host."""
    complaints = []
    context = chromium.new_context(viewport={"width": 1200, "height": 860}, reduced_motion="reduce")
    page = context.new_page()
    page.complaints = complaints

    def asked(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            complaints.append(f"asked {request.url}")

    page.on("request", asked)
    page.on("console", lambda said: complaints.append(f"{page.url} said {said.text}"))
    page.on("pageerror", lambda error: complaints.append(f"{page.url} failed {error}"))

    def go(path, width=1200):
        page.set_viewport_size({"width": width, "height": 860})
        page.goto(path.as_uri())
        return page

    yield go
    context.close()
    assert complaints == []


def test_no_page_complains_or_asks_elsewhere(turn):
    for path in PAGES:
        turn(path)


def test_search_works_from_a_file(turn):
    page = turn(SITE / "search.html")
    page.goto(f"{(SITE / 'search.html').as_uri()}?q=ancestral")
    page.wait_for_selector("#search-results a:has-text('DDPM')")


@pytest.mark.parametrize(
    "name",
    [f"{path.parent.name}/{path.stem}" for path in PAGES if path.parent.name in ("course", "docs")]
    + ["index", "README"],
)
def test_pages_are_open_to_everybody(turn, accessible, name):
    page = turn(SITE / f"{name}.html", width=390)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    accessible(page)
