"""DigitScenes in words: what a scene is, how captions say it, and what a prompt asks for.

It draws nothing: `demist.data.readers.scenes` does. Conditions put prompts into the words of long
captions by it, see `demist.conditions.rewriting`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demist.errors import UsageError

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (230, 50, 40),
    "green": (30, 170, 60),
    "blue": (40, 70, 250),
    "yellow": (245, 215, 30),
    "purple": (170, 50, 215),
    "cyan": (30, 210, 210),
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLACES = {
    "in the middle": (0.5, 0.5),
    "on the left": (0.5, 0.27),
    "on the right": (0.5, 0.73),
    "at the top": (0.27, 0.5),
    "at the bottom": (0.73, 0.5),
}
"""Of a single digit: centre as fractions of height and width."""
RELATIONS = ("beside", "above")
"""Of two digits: the first is left of the second, or above it."""
TRIPLES = ("with one below", "with one above")
"""Of three: the first left of the second, the third below or above both."""

LONG = "scenes-long"
"""The set with long captions."""


@dataclass(frozen=True)
class Thing:
    """One digit of a scene."""

    digit: int
    colour: str
    large: bool


@dataclass(frozen=True)
class Scene:
    """What a caption says.

    Attributes:
        things: One to three, of different colours.
        layout: From `PLACES`, `RELATIONS` or `TRIPLES`, by the number of things.
        background: "dark" or "light".
    """

    things: tuple[Thing, ...]
    layout: str
    background: str

    @property
    def unseen(self) -> set[str]:
        """Which held-out combinations it has; training scenes have none."""
        digits = [thing.digit for thing in self.things]
        names = list(COLOURS)
        found = set[str]()
        if any(names.index(t.colour) == (1 - t.digit) % 6 for t in self.things):
            found.add("bindings")
        if len(digits) > 1:
            beside = len(digits) == 3 or self.layout == "beside"
            if (3 * digits[0] + digits[1]) % 10 == (0 if beside else 5):
                found.add("relations")
        if len(digits) == 3 and sum(digits) % 7 == 0:
            found.add("triples")
        return found


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """One of many ways to say it; each has all the facts."""

    def pick(*ways: str) -> str:
        return ways[int(rng.integers(len(ways)))]

    def named(thing: Thing) -> str:
        size = pick("", "large ", "big ") if thing.large else pick("small ", "little ")
        digit = pick(DIGITS[thing.digit], DIGITS[thing.digit], str(thing.digit))
        return f"a {size}{thing.colour} {digit}"

    things = [named(thing) for thing in scene.things]
    if len(things) == 1:
        sentence = f"{things[0]} {scene.layout}"
    elif len(things) == 2:
        a, b = things
        sentence = (
            pick(f"{a} to the left of {b}", f"{a} left of {b}", f"{b} to the right of {a}")
            if scene.layout == "beside"
            else pick(f"{a} above {b}", f"{a} over {b}", f"{b} below {a}")
        )
    else:
        a, b, c = things
        where = pick("below", "underneath") if scene.layout == TRIPLES[0] else pick("above", "over")
        sentence = pick(f"{a} to the left of {b}", f"{a} left of {b}") + pick(
            f", with {c} {where}", f", {c} {where} them"
        )
    ground = f"{scene.background} background"
    return pick(f"{sentence} on a {ground}", f"{sentence}, {ground}", f"on a {ground}, {sentence}")


def describe_long(scene: Scene) -> str:
    """All that a caption can say of a scene, in one fixed order and wording."""

    def named(thing: Thing) -> str:
        size = "large" if thing.large else "small"
        return f"a {size} {thing.colour} {DIGITS[thing.digit]}"

    count = ("one digit", "two digits", "three digits")[len(scene.things) - 1]
    words = f"{count} on a {scene.background} background: "
    a, *others = [named(thing) for thing in scene.things]
    if not others:
        return f"{words}{a} {scene.layout}"
    if len(others) == 1:
        where = "on the left and {} on the right" if scene.layout == "beside" else "above {}"
        return f"{words}{a} {where.format(others[0])}"
    top, bottom = ("top", "bottom") if scene.layout == TRIPLES[0] else ("bottom", "top")
    b, c = others
    return f"{words}{a} on the {top} left, {b} on the {top} right and {c} at the {bottom}"


_SIZES = ("large", "big", "small", "little")
_NAMES = (*DIGITS, *map(str, range(10)))
_THING = re.compile(
    rf"\b(?:(?:a|an|the) )?(?:({'|'.join(_SIZES)}) )?({'|'.join(COLOURS)}) ({'|'.join(_NAMES)})\b"
)
_GROUND = re.compile(
    r"^on an? (dark|light) background[,:]? |,? (?:(?:on|against) an? )?(dark|light) background$"
)
_BELOW, _ABOVE = "(?:below|underneath|under)", "(?:above|over)"
_SHORT = {
    1: rf"#(?: (?P<place>{'|'.join(PLACES)}))?",
    2: rf"# (?:(?:to the )?(?P<side>left|right) of|(?P<down>{_BELOW})|{_ABOVE}) #",
    3: rf"# (?:to the )?(?P<side>left|right) of #,? (?:with |and )?# "
       rf"(?:(?P<down>{_BELOW})|{_ABOVE})(?: them)?",
}  # fmt: skip
"""By the number of things, which stand as #."""


def understood(prompt: str) -> Scene:
    """The scene that a prompt in the words of `describe` or `describe_long` asks for.

    Of what may be left out, a size is large, as in captions, a place in the middle, and a
    background dark.

    Raises:
        UsageError: A part of it is in other words.
    """
    text = " ".join(prompt.lower().rstrip(" .").split())
    found = _THING.findall(text)
    things = tuple(
        Thing(_NAMES.index(word) % 10, colour, size not in ("small", "little"))
        for size, colour, word in found
    )
    ground = _GROUND.search(text)
    said = (ground and (ground[1] or ground[2])) or "dark"
    rest = _THING.sub("#", _GROUND.sub("", text))
    match = re.fullmatch(_SHORT.get(len(things), "#"), rest) if len(things) else None
    if match is None:
        for layout in _layouts(len(things)):
            for background in ("dark", "light"):
                scene = Scene(things, layout, background)
                if describe_long(scene) == text:
                    return scene
        raise UsageError(
            f"the prompt {prompt!r} is in other words than the captions of scenes, such as 'a "
            f"small blue five left of a red 2 on a dark background'; say it like these"
        )
    by = match.groupdict()
    if len(things) == 1:
        return Scene(things, by["place"] or "in the middle", said)
    if by["side"] == "right":
        things = (things[1], things[0], *things[2:])
    if len(things) == 3:
        return Scene(things, TRIPLES[0] if by["down"] else TRIPLES[1], said)
    if by["side"]:
        return Scene(things, "beside", said)
    return Scene(things[::-1] if by["down"] else things, "above", said)


def rewritten(prompt: str) -> str:
    """A prompt as the long captions say it; one that is said so stays.

    Raises:
        UsageError: It is not understood.
    """
    return describe_long(understood(prompt))


def _layouts(count: int) -> Sequence[str]:
    """Of so many things."""
    return {1: tuple(PLACES), 2: RELATIONS, 3: TRIPLES}.get(count, ())
