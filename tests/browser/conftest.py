"""The pages of the studio in the system's own Chromium, headless."""

import contextlib
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "studio"))

CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    reason = None
    if CHROMIUM is None:
        reason = "there is no chromium; apt-get install chromium, or name one in $CHROMIUM"
    else:
        try:
            import playwright.sync_api  # noqa: F401
        except ImportError:
            reason = "there is no playwright: pip install 'demist[dev]'"
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        # without a user other than root there is no sandbox to be had
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A studio with no runs; `opened.runs` is their folder."""
    from opened import studio

    runs = tmp_path_factory.mktemp("runs")
    with studio(runs) as found:
        found.runs = runs
        yield found


@pytest.fixture(scope="module")
def seven():
    """A seven of the test data, in bytes (28, 28)."""
    from demist import data

    return data.load("digits", split="test").x[0, 0]


@pytest.fixture
def visit(chromium):
    """Open a page of a studio, which must not complain nor ask another host for anything.

    `visit(studio, "#/runs", width=390, theme="dark")` gives the page; at the end of the test its
    console has to be silent.
    """
    from opened import TOKEN

    with contextlib.ExitStack() as stack:
        complaints = []

        def go(studio, where="", width=1200, theme="light", height=860, motion="reduce"):
            context = chromium.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme,
                reduced_motion=motion,
            )  # fmt: skip
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(120_000)
            own = f"http://127.0.0.1:{studio.port}/"

            def asked(request):
                if not request.url.startswith((own, "data:", "blob:")):
                    complaints.append(f"asked {request.url}")

            def said(message):
                if message.type in ("error", "warning"):
                    complaints.append(f"said {message.text} ({message.location['url']})")

            page.on("request", asked)
            page.on("console", said)
            page.on("pageerror", lambda error: complaints.append(f"failed {error}"))
            page.goto(f"{own}?token={TOKEN}{where}")
            page.complaints = complaints
            return page

        yield go
        assert complaints == []


@pytest.fixture
def picture(request):
    """Write a screenshot where $DEMIST_SCREENSHOTS says, for the docs and for looking at."""
    folder = os.environ.get("DEMIST_SCREENSHOTS")

    def take(page, name, whole=True):
        if folder:
            page.wait_for_timeout(300)
            page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=whole)

    return take


@pytest.fixture
def accessible():
    """Fails if axe finds something serious that keeps people out."""
    from axe_playwright_python.sync_playwright import Axe

    def check(page):
        before = list(page.complaints)
        found = Axe().run(page).response["violations"]
        page.wait_for_timeout(200)  # until its own complaints have come
        page.complaints[:] = before  # it tries styles that our policy forbids
        serious = [
            (one["id"], [node["html"][:120] for node in one["nodes"]][:4])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []

    return check
