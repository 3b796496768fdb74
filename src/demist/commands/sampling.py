"""The options that several commands share: how to sample, and which model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from demist.errors import UsageError

if TYPE_CHECKING:
    import demist.conditions
    import demist.measuring.candidate
    import demist.measuring.companions
    import demist.model.pipeline
    import demist.model.sampling


@dataclass(frozen=True)
class SamplingOptions:
    """How to sample. What is not said is the model's own default."""

    steps: int | None = None
    """Steps from noise to data, usually 20."""
    solver: str | None = None
    """auto (bayes for vectors of up to 256 numbers, such as points, else adams), heun, dpmpp-2m,
    ddim, ddim:eta=1 (DDPM), ...; an unknown name lists them all.
    fitted: the model's own, where `demist fit-solver` made one; auto takes it by itself.
    published: as the maker of a model from elsewhere samples it."""
    time_grid: str | None = None
    """Where the steps are: angular, smooth, uniform, karras:rho=5, trailing, ... (an unknown name
    lists them all), published, or the times themselves: 1,0.6,0.2,0. Default: where the solver is
    best; with auto from pure noise the more towards noise, the larger a state is."""
    guidance: float | None = None
    """How strongly class and prompt are followed; 1 is as learned, 1.5 to 3 is clearer and less
    varied."""
    guidance_interval: str | None = None
    """Times between which there is guidance, such as 0.1:0.8; 0 is data, 1 is noise. Default: at
    all times."""
    guidance_rule: str | None = None
    """cfg, apg, rescale, compose, dual, autoguidance, clamp or threshold, with options:
    apg:parallel=0.2; `demist list rules` explains them. Default: cfg."""
    seed: int = 0
    """Sample i depends on the seed and i alone."""
    noise: Literal["seeded", "torch"] | None = None
    """torch: the numbers that torch's generator gives for this seed on the CPU, as elsewhere; then
    a sample depends on --n, too."""
    batch_size: int | None = None
    """Samples at once: changes speed and memory, and the samples by rounding at most."""
    condition_noise: float | None = None
    """Level, from 0 to 1, of the noise that a small image gets before it is made large; the network
    is told. Default: as the model says, usually 0."""
    rewrite: bool = True
    """Put prompts into the words of the model's captions, where it knows how, and say how they are
    then."""
    best_of: int | None = None
    """Draws of each sample, of which the one nearest to the prompt is kept; of a prior only, which
    draws image vectors. Default: as the model says, usually 2. Of a stage: --stage
    prior:best-of=4."""
    stage: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME:OPTION=VALUE,...")] = ()
    """How a stage before the last is sampled, also several times:
    base:steps=30,solver=heun,guidance=4. The options above are those of the last stage; `demist
    show MODEL` names the others."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "best_of"):
            require_positive(name, getattr(self, name))

    def sampling(self) -> "demist.model.sampling.Sampling":
        """The same as values.

        Raises:
            UsageError: One makes no sense.
        """
        from demist.model.sampling import Sampling, parse, parse_stages

        typed = {"grid" if k == "time_grid" else k: v for k, v in asdict(self).items()}
        stages = parse_stages(typed.pop("stage"))
        typed["rewrite"] = None if self.rewrite else False  # as the model's defaults say
        values = {k: parse(k, v) if isinstance(v, str) else v for k, v in typed.items()}
        return Sampling(**values, stages=stages or None)


@dataclass(frozen=True)
class CompanionOptions:
    """Models that are put beside the one that is sampled."""

    control: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="FOLDER=IMAGE[:SCALE[:FROM-TO]]")
    ] = ()
    """Follow an image by a ControlNet or a T2I-Adapter, also several times: canny=edges.png:0.8, or
    with the times between which it is followed, canny=edges.png:0.8:1-0.4 (1 is noise, 0 is data).
    A model that came with its network needs no FOLDER."""
    refiner: Annotated[str | None, arg(metavar="FOLDER")] = None
    """A second model that takes the last steps, such as the refiner of SDXL; of the same latents.
    """
    refine_from: float | None = None
    """Time from which on the refiner takes the steps, between 0 (data) and 1 (noise). Default: 0.2,
    or as a model that was saved with its refiner says."""

    def companions(self, runs: Path) -> "demist.measuring.companions.Companions":
        """The same, as other processes are told of it; `runs` is the folder of runs."""
        made: demist.measuring.companions.Companions = _models().Companions(
            self.control, self.refiner, self.refine_from, str(runs)
        )
        return made

    def join(
        self, pipeline: "demist.model.pipeline.Pipeline", source: "ModelOptions"
    ) -> "tuple[demist.model.pipeline.Pipeline, dict[str, Any]]":
        """See `demist.measuring.companions.Companions.join`."""
        return self.companions(source.runs).join(pipeline, _models().reading_of(source))


@dataclass(frozen=True)
class LeadOptions:
    """What leads a model besides: an image that it looks at, and a weaker model."""

    ip_adapter: Annotated[str | None, arg(metavar="FILE=IMAGE[:SCALE]")] = None
    """An IP-Adapter (.safetensors) and the image that it looks at: plus.safetensors=cat.png:0.6."""
    image_encoder: Path | None = None
    """Folder of the image encoder that it needs. Default: image_encoder beside it or in the
    model."""
    weak: Annotated[str | None, arg(metavar="RUN|FOLDER")] = None
    """The weaker model that --guidance-rule autoguidance leads away from: a run, a saved model's
    folder, or a name such as `digits`; of the same data."""

    def __post_init__(self) -> None:
        if self.image_encoder is not None and self.ip_adapter is None:
            raise UsageError("--image-encoder is what an IP-Adapter needs; give one: --ip-adapter")

    def lead(
        self,
        pipeline: "demist.model.pipeline.Pipeline",
        source: "ModelOptions",
        read_image: "demist.conditions.ReadImage",
    ) -> "Led":
        """The model with them; `source` says where the weaker model runs.

        Raises:
            UsageError: They do not fit it.
        """
        weak = None if self.weak is None else source.open(self.weak, pipeline)
        pipeline, given = _models().adapted.from_flag(
            pipeline, self.ip_adapter, self.image_encoder, read_image
        )
        return Led(pipeline, given, {} if weak is None else {"weak": weak})


@dataclass(frozen=True)
class Led:
    """A model that is led, the values of its new conditions, and further arguments of a plan."""

    pipeline: "demist.model.pipeline.Pipeline"
    given: Mapping[str, Any]
    guiding: Mapping[str, Any]


@dataclass(frozen=True)
class LastingOptions:
    """Of models of sounds: longer ones, and recordings that are changed."""

    seconds: float | None = None
    """Of sounds, how long they are; longer ones than in training are made window by window, each of
    which is told the end of the one before."""
    continue_: Annotated[Path | None, arg(name="continue", metavar="FILE")] = None
    """A recording to go on from, until there are --seconds of it."""
    repair: Annotated[Path | None, arg(metavar="FILE")] = None
    """A recording of which the gap --from 0.3 --to 0.5 is made anew."""
    from_: Annotated[str | None, arg(name="from", metavar="SECONDS|FILE")] = None
    """With --repair, where the gap begins, in seconds; without, a recording that is made anew with
    --strength."""
    to: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Where the gap of --repair ends."""
    strength: float | None = None
    """How much of the recording of --from is made anew: 0 gives it back, 1 makes another. Default:
    0.6."""
    to_prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """The prompt in the end, towards which that of --prompt changes from window to window."""

    def __post_init__(self) -> None:
        gap = self._number() is not None
        named = {"--continue": self.continue_, "--repair": self.repair}
        asked = [name for name, value in named.items() if value is not None]
        asked += ["--from FILE"] * (self.from_ is not None and not gap)
        if self.repair is None and (gap or self.to is not None):
            raise UsageError("--from and --to in seconds say where a gap is; add --repair FILE")
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)} each want a recording; leave one out")
        if self.repair is not None and (not gap or self.to is None):
            raise UsageError(
                "--repair: say where the gap begins and ends, in seconds: --from 0.3 --to 0.5"
            )
        if self.continue_ is not None and self.seconds is None:
            raise UsageError(
                "--continue: say how long the sound is then, the recording included: --seconds 6"
            )
        if self.seconds is not None and asked[:1] not in ([], ["--continue"]):
            raise UsageError(f"{asked[0]} makes no sound longer; leave --seconds out")
        if self.strength is not None and asked != ["--from FILE"]:
            raise UsageError("--strength says how much of a recording is made anew: --from FILE")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UsageError(f"--strength {self.strength:g}: give a number from 0 to 1")
        if self.to_prompt is not None and self.seconds is None:
            raise UsageError("--to-prompt changes what is asked for over time: add --seconds")

    def _number(self) -> float | None:
        """Seconds, if `--from` is that."""
        try:
            return None if self.from_ is None else float(self.from_)
        except ValueError:
            return None

    @property
    def flags(self) -> list[str]:
        """What was typed of this."""
        typed = {f"--{name.rstrip('_').replace('_', '-')}": v for name, v in vars(self).items()}
        return [flag for flag, value in typed.items() if value is not None]

    def asked(self) -> dict[str, Any]:
        """What `demist.editing.recordings.Asked` takes."""
        begin = self._number()
        return {
            "seconds": self.seconds,
            "continued": self.continue_,
            "repaired": self.repair,
            "begin": begin,
            "end": self.to,
            "restyled": None if self.from_ is None or begin is not None else Path(self.from_),
            "strength": 0.6 if self.strength is None else self.strength,
            "toward": self.to_prompt,
        }


def with_flags(typed: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions that were typed, and those that come with flags of their own.

    Raises:
        UsageError: One is given twice.
    """
    if twice := next((name for name in typed if name in given), None):
        flag = "--ip-adapter" if twice == "image_prompt" else "--control"
        raise UsageError(f"--cond gives {twice}, and so does {flag}; leave one out")
    return {**typed, **given}


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and where it runs."""

    at_step: int | None = None
    """Checkpoint of the run to use. Default: the newest."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    runs: Path = Path("runs")
    """Folder in which run folders are."""
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Of the weights of a model of another maker, which are converted while they are read: halves
    take half the memory. Its autoencoder runs in fp32 where this says fp16."""
    lora: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FILE[:WEIGHT]")] = ()
    """A LoRA (.safetensors) for a model of another maker, also several times: ink.safetensors:0.8.
    Without a weight: 1."""
    embedding: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FILE[=WORD]")] = ()
    """A textual inversion (.safetensors) for such a model, also several times; prompts call it by
    the file's name, or by WORD."""
    offload: bool = False
    """Keep networks on the CPU and bring each to the device while it runs: text encoders, then the
    denoiser, then the autoencoder."""
    tile: bool = False
    """Send images above 512 pixels through the autoencoder in overlapping tiles, which takes the
    memory of one tile."""
    slice: bool = False
    """Run the network on one sample at a time, guided and unguided too: less memory, slower."""
    codec: Annotated[str, arg(metavar="FOLDER")] = ""
    """The folder, or hf:owner/name, of another autoencoder of the same latents for such a model,
    such as a tiny one. Default: its own."""
    part: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=PATH")] = ()
    """Of a model in several files, also several times: vae=FILE, text=FILE (any text encoder),
    tokenizer_2=FOLDER, config=FOLDER."""
    prediction: Literal["v", "eps"] | None = None
    """What a single file predicts that does not say it."""

    def candidate(self, spec: str) -> "demist.measuring.candidate.Candidate":
        """See `demist.measuring.candidate.open_candidate`."""
        reading = _models().reading_of(self)
        made: demist.measuring.candidate.Candidate = _models().open_candidate(
            spec, at_step=self.at_step, device=self.device, runs=self.runs, reading=reading
        )
        return made

    def open(
        self, spec: str, strong: "demist.model.pipeline.Pipeline | None" = None
    ) -> "demist.model.pipeline.Pipeline":
        """See `demist.model.open`: `open_model`, or `open_weak` beside a strong model."""
        reading = _models().reading_of(self)
        made: demist.model.pipeline.Pipeline
        if strong is not None:
            made = _models().open_weak(spec, strong, runs=self.runs, reading=reading)
        else:
            made = _models().open_model(
                spec, at_step=self.at_step, device=self.device, runs=self.runs, reading=reading
            )
        return made

    def keep_fits(self, spec: str, pipeline: "demist.model.pipeline.Pipeline") -> Path | None:
        """See `demist.model.open.keep_fits`."""
        kept: Path | None = _models().keep_fits(spec, pipeline, self.runs)
        return kept


def _models() -> Any:
    """What opens models, which takes a second to import."""
    from demist.measuring import candidate

    return candidate


def parse_shard(text: str) -> tuple[int, int]:
    """(2, 3) of "2/3".

    Raises:
        UsageError: It is not one of the shares from 1/N to N/N.
    """
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise UsageError(f"--shard {text}: write 1/3, 2/3 or 3/3 for the shares of three processes")
    return int(first), int(second)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of "512" or "768x512", width first as people say it.

    Raises:
        UsageError: It is neither.
    """
    words = text.lower().split("x")
    if len(words) > 2 or not all(word.isdecimal() and int(word) for word in words):
        raise UsageError(f"--size {text}: write one side, 512, or width and height, 768x512")
    return int(words[-1]), int(words[0])


def require_positive(name: str, value: int | None) -> None:
    """Raise UsageError if a count is given and below 1."""
    if value is not None and value < 1:
        raise UsageError(f"--{name.replace('_', '-')} {value}: give 1 or more")
