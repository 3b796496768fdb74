"""What was understood of the user's data, as data and as one short paragraph."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

NAMED = 3
"""Bad files that are named; the others are counted."""
KEPT = 1000
"""Classes whose counts are written into a run's folder."""
_COLOURS = {1: "grey", 3: "colour", 4: "colour and alpha"}
_LOST = {
    "crop": "the middle {:.0f} % is kept",
    "random": "{:.0f} % is kept, cut out anywhere",
    "squash": "stretched to fit",
    "pad": "padded to fit",
}


@dataclass(frozen=True)
class Report:
    """What is read of one split, what was made of it, and what was not looked at.

    A reader fills in what it knows; the rest comes from the `Dataset` that holds the report.

    Attributes:
        count: Samples.
        what: What they are, in the plural.
        split: Which split they are; "" if nobody spoke of splits.
        others: Other splits -> how many samples they have.
        classes: Class -> how many samples have it.
        captions: How many samples have one.
        captions_from: Where those were found, such as ".txt files".
        columns: Names of further columns.
        before: Height and width of the smallest and of the largest image; None: as they are now.
        after: Channels, height and width; None: no images.
        fit: How images were brought to their size: crop, random, pad or squash.
        kept: Median share of an image's area that is left after cropping.
        enlarged: Images that had fewer pixels than they have now.
        transparent: Images that were laid on the background.
        background: Its name.
        plain: Images that are of one colour all over.
        converted: What was converted, such as "grey to colour" -> how many images.
        several: Files of which only the first frame or page is used.
        dropped: Their other frames and pages.
        bad: Files that cannot be read.
        bad_named: The first of them.
        equal: Files with the very content of another one.
        unread: Ending or name -> files that were not looked at or left out.
        gaps: Column that was left out -> what its values lack.
        notes: Whole sentences on anything else.
        looked: Files that were opened to find this out; None: all.
    """

    count: int = 0
    what: str = "samples"
    split: str = ""
    others: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    captions: int = 0
    captions_from: str = ""
    columns: tuple[str, ...] = ()
    before: tuple[tuple[int, int], tuple[int, int]] | None = None
    after: tuple[int, int, int] | None = None
    fit: str = "crop"
    kept: float = 1.0
    enlarged: int = 0
    transparent: int = 0
    background: str = "white"
    plain: int = 0
    converted: Mapping[str, int] = field(default_factory=dict)
    several: int = 0
    dropped: int = 0
    bad: int = 0
    bad_named: tuple[str, ...] = ()
    equal: int = 0
    unread: Mapping[str, int] = field(default_factory=dict)
    gaps: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    looked: int | None = None

    def paragraph(self) -> str:
        """One short paragraph; what is exactly as it was needs no word."""
        parts = (
            self._first(), self._sizes(), self._pixels(), self._frames(), self._left_out(),
            *self.notes,
        )  # fmt: skip
        return " ".join(filter(None, parts))

    def to_json(self) -> dict[str, Any]:
        """For a run's folder: the fields, and the paragraph."""
        facts = asdict(self)
        facts["classes"] = dict(list(self.classes.items())[:KEPT])
        return {"paragraph": self.paragraph(), **facts}

    def _first(self) -> str:
        splits = self.split
        if self.others:
            splits += "; " + ", ".join(f"{n:,} {name}" for name, n in self.others.items())
        text = f"{self.count:,} {self.what}" + (f" ({splits})" if splits else "")
        if self.after is not None:
            channels, height, width = self.after
            text += f" of {height}x{width} pixels, {_COLOURS.get(channels, f'{channels} channels')}"
        if self.classes:
            text += f", {_plural(len(self.classes), 'class', 'classes')} of {_span(self.classes)}"
        if self.captions:
            which = "" if self.captions == self.count else f"{self.captions:,} "
            text += f", {which}captions" + (
                f" from {self.captions_from}" * bool(self.captions_from)
            )
        if self.columns:
            text += f", further columns {', '.join(self.columns)}"
        return text + "."

    def _sizes(self) -> str:
        if self.before is None or self.after is None:
            return ""
        estimated = "" if self.looked is None else f", as {self.looked:,} of them say"
        if self.before == (self.after[1:],) * 2:
            return f"They had this size{estimated}." * bool(estimated)
        small, large = ("x".join(map(str, sides)) for sides in self.before)
        were = small if small == large else f"{small} to {large}"
        ends = []
        if self.kept < 0.995 or self.fit != "crop":
            ends.append(_LOST[self.fit].format(100 * self.kept))
        if self.enlarged:
            ends.append(f"{self.enlarged:,} are enlarged")
        made = ": " + ", ".join(ends) if ends else ""
        return f"They were {were} (height x width{estimated}){made}."

    def _pixels(self) -> str:
        laid = f"{self.transparent:,} with transparency laid on {self.background}"
        parts = [laid] * bool(self.transparent and self.after and self.after[0] < 4)
        parts += [f"{n:,} {what}" for what, n in self.converted.items()]
        of = "" if self.looked is None else f" of {self.looked:,}"
        text = f"Converted{of}: {', '.join(parts)}." if parts else ""
        if self.plain > (self.count if self.looked is None else self.looked) // 2:
            advice = ""
            if 2 * self.transparent > self.count:
                advice = ": choose another --background, or keep transparency with --channels 4"
            text += f" {self.plain:,} are of one colour all over{advice}."
        return text.strip()

    def _frames(self) -> str:
        if not self.several:
            return ""
        files = _plural(self.several, "file has", "files have")
        return (
            f"{files} {self.several + self.dropped:,} frames or pages, of each the first is used."
        )

    def _left_out(self) -> str:
        texts = []
        if self.bad:
            more = ", ..." if self.bad > len(self.bad_named) else ""
            named = ", ".join(self.bad_named) + more
            texts.append(f"Left out: {_plural(self.bad, 'unreadable file')} ({named}).")
        if self.equal:
            texts.append(f"{_plural(self.equal, 'file is equal', 'files are equal')} to another.")
        if self.unread:
            names = ", ".join(
                f"{n:,} {kind}{remedy(kind)}" for kind, n in sorted(self.unread.items())
            )
            texts.append(f"Not looked at: {names}.")
        return " ".join(texts)


def remedy(ending: str) -> str:
    """What reads files with this ending, in brackets; "" if nothing does."""
    word = ending.lower().lstrip(".")
    if word in ("heic", "heif", "hif"):
        return " (read after: pip install 'demist[heic]')"
    return " (read by Pillow 11.3 and later)" if word == "avif" else ""


def bad_files(paths: Iterable[str]) -> dict[str, Any]:
    """The fields `bad` and `bad_named`."""
    paths = tuple(paths)
    return {"bad": len(paths), "bad_named": paths[:NAMED]}


def _span(classes: Mapping[str, int]) -> str:
    low, high = min(classes.values()), max(classes.values())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
