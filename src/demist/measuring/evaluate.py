"""How good is a model? Its samples beside real data, and all that decides the numbers.

report = demist.evaluate("latest", n=1000)
print(report)  # a table
report.value("fdr")
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demist import runs
from demist.evaluation.report import Report, of_one, over_seeds
from demist.evaluation.ruler import Ruler
from demist.evaluation.tables import markdown
from demist.measuring.candidate import Candidate, Named, open_candidate
from demist.measuring.ruler import other_data, ruler_for
from demist.measuring.sets import Protocol, Sets
from demist.modalities import of
from demist.modalities.through_codec import sentence
from demist.model.card import add_table
from demist.model.sampling import Sampling
from demist.version import __version__


@dataclass(frozen=True)
class Evaluation:
    """What was found of one model.

    Attributes:
        name: Of the model.
        demist: Version of the package.
        model: Where the model comes from, with the SHA-256 of its weights.
        sampling: How its samples were made, and what was asked for.
        machine: On which machine.
        report: Metrics over the seeds; see `demist.evaluation.report.over_seeds`. For a model in
            latents also `codec`, what real images score through it.
    """

    name: str
    demist: str
    model: Mapping[str, Any]
    sampling: Mapping[str, Any]
    machine: Mapping[str, Any]
    report: Report

    def value(self, metric: str) -> float | None:
        """The mean of a metric over the seeds: `value("fdr")`; None if it cannot be had."""
        found: float | None = self.report["metrics"][metric]["value"]
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it but the name, as JSON values."""
        return {
            "demist": self.demist,
            "model": dict(self.model),
            "sampling": dict(self.sampling),
            "machine": dict(self.machine),
            "report": self.report,
        }

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return str(self)

    def __str__(self) -> str:
        s = self.sampling
        how = f"{s['steps']} steps of {s['solver']}, guidance {s['guidance']:g}, {s['precision']}"
        how += f", {s['asked']}"
        model = self.model["sha256"][:12]
        lost = f"\n{sentence(self.report['codec'])}\n" if "codec" in self.report else ""
        return f"{markdown(self.report)}\nSampled with {how}; model {model}.\n{lost}"


@dataclass(frozen=True)
class Measurement:
    """Models that are measured alike.

    Attributes:
        ruler: With what.
        protocol: How they are sampled.
        sets: The samples of each, made or not.
    """

    ruler: Ruler
    protocol: Protocol
    sets: Sequence[Sets]

    @classmethod
    def of(
        cls,
        models: Sequence[Named],
        protocol: Protocol,
        *,
        data: str | None = None,
        extractor: Path | None = None,
        clip: str | Path | None = None,
    ) -> "Measurement":
        """Open models, data and extractors; nothing is sampled yet. See `evaluate`."""
        candidates = [open_candidate(model) for model in models]
        ruler = ruler_for(candidates, data, extractor, clip)
        return cls(ruler, protocol, [Sets.of(model, ruler, protocol) for model in candidates])

    def evaluate(self, processes: int = 1, ray: bool = False) -> list[Evaluation]:
        """Sample what is missing, and measure each model."""
        return [self._one(sets, processes, ray) for sets in self.sets]

    def remove(self) -> None:
        """Remove the samples."""
        for sets in self.sets:
            sets.remove()

    def _one(self, sets: Sets, processes: int, ray: bool) -> Evaluation:
        sets.make(processes=processes, ray=ray)
        model, task = sets.model, sets.task
        reports = of(self.ruler.train).measure(
            sets.collect(), self.ruler, sets.asked, model.pipeline.codec
        )
        report = over_seeds(reports) if len(reports) > 1 else of_one(reports[0])
        if "codec" in reports[0]:
            report["codec"] = reports[0]["codec"]
        report["warnings"] += other_data(self.ruler, model)
        sampling = {
            "n": self.protocol.n,
            "precision": task.source.precision,
            "asked": sets.asked.sentence,
            **task.settings,
        }
        known = {"sha256": task.source.sha256, **model.pipeline.facts, **model.beside.facts}
        return Evaluation(
            model.name, __version__, known, sampling, dict(runs.environment()), report
        )


def keep_in_card(found: Evaluation, model: Candidate) -> bool:
    """Put an evaluation into the page of a run's finished model; whether that was done."""
    if model.at_step is not None or model.folder != model.place or model.beside:
        return False
    return add_table(model.place / "model", str(found))


def evaluate(
    model: Named,
    *,
    n: int = 10_000,
    seeds: int = 3,
    data: str | None = None,
    sampling: Sampling | None = None,
    precision: str = "auto",
    extractor: Path | None = None,
    clip: str | Path | None = None,
    processes: int = 1,
    ray: bool = False,
) -> Evaluation:
    """Measure a model: how good its samples are, how varied, how new.

    Args:
        model: A run (also its number, name or path, or `"latest"`), or a saved model's folder; for
            another checkpoint or device see `demist.measuring.candidate.open_candidate`.
        n: How many samples in all, shared by the seeds; classes as often as the data has them.
        seeds: Sets of samples, for mean and spread: `sampling.seed`, and those after it.
        data: What to compare with; None: what the model was trained on.
        sampling: How to sample; None: as the model's defaults say.
        precision: fp32 or bf16 while sampling; auto: as the model was trained.
        extractor: Feature extractor: Inception-v3 (.safetensors), or a folder with DINOv2 or CLIP;
            None: the judge, a classifier trained on the data.
        clip: For a model of captions, a run or folder of `--recipe clip`, or a folder with CLIP as
            transformers saves it.
        processes: Share the sampling among so many; changes the speed, never the samples.
        ray: Let Ray do the sampling.

    Raises:
        MissingError: There is no such model, data or extractor.
        UsageError: They do not go together, or an option makes no sense.
    """
    protocol = Protocol(n, seeds, sampling or Sampling(), precision)
    work = Measurement.of([model], protocol, data=data, extractor=extractor, clip=clip)
    (found,) = work.evaluate(processes, ray)
    work.remove()
    return found
