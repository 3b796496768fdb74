"""The ruler that suits some models: data, and what looks at it."""

from collections.abc import Sequence
from pathlib import Path

from demist.errors import MissingError, UsageError
from demist.evaluation.extractors.pretrained import Transformer, load_extractor
from demist.evaluation.metrics.text_score import Encoder
from demist.evaluation.ruler import Ruler
from demist.measuring.candidate import Candidate, data_of
from demist.measuring.judging import judge
from demist.measuring.prompts import require_captions, require_classes
from demist.modalities import of
from demist.modalities.named import divided
from demist.model.learned_clip import open_clip


def ruler_for(
    candidates: Sequence[Candidate],
    data: str | None = None,
    extractor: Path | None = None,
    clip: str | Path | None = None,
) -> Ruler:
    """What suits the models, after a look at whether they go with it.

    Args:
        candidates: The models.
        data: What to compare with; None: what the first was trained on.
        extractor: File or folder of a feature extractor; None: the judge.
        clip: Run or folder of CLIP; None: captions are not compared.

    Raises:
        UsageError: They do not go together.
    """
    division = divided(data_of(candidates[0], data))
    train, test = division.train, division.test
    for model in candidates:
        if model.pipeline.shape != train.x.shape[1:]:
            raise UsageError(
                f"{model.name} makes samples of shape {model.pipeline.shape}, but the data has "
                f"{train.x.shape[1:]}; compare runs on the same data"
            )
        require_classes(model.pipeline, train, model.name)
        if clip is not None:
            require_captions(model.pipeline, test, model.name)
    modality = of(train)
    if extractor is not None and not modality.judged:
        raise UsageError(
            f"--extractor {extractor}: {modality.name} are compared as they are; leave it out"
        )
    return Ruler(
        train,
        test,
        None if extractor is None else load_extractor(extractor),
        None if clip is None else open_encoder(clip),
        judge,
        division.learned,
        division.undivided,
    )


def other_data(ruler: Ruler, model: Candidate) -> list[str]:
    """A warning if the model was trained on something else than the training data here."""
    known, train = model.pipeline.facts, ruler.train
    found = known.get("fingerprint", ruler.learned)
    if found == ruler.learned or not ruler.learned:  # what is learned in several shapes
        return []
    if found == ruler.undivided:
        return [
            f"Seen before: {model.name} learned from all {known['items']} items, so the "
            f"{len(ruler.test)} called held-out are among them, and no row can tell what it "
            "remembers from what it understood. Give --data with a test part, or train with "
            "--hold-out 0.1."
        ]
    return [
        f"Other data: {model.name} was trained on {known['items']} items of {known['data']}, "
        f"not on these {len(train)} of {train.name}. It may have seen those called held-out, and "
        "its copies of items that are not here go unnoticed."
    ]


def open_encoder(spec: str | Path) -> Encoder:
    """CLIP, to compare images with captions.

    Args:
        spec: A run that trains one, its saved model, or a folder as transformers saves CLIP.

    Raises:
        MissingError: There is none.
        UsageError: It is a model that reads no texts.
    """
    if not (Path(spec) / "config.json").is_file():
        try:
            return open_clip(str(spec))
        except MissingError as error:
            raise MissingError(f"there is no config.json in {spec} as of CLIP; {error}") from None
    encoder = Transformer(Path(spec))
    if not encoder.reads:
        raise UsageError(f"--clip {spec}: {encoder.kind} reads no texts; give a folder with CLIP")
    return encoder
