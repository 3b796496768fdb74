"""`demist studio`: a local page to watch diffusion, runs and pictures."""

from dataclasses import dataclass
from pathlib import Path

from demist.commands.shared import read
from demist.machine.packages import require_packages


@dataclass(frozen=True)
class Options:
    """Open the studio, a local page: watch noise become a picture, rewind, branch."""

    runs: Path = Path("runs")
    """Folder in which run folders are; the studio keeps its own jobs in `studio` in it."""
    port: int = 7860
    """Port of the page; 0 takes a free one."""
    page: str = ""
    """Page that is opened, and what it shows, as its address has it: river?data=2,8"""
    browser: bool = True
    """Open the page in the browser."""
    host: str = "127.0.0.1"
    """Address to listen at; one that others can reach needs --token."""
    token: str | None = None
    """Secret of the link that opens the page: 16 or more letters, digits, - and _. Without it: a
    new one each time."""


def main(args: list[str]) -> None:
    """Serve until interrupted."""
    options = read(Options, "studio", args)
    require_packages("the studio", ["fastapi", "uvicorn"], "studio")
    from demist.studio.serve import serve

    serve(
        options.runs,
        options.runs / "studio",
        options.host,
        options.port,
        options.token,
        options.browser,
        options.page,
    )
