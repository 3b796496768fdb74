"""`demist sample`: images from a trained model, with all that reproduces them inside the file."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from demist.commands.sampling import (
    CompanionOptions,
    LastingOptions,
    LeadOptions,
    ModelOptions,
    SamplingOptions,
    parse_size,
    require_positive,
    with_flags,
)
from demist.commands.shared import free_name, read, require_free
from demist.errors import UsageError
from demist.io.files import sha256


@dataclass(frozen=True)
class Options:
    """Draw samples from a run or a saved model.

    Thousands, or by several processes or machines: `demist bulk`, which makes the same samples.
    """

    model: Annotated[Positional[str], arg(metavar="[RUN|FOLDER]")] = "latest"
    """A run (number, name, path or `latest`), or a saved model's folder."""
    label: Annotated[UseAppendAction[tuple[str, ...]], arg(name="class", metavar="NAMES")] = ()
    """Classes by name or number: `3` or `3,7`, also several times; `none` for no class. Without it:
    each in turn."""
    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """What to show, for a model of captions; (word:1.5) gives a word more weight, and
    <lora:ink:0.8> stands for --lora ink.safetensors:0.8."""
    lora_folder: Path | None = None
    """Where files that a prompt names so are; else beside the files of --lora."""
    cond: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE")] = ()
    """Any condition of the model, also several times: digit=3, angle=45, tags=cat|dog, edges=a.png,
    or hole=a.png,mask.png for an image and its mask. `none` for none."""
    negative: Annotated[str | None, arg(metavar="TEXT")] = None
    """What guidance leads away from: a prompt, or a class of a model without prompts. Needs a
    guidance above 1."""
    classifier: Path | None = None
    """Guide by this classifier, made by `demist classifier DATA --noise-of RUN`. The model itself
    is given no class then, unless --class says one."""
    classifier_class: Annotated[str | None, arg(metavar="NAME")] = None
    """The class that it guides to."""
    classifier_scale: float = 1.0
    """How strongly; 1 is the posterior, if the classifier is right."""
    grid: Annotated[tuple[str, ...], arg(metavar="AXIS [AXIS]")] = ()
    """One sample per cell of a labelled image, rows then columns: guidance=1,2,4,8 seed=0:6. Also
    prompt=A|B, class, steps, solver, guidance-rule, guidance-interval, negative, time-grid."""
    n: int | None = None
    """How many samples. Default: 8 images of each of up to ten classes, 16 of a prompt, else 64;
    1000 points."""
    size: Annotated[str | None, arg(metavar="SIDE|WIDTHxHEIGHT")] = None
    """Of the images, in pixels, if not the size the model was trained on: 512 or 768x512."""
    out: Path | None = None
    """Image to write: .png, .jpg, .webp, .gif or .tif. Default: samples.png, samples-2.png, ... Of
    sounds a folder, with a WAV file of each and page.png. Default: samples, samples-2, ..."""
    play_all: Path | None = None
    """Of sounds, all of them in one file (.wav), one after another."""
    animate: Path | None = None
    """Film (.gif or .webp) of the first samples, at most 100 images, being denoised; of a cascade
    all stages, one after another."""
    trace: Path | None = None
    """File (.safetensors) of all that the first samples went through, as many as --batch-size, to
    be looked at and gone on from by `demist trace` and the studio."""
    arrays: Path | None = None
    """The samples as numbers (.npy)."""
    columns: int | None = None
    """Samples per row of the image."""
    force: bool = False
    """Overwrite files that exist."""
    metadata: bool = True
    """Keep in the image how it was made: our recipe and, for models of other makers, the line that
    A1111 writes."""
    compile: bool = False
    """Compile the network with torch.compile: a minute at first, then faster; samples agree to
    rounding."""
    beside: Annotated[CompanionOptions, arg(name="")] = field(default_factory=CompanionOptions)
    lasting: Annotated[LastingOptions, arg(name="")] = field(default_factory=LastingOptions)
    leading: Annotated[LeadOptions, arg(name="")] = field(default_factory=LeadOptions)
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        for name in ("n", "columns"):
            require_positive(name, getattr(self, name))
        for name in ("n", "columns", "animate"):
            if self.grid and getattr(self, name) is not None:
                raise UsageError(f"--{name} and --grid both say how many samples; leave one out")
        if self.lasting.to_prompt is not None and self.prompt is None:
            raise UsageError("--to-prompt is what --prompt changes to; give both")
        if self.trace is not None and (self.grid or self.classifier):
            what = "--grid is many samplings" if self.grid else "no file holds a --classifier"
            raise UsageError(f"--trace: {what}; leave one of the two out")
        for flag, given in (("--trace", self.trace), ("--grid", self.grid)):
            if given and self.lasting.flags:
                raise UsageError(
                    f"{flag} and {self.lasting.flags[0]} do not go together; leave one out"
                )
        if self.trace is not None and self.trace.suffix != ".safetensors":
            raise UsageError(f"--trace {self.trace}: end its name in .safetensors")
        if (self.classifier is None) != (self.classifier_class is None):
            raise UsageError(
                "--classifier and --classifier-class go together; give both or neither"
            )


def main(args: list[str]) -> None:
    """Sample, write, and print the names of the files."""
    options = read(Options, "sample", args)
    for path in filter(
        None, (options.out, options.animate, options.arrays, options.play_all, options.trace)
    ):
        require_free(path, options.force)
    from demist.editing import recordings
    from demist.measuring import pages
    from demist.model import adapted, noisy_classifier, values

    lasting = options.lasting.flags
    if options.out is None or options.out.suffix:  # else a folder, which some kinds of data want
        pages.require_endings(options.out or Path("a.png"), options.animate, options.arrays)
    if options.prompt is not None:
        prompt, loras = adapted.named_in(options.prompt, options.source.lora, options.lora_folder)
        options = replace(options, prompt=prompt, source=replace(options.source, lora=loras))
    pipeline, sampling = options.source.open(options.model), options.sampling.sampling()
    if not pages.of(pipeline).lasting:
        out = options.out or free_name(Path("samples.png"))
        pages.require_endings(out, options.animate, options.arrays)
        if options.play_all is not None:
            raise UsageError("--play-all is for sounds, and this model makes none; leave it out")
        if lasting:
            raise UsageError(
                f"{lasting[0]} is for sounds, and this model makes {pages.of(pipeline).name}; "
                f"leave it out"
            )
    elif options.out is not None and options.out.suffix:
        raise UsageError(
            f"--out {options.out}: sounds go into a folder; name one, as --out "
            f"{options.out.with_suffix('')}"
        )
    else:
        out = (options.out or free_name(Path("samples"))) / "page.png"
        pages.require_endings(out, options.animate, options.arrays)
        if options.play_all is not None and options.play_all.suffix != ".wav":
            raise UsageError(f"--play-all {options.play_all}: end its name in .wav")
    if options.size is not None:
        pipeline = pipeline.sized(parse_size(options.size))
    led = options.leading.lead(pipeline, options.source, pages.read_image)
    pipeline = led.pipeline
    if options.compile:
        pipeline.compile(partial(print, file=sys.stderr))
    pipeline, given = options.beside.join(pipeline, options.source)
    known, guiding = pipeline.conditioner.conditions, dict(led.guiding)
    more = values.conditions_of(pipeline, options.cond, pages.read_image)
    cond = with_flags(more, {**given, **led.given})
    label, text = (values.name_of(pipeline, short) for short in (values.CLASS, values.PROMPT))
    for name, typed in ((label, options.label or None), (text, options.prompt)):
        if name in cond and typed is not None:
            raise UsageError(f"--cond gives {name}, and so does its short form; leave one out")
    for name in pipeline.controls:
        if name not in cond and not any(axis.startswith(f"{name}=") for axis in options.grid):
            print(f"no image for {name}: its network adds nothing", file=sys.stderr)
    if options.prompt is not None:
        cond[text] = values.value_of(pipeline, values.PROMPT, options.prompt)
    if options.negative is not None:
        guiding["negative"] = values.negative_of(pipeline, options.negative)
    if options.classifier is not None and options.classifier_class is not None:
        guiding["guide"] = noisy_classifier.classifier_guide(
            options.classifier, pipeline, options.classifier_class, options.classifier_scale
        )
    # Led by a classifier, a model is given a class only if the user says so.
    said = bool(options.classifier or options.grid or lasting or label in cond)
    asked = options.label or (["none"] if said else None)
    labels = values.seen_classes(pipeline)
    left = [name for name in values.classes_of(pipeline) if name not in labels]
    if asked is None and left:
        print(f"not asked for {', '.join(left)}: the model saw none of it", file=sys.stderr)
    if asked is not None:
        labels = values.choose_labels(asked, values.classes_of(pipeline), list(known))
    if options.grid:
        if len(labels) > 1:
            raise UsageError(
                f"--class {','.join(labels)} in a grid: give one, or an axis class=..."
            )
        if options.label:
            cond[label] = labels[0] if labels else None
        page = pages.grid_page(pipeline, options.grid, sampling, **guiding, **cond)
    elif lasting:
        wanted = recordings.Asked(**options.lasting.asked())
        n = options.n or max(4 if wanted.file is None else 1, len(labels))
        page = recordings.page(
            pipeline, wanted, n, sampling, labels=values.spread(labels, n),
            columns=options.columns, film=options.animate is not None,
            say=partial(print, file=sys.stderr), **guiding, **cond,
        )  # fmt: skip
    else:
        prompted = options.prompt is not None
        n = options.n or pages.usual_count(pipeline, labels, prompted)
        page = pages.sample_page(
            pipeline, n, sampling, labels=values.spread(labels, n), columns=options.columns,
            film=options.animate is not None, trace=options.trace is not None, **guiding, **cond,
        )  # fmt: skip
    page = replace(page, facts=_complete(page.facts, options))
    if counts := page.facts.get("evaluations"):
        each = ", ".join(f"{name} {count:g}" for name, count in counts.items())
        print(f"evaluations of the network for one sample: {each}", file=sys.stderr)
    if pages.of(pipeline).lasting:
        page.write(out.parent)
    page.save(out, shlex.join(["demist", "sample", *args]), options.metadata)
    print(out)
    if options.play_all:
        page.write_together(options.play_all)
        print(options.play_all)
    if options.arrays:
        page.save_array(options.arrays)
        print(options.arrays)
    if options.trace and page.trace is not None:
        page.trace.save(options.trace)
        told = f"{page.trace.n} of {len(page.x)} samples over {page.trace.steps} steps"
        print(f"the trace holds {told}", file=sys.stderr)
        print(options.trace)
    if options.animate:
        page.animate(options.animate)
        print(options.animate)


def _complete(facts: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """Facts of a page, with what was asked for beside the sampling: other pixels come without."""
    asked: dict[str, Any] = {} if options.size is None else {"size": options.size}
    if options.classifier is not None:
        asked["classifier"] = {
            "file": options.classifier.name, "sha256": sha256(options.classifier),
            "class": options.classifier_class, "scale": options.classifier_scale,
        }  # fmt: skip
    return {**facts, "sampling": {**facts["sampling"], **asked}}
