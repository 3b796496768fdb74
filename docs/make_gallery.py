"""Make the images of docs/gallery.md by the commands that stand above them.

    python docs/make_gallery.py [--run scenes64=FOLDER --run upscale=FOLDER --run recolour=FOLDER]
        [--only vary ...]

The page is the program: what it types runs in a scratch folder, in the page's order, but for
blocks that train, whose runs are given with `--run`. An image shows what its command read, what it
wrote, and of a film eight frames, enlarged by whole pixels.
"""

import argparse
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from demist.cli import main as demist

HERE = Path(__file__).parent
PAGE, IMAGES = HERE / "gallery.md", HERE / "images" / "gallery"
BLOCK = re.compile(
    r"```(?P<kind>sh|python)\n(?P<code>.*?)```(?:\n\n!\[(?P<words>[^]]*)\]\((?P<image>[^)]*)\))?",
    re.DOTALL,
)
SIDE, FRAMES, GAP = 112, 8, 6
"""Height to which images are enlarged, frames of a film that are shown, pixels between."""


@dataclass(frozen=True)
class Block:
    """What is typed, and the image below it.

    Attributes:
        kind: `sh` or `python`.
        code: As printed.
        image: As the page links it; empty: none.
        words: What is said of it.
    """

    kind: str
    code: str
    image: str
    words: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each line, without what is said after #."""
        lines = self.code.splitlines() if self.kind == "sh" else []
        return [words for line in lines if (words := shlex.split(line, comments=True))]

    @property
    def trained(self) -> list[str]:
        """Names of the runs that it trains."""
        trainings = [words for words in self.commands if words[1] == "train"]
        return [words[words.index("--name") + 1] for words in trainings]

    @property
    def out(self) -> str:
        """The file that the last command writes."""
        words = self.commands[-1]
        return words[words.index("--out") + 1]


def blocks(text: str) -> list[Block]:
    """All of a page, in its order."""
    return [
        Block(found["kind"], found["code"], found["image"] or "", found["words"] or "")
        for found in BLOCK.finditer(text)
    ]


def run(block: Block, runs: set[str]) -> tuple[list[Path], list[Path]]:
    """Do what a block says; files that its last command read, and files that it wrote.

    Raises:
        SystemExit: It failed, or trains a run that was not given.
    """
    if block.kind == "python":
        exec(compile(block.code, str(PAGE), "exec"), {})
    given, there = list[Path](), set(Path().iterdir())
    missing = [name for name in block.trained if name not in runs]
    if missing:
        raise SystemExit(f"train it first, and say where it is: --run {missing[0]}=FOLDER")
    for _, *words in [] if block.trained else block.commands:
        given = [Path(word) for word in words if word.endswith(".png") and Path(word).is_file()]
        print("demist", shlex.join(words), flush=True)
        if demist(words):
            raise SystemExit(f"failed: demist {shlex.join(words)}")
    return given, sorted(set(Path().iterdir()) - there, key=lambda path: path.stat().st_mtime_ns)


def panels(
    given: Sequence[Path], made: Sequence[Path], out: Path
) -> Iterator[tuple[str, Image.Image]]:
    """Images beside each other, with what is said of each."""
    for path in given:
        yield path.stem, Image.open(path).convert("RGB")
    for path in made:
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            for i in range(min(frames, FRAMES)):
                image.seek(i * (frames - 1) // max(1, FRAMES - 1))
                word = path.stem.removeprefix(out.stem).strip("-") or "mean"
                yield word if frames == 1 else str(i + 1), image.convert("RGB")


def drawn(rows: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """A strip of images, enlarged by whole pixels, each with its word below."""
    large = []
    for _, image in rows:
        k = max(1, round(SIDE / image.height))
        large.append(image.resize((k * image.width, k * image.height), Image.Resampling.NEAREST))
    font = ImageFont.load_default(12)
    height = max(image.height for image in large)
    wide = [
        max(image.width, round(font.getlength(word)))
        for (word, _), image in zip(rows, large, strict=True)
    ]
    page = Image.new("RGB", (sum(wide) + GAP * (len(wide) - 1), height + 18), "white")
    pen, x = ImageDraw.Draw(page), 0
    for (word, _), image, width in zip(rows, large, wide, strict=True):
        page.paste(image, (x, height - image.height))
        pen.text((x, height + 2), word, fill=(90, 90, 90), font=font)
        x += width + GAP
    return page


def main(args: Sequence[str] | None = None) -> None:
    """Make the images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument(
        "--only", nargs="+", help="stems of images; all others are left as they are"
    )
    options = parser.parse_args(args)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        Path("runs").mkdir()
        runs = dict(text.split("=", 1) for text in options.run)
        for number, (name, folder) in enumerate(runs.items(), 1):
            Path(f"runs/{number:04d}-{name}").symlink_to(Path(folder).resolve())
        for block in blocks(PAGE.read_text()):
            name = Path(block.image).stem
            if block.image and options.only and name not in options.only:
                continue
            given, made = run(block, set(runs))
            if block.image:
                IMAGES.mkdir(parents=True, exist_ok=True)
                page = drawn(list(panels(given, made, Path(block.out))))
                page.quantize(256, dither=Image.Dither.NONE).save(
                    IMAGES / f"{name}.png", optimize=True
                )
        os.chdir(HERE)


if __name__ == "__main__":
    main()
