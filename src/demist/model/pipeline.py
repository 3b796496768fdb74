"""A model with all it takes to sample from it: `Pipeline.sample` turns conditions into data."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from demist import interop, zoo
from demist.codecs import Codec, require_finite
from demist.conditions import Conditioner
from demist.core import Denoiser, Model
from demist.errors import DataError, UsageError
from demist.machine.compiling import compile_network
from demist.machine.offload import Turns
from demist.model import about, adapted, components, encoders, feeders, relearned, staged, stored
from demist.model import folder as model_folder
from demist.model.controlled import Controlled, with_controls
from demist.model.export import Kind, export
from demist.model.feeders import Feeder
from demist.model.fits import STEPS, Fits, fit_solver
from demist.model.images import shown
from demist.model.make_plan import make_plan
from demist.model.placing import move, take_turns, thrifty
from demist.model.plan import Constrain, Frame, Guide, Init, Plan
from demist.model.recording import recorded, resumed
from demist.model.refine import Refinement, refined
from demist.model.rewording import reworded
from demist.model.sampling import STANDARD, Sampling, require_free_names, split
from demist.model.trace import Trace
from demist.networks.published import Published
from demist.parts.typed import require_types
from demist.runs import Run, find


@dataclass(frozen=True)
class Pipeline:
    """A model with all it takes to sample from it.

    Attributes:
        denoiser: The network, read through its schedule and parameterization.
        codec: Between data and states.
        conditioner: The model's conditions.
        shape: Of the data of one sample, `(C, H, W)` or `(D,)`.
        defaults: How to sample; what is None here is as in `demist.model.sampling.STANDARD`.
        facts: Where the model comes from (data, steps, ...), as JSON values.
        bucket: The network runs on multiples of this many samples, so that a sample's bits do not
            depend on how many others are made; 1 for large models, where that costs too much.
        origin: The components that a model of another maker was read from; None: it is ours.
        controls: Networks that read a further image, by the names of their conditions.
        refinement: A second model that takes the last steps; see `refined`.
        feeders: Models that make conditions of this one, by the names of these; see `fed`.
        fits: Ways of taking few steps that were fitted to it; see `demist.model.fits.fit_solver`.
    """

    denoiser: Denoiser
    codec: Codec
    conditioner: Conditioner
    shape: tuple[int, ...]
    defaults: Sampling = STANDARD
    facts: Mapping[str, Any] = field(default_factory=dict)
    bucket: int = 8
    origin: interop.Source | None = None
    controls: Mapping[str, Published] = field(default_factory=dict)
    refinement: Refinement | None = None
    feeders: Mapping[str, Feeder] = field(default_factory=dict)
    fits: Fits = field(default_factory=Fits)

    def __post_init__(self) -> None:
        require_free_names(list(self.conditioner.conditions))
        if not 1 <= self.bucket <= 4096:
            raise UsageError(f"bucket = {self.bucket}: the network runs on 1 to 4096 samples")
        object.__setattr__(self, "defaults", self.defaults.over(STANDARD))

    def plan(
        self,
        n: int = 16,
        sampling: Sampling | None = None,
        *,
        negative: Mapping[str, Any] | None = None,
        weak: "Pipeline | None" = None,
        guide: Guide | None = None,
        init: Init | None = None,
        constrain: Constrain | None = None,
        size: tuple[int, int] | None = None,
        **cond: Any,
    ) -> Plan:
        """Decide all that sampling needs, and sample nothing yet.

        Args:
            n: How many samples.
            sampling: How; None, or a field that is None: as in `defaults`.
            negative: Conditions by name that guidance leads away from; by default the null. Where
                nothing is asked for, it leads from there towards the null.
            weak: A weaker model of the same data, conditions and schedule, for the rule
                `autoguidance`.
            guide: Any further guidance, outermost: `lambda model: Clamp(model)`.
            init: What to start from, one for all or one per sample. An array is data: it is
                encoded, and noised to the time `start` with each sample's own noise; `start = 0`
                gives it back. A tensor is a state at that time, taken as it is.
            constrain: Projection `(x, s) -> x` of the states at time s, after each step; it is
                given one batch at a time.
            size: Height and width of the images, if not those it was trained on; see `sized`.
            cond: Conditions by name, one value for all or one per sample: `label="7"`,
                `label=[0, 1, 2]`; None for the null. Also fields of `Sampling`: `steps=10`.

        Raises:
            UsageError: An argument makes no sense for this model.
        """
        how, cond = split(sampling, cond)
        model = self if size is None else self.sized(size)
        cond = reworded(self, cond, how.over(self.defaults).rewrite is not False)
        weak = weak if size is None or weak is None else weak.sized(size)
        return make_plan(
            model, n, how, cond, negative=negative, weak=weak, guide=guide, init=init,
            constrain=constrain,
        )  # fmt: skip

    def sample(
        self,
        n: int = 16,
        sampling: Sampling | None = None,
        *,
        rows: Sequence[int] | None = None,
        negative: Mapping[str, Any] | None = None,
        weak: "Pipeline | None" = None,
        guide: Guide | None = None,
        init: Init | None = None,
        constrain: Constrain | None = None,
        size: tuple[int, int] | None = None,
        progress: bool = False,
        **cond: Any,
    ) -> np.ndarray:
        """Make `n` samples, or some of them: `pipeline.sample(16, label="7", steps=10)`.

        Args:
            n: See `plan`, also for the other arguments.
            sampling: How.
            rows: Make just these of the `n`, to share the work; they come out the same.
            negative: What guidance leads away from.
            weak: The weaker model.
            guide: Further guidance.
            init: What to start from.
            constrain: Projection after each step.
            size: Height and width.
            progress: Show a bar.
            cond: Conditions by name, and fields of `Sampling`.

        Returns:
            Images as bytes `(n, C, H, W)`, which show themselves (`demist.model.Images`), or points
            as float32 `(n, D)`.

        Raises:
            UsageError: An argument makes no sense for this model.
            NotFiniteError: Samples came out as NaN or infinity.
        """
        plan = self.plan(
            n, sampling, negative=negative, weak=weak, guide=guide, init=init,
            constrain=constrain, size=size, **cond,
        )  # fmt: skip
        return shown(plan.sample(rows, progress=progress))

    def trajectory(
        self, n: int = 16, sampling: Sampling | None = None, **cond: Any
    ) -> Iterator[Frame]:
        """The states through which `sample` goes, from noise to data, as one batch.

        Args:
            n: How many samples.
            sampling: How.
            cond: Conditions by name, fields of `Sampling`, and further arguments of `plan`.
        """
        return self.plan(n, sampling, **cond).frames()

    def trace(self, n: int = 1, sampling: Sampling | None = None, **asked: Any) -> Trace:
        """Sample, and keep all that was gone through: `pipeline.trace(label="7").samples`.

        Args:
            n: How many samples; the trace has to fit into memory.
            sampling: How.
            asked: Conditions by name, fields of `Sampling`, and further arguments of `plan`; see
                `demist.model.recording.recorded`.
        """
        return recorded(self, n, sampling, **asked).run()

    def resume(
        self, trace: Trace, step: int, sampling: Sampling | None = None, **changes: Any
    ) -> Trace:
        """Go on from a step of a trace: `pipeline.resume(trace, 8, label="3", guidance=3.0)`.

        Without changes the end is the same, bit for bit. The noise of a step is that of its number
        and of the seed, as if nothing had been changed before. Where the solver, the conditions or
        the guidance change, what the solver remembers is dropped, for it is of another model.

        Args:
            trace: What `trace` gave, or `Trace.load`.
            step: Steps that are kept.
            sampling: What is to be otherwise; `steps` is how many are left to take.
            changes: Conditions by name, fields of `Sampling`, and more; see
                `demist.model.recording.resumed`.
        """
        return resumed(self, trace, step, sampling, **changes).run()

    def __repr__(self) -> str:
        """What it is, in one line."""
        return about.line(self)

    def _repr_html_(self) -> str:
        """The same in a notebook, with how it is sampled and where it comes from."""
        return about.table(self)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of the state of one sample, which the denoiser sees; `shape` is the data's."""
        return self.codec.state_shape(self.shape)

    @property
    def model(self) -> Model:
        """The denoiser with all that leads it; the network alone is `denoiser.net`."""
        return Controlled(self.denoiser, self.controls) if self.controls else self.denoiser

    def controlled(self, nets: Sequence[Published | str | os.PathLike[str]]) -> "Pipeline":
        """This model, led by ControlNets or T2I-Adapters, each with a condition of its own.

        ```python
        led = pipeline.controlled(["canny", "depth"])
        led.sample(4, text="a house", control=edges, control_2=Control(depth, 0.5, (1, 0.6)))
        ```

        Args:
            nets: Networks, their folders, or names of the hub; see `demist.interop.read_control`.
                Their conditions are `control`, `control_2`, ...; see
                `demist.conditions.ControlImage`.

        Raises:
            UsageError: Nothing can be put beside this model's network.
            DataError: A network is of another family, or damaged.
            MissingError: A file is not there.
        """
        return with_controls(self, nets)

    def sized(self, size: tuple[int, int]) -> "Pipeline":
        """This model for images of another height and width, with the same networks.

        What it makes of sizes far from those it was trained on is often repetition.

        Args:
            size: Height and width of the images.

        Raises:
            UsageError: It makes points, or its network, its codec or a condition cannot change.
        """
        shape = components.sized(self, size)
        if shape == self.shape:
            return self
        conditions = self.conditioner.conditions
        conditioner = Conditioner({k: c.sized(*shape[1:]) for k, c in conditions.items()})
        second = self.refinement and self.refinement.sized(size)
        earlier = feeders.sized(self, conditioner)
        return replace(
            self, shape=shape, conditioner=conditioner, refinement=second, feeders=earlier,
            fits=Fits(),
        )  # fmt: skip

    def refined(self, refiner: "Pipeline", start: float = 0.2) -> "Pipeline":
        """This model, whose last steps a second one takes, such as the refiner of SDXL.

        Both are given what is asked for, each the conditions that it has; guidance is as asked, or
        each model's own. The steps are those of this model alone.

        Args:
            refiner: A model of the same latents and schedule; of another size, it is sized.
            start: Time from which on it takes the steps, between 0 (data) and 1 (noise).

        Raises:
            UsageError: The two do not fit.
        """
        return refined(self, refiner, start)

    def fed(self, condition: str, feeder: "Pipeline", name: str = "base") -> "Pipeline":
        """This model, one of whose conditions another makes; see `demist.model.feeders`.

        Args:
            condition: Its name.
            feeder: The model that makes it where the caller does not give it.
            name: Of the stage, for `stages` of `sample` and for the saved folder.

        Raises:
            UsageError: The two do not fit, or the name is taken.
        """
        return feeders.fed(self, condition, feeder, name)

    def fitted(self, steps: Sequence[int] = STEPS, **how: Any) -> "Pipeline":
        """This model with a solver of its own for few steps: `pipeline.fitted((5, 8))`.

        Args:
            steps: Numbers of steps.
            how: Further arguments of `demist.model.fits.fit_solver`: `starts`, `guidance`, ...

        Raises:
            UsageError: The model is of several stages, or an argument makes no sense.
        """
        return fit_solver(self, steps, **how)

    def with_lora(self, file: str | os.PathLike[str], weight: float = 1.0) -> "Pipeline":
        """This pipeline with the changes of a LoRA file; this one stays as it was, to the bit.

        Args:
            file: `.safetensors`, or a folder of peft or diffusers.
            weight: 0 changes nothing.

        Raises:
            MissingError: There is no such file.
            DataError: It is damaged, or belongs to a model of another family.
            UsageError: This model is not a published one.
        """
        return adapted.with_loras(self, [(file, weight)])

    def with_embedding(self, file: str | os.PathLike[str], word: str = "") -> "Pipeline":
        """This pipeline, in whose prompts a word stands for what a file learned.

        Args:
            file: A textual inversion, `.safetensors`.
            word: If not the one in the file, or the file's name.

        Raises:
            As `with_lora`.
        """
        return adapted.with_embeddings(self, [f"{os.fspath(file)}={word}" if word else str(file)])

    def with_ip_adapter(
        self,
        file: str | os.PathLike[str],
        scale: float = 1.0,
        encoder: str | os.PathLike[str] | None = None,
    ) -> "Pipeline":
        """This pipeline, prompted by an image as well: `sample(image_prompt=array)`.

        Args:
            file: An IP-Adapter, `.safetensors`, in its plain or plus form.
            scale: How much the image counts.
            encoder: Folder of its image encoder; see `demist.model.adapted.with_ip_adapter`.

        Raises:
            As `with_lora`.
        """
        return adapted.with_ip_adapter(self, file, scale, encoder)

    @torch.no_grad()
    def encode(self, x: np.ndarray) -> Tensor:
        """States from data, on the network's device."""
        data = torch.from_numpy(np.ascontiguousarray(x))
        return self.codec.encode(data.to(self.device))

    @torch.no_grad()
    def decode(self, x: Tensor) -> np.ndarray:
        """Data from states.

        Raises:
            NotFiniteError: Some are NaN or infinity, which no data is.
        """
        require_finite(x)
        return self.codec.decode(x.float()).cpu().numpy()

    def components(self) -> Mapping[str, nn.Module]:
        """All networks by the names of their folders in a saved model, the denoiser's first.

        Text encoders of a model of another maker are opened, if they are not yet.
        """
        conditions = self.conditioner.conditions.values()
        further = {name: net for c in conditions for name, net in c.components.items()}
        return {**model_folder.modules_of(self), **further}

    @property
    def device(self) -> torch.device:
        """Where its networks run, though they may wait elsewhere."""
        turns: Turns | None = getattr(self.denoiser.net, "turns", None)
        return next(self.denoiser.parameters()).device if turns is None else turns.device

    def to(self, device: str | torch.device) -> "Pipeline":
        """This pipeline, all its networks moved to `device`; text encoders once they are opened."""
        move(self, torch.device(device))
        return self

    def offload(self, device: str | torch.device) -> "Pipeline":
        """This pipeline, each network on `device` while it runs, on the CPU once another does.

        The device holds the largest of them and not all; moving takes a second or two per image.
        """
        take_turns(self, torch.device(device))
        return self

    def compile(self, say: Callable[[str], None] = warnings.warn) -> "Pipeline":
        """This pipeline, its network compiled by torch: faster after the first batches.

        Samples agree with those of the network as it was to rounding, not bit for bit.

        Args:
            say: Called with the reason if the network cannot be compiled and stays as it was.
        """
        compile_network(self.denoiser.net, say)
        return self

    def export(self, folder: str | os.PathLike[str], kind: Kind) -> dict[str, Any]:
        """Write the denoiser for other programs; see `demist.model.export.export`."""
        return export(self, Path(folder), kind)

    def save(self, folder: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write the pipeline to a new folder (see `demist.model.folder`), all of it or nothing.

        A model of another maker is written in the layout of diffusers; see `demist.interop.save`.

        With it goes a page, `README.md`; one that a person wrote or changed is kept.

        Raises:
            CannotCreateError: The folder exists and `replace` is false.
        """
        return stored.save(self, Path(folder), replace)

    def save_published(
        self,
        path: str | os.PathLike[str],
        form: stored.Form = "diffusers",
        *,
        replace: bool = False,
        say: Callable[[str], None] = warnings.warn,
    ) -> Path:
        """Write the model for other programs: one of another maker, or of `unet2d` or `sd`.

        Args:
            path: Where to.
            form: `diffusers`: a new folder. `single`: one file with the names of CompVis, which
                ComfyUI and A1111 open. `comfy`: a new folder of the parts that ComfyUI loads.
            replace: Whether what is there already may be replaced.
            say: Called with what a reader has to know.

        Raises:
            UsageError: Its networks have no such form.
            CannotCreateError: The path exists and `replace` is false.
        """
        return stored.save_published(self, Path(path), form, replace, say)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], reading: interop.Reading | None = None
    ) -> "Pipeline":
        """Read a saved pipeline, or a folder of another maker, to the CPU.

        Args:
            folder: Where it is, the name of a model in `demist.zoo`, or `hf:owner/name@revision`;
                see `demist.interop` for what is read of others.
            reading: How it is read and run.

        Raises:
            MissingError: There is none in `folder`.
            DataError: It is damaged, or of another format.
        """
        place = zoo.locate(os.fspath(folder))
        made = adapted.as_read(cls._assemble(stored.read(place, reading), str(place)), reading)
        made = made if reading is None else thrifty(made, reading)
        return staged.read(place, made, partial(cls.load, reading=staged.for_stage(reading)))

    @classmethod
    def from_run(
        cls, run: Run | str | int | os.PathLike[str], step: int | None = None
    ) -> "Pipeline":
        """A run's model with averaged weights, of its newest good checkpoint or of step `step`.

        Args:
            run: A run, its folder, its number, its name, or `"latest"`.
            step: Which checkpoint.

        Raises:
            MissingError: There is no such run or checkpoint.
            DataError: No checkpoint is good.
        """
        run = run if isinstance(run, Run) else find(run)
        made = cls._assemble(stored.read_run(run, step), str(run.path))
        return made.with_stages_of(run) if run.begun else made

    def with_stages_of(self, run: Run) -> "Pipeline":
        """This model of a run with the stages that the run's options name: `feeds`, `refiner`.

        Raises:
            MissingError: One is not there.
            UsageError: One does not fit.
        """
        return staged.of_run(self, run, self.load, self.from_run)

    def of_weights(self, tensors: Mapping[str, Tensor]) -> "Pipeline":
        """This pipeline with other weights: a network of the same kind that holds these tensors."""
        where, own = "the weights given", replace(feeders.bare(self), fits=Fits())
        if self.origin is not None:
            return feeders.like(relearned.of_weights(own, tensors), self)
        description, folders = model_folder.describe(own), encoders.copied(own.conditioner)
        further = {**components.further_of(own), **{name: place for place, name in folders.items()}}
        made = self._assemble(model_folder.pieces(description, tensors, where, further), where)
        return feeders.like(made, self)

    def with_facts(self, facts: Mapping[str, Any]) -> "Pipeline":
        """This pipeline with other facts."""
        return replace(self, facts=facts)

    @classmethod
    def _assemble(cls, arguments: dict[str, Any], where: str) -> "Pipeline":
        try:
            require_types(Sampling, arguments["defaults"])
            fits = Fits.from_json(arguments.get("fits"), where)
            return cls(**{**arguments, "defaults": Sampling(**arguments["defaults"]), "fits": fits})
        except (TypeError, ValueError) as error:
            raise DataError(f"{where}: the saved defaults make no sense: {error}") from None
        except UsageError as error:
            raise DataError(f"{where}: the saved model makes no sense: {error}") from None
