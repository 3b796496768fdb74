"""`demist edit`: images changed by a model, whole or within a mask; one, or a folder of them."""

import shlex
import sys
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from demist.commands.sampling import (
    CompanionOptions,
    LeadOptions,
    ModelOptions,
    SamplingOptions,
    parse_size,
    require_positive,
    with_flags,
)
from demist.commands.shared import free_name, read, require_free
from demist.errors import CannotCreateError, UsageError

FRAMES = 24


@dataclass(frozen=True)
class MaskOptions:
    """What is made anew; without any of these, all of the image."""

    mask: Annotated[Path | None, arg(metavar="FILE|FOLDER|alpha")] = None
    """White is made anew, black is kept, grey is a strength between; a folder holds one mask for
    each image, of the same name; `alpha`: what is transparent in the image itself."""
    box: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="X,Y,W,H")] = ()
    """A rectangle that is made anew, in pixels from the upper left corner; also several times."""
    threshold: float | None = None
    """Make the mask black and white: greys from this number on (of 0 to 1) become white."""
    invert: bool = False
    """Keep what the mask says, and make the rest anew."""
    grow: int = 0
    """Pixels by which the mask grows to all sides; below 0 it shrinks."""
    blur: float = 0.0
    """Make the edge of the mask soft, by a Gaussian of this standard deviation in pixels: a
    strength of its own for each pixel."""
    resize_mask: bool = False
    """Resize a mask of another size than its image."""
    only_masked: bool = False
    """Show the model only what lies around the mask, as large as it can, and put that back."""
    padding: int = 32
    """Pixels around the mask that it is shown then."""
    fill: Literal["original", "noise", "mean"] = "original"
    """What the hole holds at the start, if --strength is below 1: the image, noise, or the mean
    colour of the rest."""
    blend: int = 0
    """Pixels inside the mask in which the old image passes into the new one; outside of it every
    byte stays as it is."""
    jumps: int = 0
    """Take each step so many times more (RePaint), which fits the hole better to what is around it;
    for models that are not told the mask."""

    def asked(self) -> dict[str, Any]:
        """What was typed, as JSON values."""
        given = {name: value for name, value in asdict(self).items() if value != _USUAL[name]}
        return {k: str(v) if isinstance(v, Path) else v for k, v in given.items()}


_USUAL = asdict(MaskOptions())


@dataclass(frozen=True)
class WindowOptions:
    """Images larger than the model."""

    windows: bool = False
    """Show the model overlapping windows of its own size, of an image that is larger; without this
    the image is resized for it."""
    overlap: float = 0.5
    """Share of a window that the next one sees, too; more is smoother, and takes longer."""
    seamless: bool = False
    """Let the image go on at its opposite edge, so that copies can be laid side by side."""

    def __post_init__(self) -> None:
        if not self.windows and (self.seamless or self.overlap != 0.5):
            raise UsageError("--overlap and --seamless go with --windows")

    def asked(self) -> dict[str, Any]:
        """What holds, as JSON values."""
        return asdict(self) if self.windows else {}


@dataclass(frozen=True)
class Options:
    """Change images: vary them, fill holes in them, extend them, instruct, make them larger.

    With --mask or --box what they say is made anew, with --extend the image goes on beyond its
    edges, and all else stays byte for byte; without them the whole image is varied by --strength.
    """

    model: Annotated[Positional[str], arg(metavar="RUN|FOLDER")]
    """A run (number, name, path or `latest`), or a saved model's folder."""
    image: Annotated[Positional[Path], arg(metavar="IMAGE|FOLDER")]
    """An image, or a folder of images."""
    strength: float | None = None
    """How much noise the image gets before it is denoised: 0 leaves it as it is, 1 makes it anew.
    Default: 0.6 of a whole image, 1 within a mask."""
    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """What to show, for a model of captions."""
    label: Annotated[str | None, arg(name="class", metavar="NAME")] = None
    """The class, by name or number. Without it: none."""
    cond: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE")] = ()
    """Any condition of the model, also several times; as for `demist sample`."""
    negative: Annotated[str | None, arg(metavar="TEXT")] = None
    """What guidance leads away from: a prompt, or a class of a model without prompts."""
    extend: Annotated[str | None, arg(metavar="EDGE=PIXELS,...")] = None
    """Let the image go on beyond its edges: left=32,right=32,top=8,bottom=8."""
    instruct: Annotated[str | None, arg(metavar="TEXT")] = None
    """What to change, for a model that learned to follow instructions: "make it red"."""
    image_guidance: float | None = None
    """How closely the image is kept then; --guidance is how closely the instruction is followed.
    Default: as the model says, usually 1.5."""
    upscale: bool = False
    """Make a small image large, by a model that learned to."""
    level: int | None = None
    """Of the noise that a published upscaler lays over the small image; see --condition-noise."""
    swap: Annotated[str, arg(metavar="OLD->NEW,...")] = ""
    """Change words of --prompt, which says what the image shows, and the image where they are:
    'seven->three,red->blue'. --strength below 1 keeps more of it."""
    restyle: Annotated[str | None, arg(metavar="TEXT")] = None
    """Draw what this says in the shapes of the image, of which --prompt may say what it shows.
    A --strength below 1 keeps more of it."""
    structure: Annotated[float | None, arg(metavar="SHARE")] = None
    """Share of the steps, 0 to 1, in which the shapes hold then. More keeps colours, too. Default:
    0.3."""
    towards: Annotated[Path | None, arg(metavar="IMAGE")] = None
    """Write a film, .gif or .webp, from the image to this one, through the noises of both."""
    frames: int = FRAMES
    """Of the film, both images included."""
    n: int = 1
    """Variants of each image; of a seed S they are those of S, S + 1, ..."""
    size: Annotated[str | None, arg(metavar="SIDE|WIDTHxHEIGHT")] = None
    """At which the model works, if not the size it was trained on; images of another size are
    resized for it, and what is made is resized back."""
    out: Path | None = None
    """Image or film to write, or folder for images of a folder. Default: edited.png, edited.gif or
    edited, then edited-2, ..."""
    resume: bool = False
    """Go on in a folder that holds some of the results."""
    force: bool = False
    """Overwrite an image that exists."""
    metadata: bool = True
    """Keep in the images how they were made."""
    masking: Annotated[MaskOptions, arg(name="")] = field(default_factory=MaskOptions)
    cutting: Annotated[WindowOptions, arg(name="")] = field(default_factory=WindowOptions)
    beside: Annotated[CompanionOptions, arg(name="")] = field(default_factory=CompanionOptions)
    leading: Annotated[LeadOptions, arg(name="")] = field(default_factory=LeadOptions)
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("n", self.n)
        masked = self.masking.mask is not None or bool(self.masking.box)
        ways = [("--extend", self.extend), ("--instruct", self.instruct),
                ("--upscale", self.upscale or None), ("--swap", self.swap or None),
                ("--restyle", self.restyle), ("--towards", self.towards)]  # fmt: skip
        if len(taken := [name for name, value in ways if value is not None]) > 1:
            raise UsageError(f"{' and '.join(taken)} are different edits; ask for one at a time")
        if self.upscale and (masked or self.strength is not None):
            raise UsageError("--upscale makes the whole image larger; leave masks and strength out")
        if self.image_guidance is not None and self.instruct is None:
            raise UsageError("--image-guidance goes with --instruct")
        if self.level is not None and not self.upscale:
            raise UsageError("--level goes with --upscale")
        if masked and self.extend is not None:
            raise UsageError("--extend makes its own mask; leave --mask and --box out")
        alone = (self.beside, self.leading) == (CompanionOptions(), LeadOptions())
        for name, value in (("--swap", self.swap), ("--restyle", self.restyle)):
            if value and masked:
                raise UsageError(f"{name} finds the places itself; leave --mask and --box out")
            if value and not alone:
                raise UsageError(
                    f"{name} follows the words of one model; leave out --control, --refiner, "
                    f"--weak and --ip-adapter"
                )
            if value and self.strength == 0:
                raise UsageError(
                    f"{name} with --strength 0 changes nothing; give more, such as 0.7"
                )
        if self.structure is not None and self.restyle is None:
            raise UsageError("--structure goes with --restyle")
        self._check_film(masked)
        if self.swap and not (self.prompt or self.cond):
            raise UsageError("--swap changes words of the prompt: say what is shown with --prompt")
        if not masked and self.extend is None:
            for name in ("only_masked", "blend", "jumps", "fill"):
                if getattr(self.masking, name) != _USUAL[name]:
                    raise UsageError(
                        f"--{name.replace('_', '-')} is for what a mask says; give --mask or --box"
                    )

    def _check_film(self, masked: bool) -> None:
        if self.towards is None:
            if self.frames != FRAMES:
                raise UsageError("--frames goes with --towards")
            return
        if masked or self.strength is not None or self.n != 1 or self.cutting.windows:
            raise UsageError(
                "--towards makes one film of two whole images; leave masks, --strength, --n and "
                "--windows out"
            )

    def how_strong(self) -> float:
        """The strength that holds."""
        if self.strength is not None:
            return self.strength
        masked = self.masking.mask is not None or bool(self.masking.box)
        anew = (
            masked
            or self.upscale
            or self.swap
            or self.restyle is not None
            or self.extend is not None
            or self.instruct is not None
        )
        return 1.0 if anew else 0.6

    def margins(self) -> dict[str, int]:
        """Pixels to add, by edge."""
        found = {}
        for part in filter(None, (self.extend or "").split(",")):
            edge, _, pixels = part.strip().partition("=")
            if not pixels.strip().isdecimal():
                raise UsageError(f"--extend {self.extend}: write left=32,right=32 in pixels")
            found[edge.strip()] = int(pixels)
        return found

    def asked(self) -> dict[str, Any]:
        """What was typed of the edit, as JSON values."""
        names = (
            "strength", "extend", "instruct", "image_guidance", "level", "size", "restyle",
            "structure",
        )  # fmt: skip
        own = {name: getattr(self, name) for name in names} | {"upscale": self.upscale or None}
        own |= {"swap": self.swap or None}
        return {k: v for k, v in own.items() if v is not None} | {
            **self.masking.asked(),
            **self.cutting.asked(),
        }


def main(args: list[str]) -> None:
    """Edit, write, and print the names of the files."""
    options = read(Options, "edit", args)
    several, moving = options.image.is_dir(), options.towards is not None
    usual = "edited.gif" if moving else "edited" if several else "edited.png"
    out = options.out or free_name(Path(usual))
    if options.resume and not several:
        raise UsageError("--resume goes on with a folder of images; leave it out for one image")
    if options.resume and options.out is None:
        raise UsageError("--resume: say the folder to go on in: --out")
    if moving and several:
        raise UsageError(
            f"--towards goes from one image to another, and {options.image} is a folder"
        )
    from demist.editing import editor, film, kinds

    if several and out.exists() and not out.is_dir():
        raise CannotCreateError(f"{out} is no folder; images of a folder go into one: --out")
    if moving:
        film.require_film(out)
        require_free(out, options.force)
    elif not several:
        editor.require_endings(out, None, None)
        for path in editor.variants(out, options.n):
            require_free(path, options.force)
    pipeline = options.source.open(options.model)
    if options.size is not None:
        pipeline = pipeline.sized(parse_size(options.size))
    mask, cut, strength = options.masking, options.cutting, options.how_strong()
    led = options.leading.lead(pipeline, options.source, editor.read_image)
    pipeline, given = options.beside.join(led.pipeline, options.source)
    cond = editor.typed_conditions(
        pipeline, editor.read_image, options.cond, options.prompt, options.label, options.negative
    )
    cond = {**with_flags(cond, {**given, **led.given}), **led.guiding}
    kind: kinds.Kind
    if options.upscale:
        kind = kinds.Upscale(options.level)
    elif options.swap:
        kind = kinds.Swap(options.swap, strength)
    elif options.restyle is not None:
        kind = kinds.Restyle(options.restyle, options.structure, strength)
    elif options.instruct is not None:
        kind = kinds.Instruct(
            strength, mask.fill, mask.jumps, mask.blend, options.instruct, options.image_guidance
        )
    else:
        kind = kinds.Redraw(strength, mask.fill, mask.jumps, mask.blend)
    command = shlex.join(["demist", "edit", *args])
    ready = editor.Editor(
        pipeline, options.sampling.sampling(), cond, kind,
        editor.Masking(
            mask.mask, tuple(map(editor.parse_box, mask.box)), mask.threshold, mask.invert,
            mask.grow, mask.blur, mask.resize_mask,
        ),
        options.margins(), mask.only_masked, mask.padding,
        editor.Windows(cut.overlap, cut.seamless) if cut.windows else None,
        options.asked(), editor.Writer.of(pipeline, command, options.metadata),
        partial(print, file=sys.stderr),
    )  # fmt: skip
    if options.towards is not None:
        film.film(ready, options.image, options.towards, out, options.frames)
        print(out)
        return
    if several:
        ready.folder(options.image, out, options.n, options.resume)
        print(out)
        return
    for path in ready.file(options.image, out, options.n):
        print(path)
